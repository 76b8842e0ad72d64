"""`allowedHosts` in metadata.yaml has every host that the connector connects to, in every mode, and no others.

What the connector connects to is asked of the connector: it is sent through a proxy that notes the hosts and refuses them all.
The rule by which the platform reads the list is its own (`ConfigReplacer.kt` of airbytehq/airbyte-platform): `${a.b}` is
the value of that path in the configuration, an address counts by its host, and what is not set is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from command_line import Json
from go_between import HttpProxy

from destination_qdrant.config import parse_config
from destination_qdrant.embedding import create_embedder
from destination_qdrant.errors import ConnectorError
from destination_qdrant.spec import connector_spec

ROOT = Path(__file__).parent.parent

#: Of presets whose service is one's own, the address is the user's to say.
OWN = {"ollama": "http://ollama.example.com:11434", "tei": "https://tei.example.com"}

KEY = "a-key-of-some-kind"
MODES: dict[str, list[Json]] = {
    "openai": [{"openai_key": KEY}, {"openai_key": KEY, "base_url": "https://eu.api.openai.com/v1"}],
    "azure_openai": [
        {"openai_key": KEY, "api_base": "https://somebody.openai.azure.com", "deployment": "d", "dimensions": 8}
    ],
    "openai_compatible": [],  # each preset, see `cases`
    "cohere": [{"cohere_key": KEY}, {"cohere_key": KEY, "base_url": "https://cohere.example.com"}],
    "local": [{}],
    "qdrant": [{"model_name": "sentence-transformers/all-minilm-l6-v2", "dimensions": 384}],
    "from_field": [{"field_name": "v", "dimensions": 2}],
    "fake": [{}],
}


#: Those of them that ask a provider themselves.
REMOTE = {"openai", "azure_openai", "openai_compatible", "cohere"}


def branches(*path: str) -> list[Json]:
    """The choices of a field of the form."""
    found = connector_spec()["connectionSpecification"]
    for name in path:
        found = found["properties"][name]
    return found["oneOf"]


def presets() -> list[str]:
    (compatible,) = (
        each for each in branches("embedding") if each["properties"]["mode"]["const"] == "openai_compatible"
    )
    return compatible["properties"]["preset"]["enum"]


def cases() -> Iterator[Json]:
    """An embedding for each way to an address."""
    for mode, variants in MODES.items():
        yield from ({"mode": mode, **each} for each in variants)
    for preset in presets():
        usual = {"mode": "openai_compatible", "preset": preset, "api_key": KEY, "model_name": "m", "dimensions": 8}
        if preset not in {"custom", *OWN}:
            yield usual
        yield {**usual, "base_url": OWN.get(preset, "https://embeddings.example.com/v1")}


def named(embedding: Json) -> str:
    return "-".join(str(embedding[name]) for name in ("mode", "preset", "base_url") if name in embedding)


def configuration(embedding: Json, url: str = "https://qdrant.example.com:6333") -> Json:
    return {"processing": {"chunk_size": 100}, "embedding": embedding, "indexing": {"url": url, "collection": "docs"}}


def listed() -> list[str]:
    return yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]["allowedHosts"]["hosts"]


def allowed(config: Json) -> set[str]:
    """The hosts of the list for a configuration."""
    return {host for each in listed() if (host := _resolved(each, config))}


def _resolved(entry: str, config: Json) -> str | None:
    template = re.fullmatch(r"\$\{(.+)\}", entry)
    if not template:
        return entry
    value: Any = config
    for name in template[1].split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return (urlsplit(value).hostname or value) if isinstance(value, str) else None


def connected(embedding: Json, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The hosts that the embedder wants to talk to; it does not try again."""
    if embedding["mode"] in REMOTE:
        embedding = {**embedding, "requests": {"retry_seconds": 0}}
    with HttpProxy(refusal="403 Forbidden") as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        config = parse_config(configuration(embedding))
        refused = suppress(ConnectorError)  # the proxy refuses everything
        with closing(create_embedder(config.embedding, read_only=True)) as embedder, refused:
            embedder.embed_documents(["a text"])
        targets = [head.split()[1] for head in proxy.heads]
    return {urlsplit(target if "//" in target else f"//{target}").hostname or "" for target in targets}


@pytest.mark.parametrize("embedding", list(cases()), ids=named)
def test_each_host_that_is_connected_to_is_allowed(embedding: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    found = connected(embedding, monkeypatch)

    assert found <= allowed(configuration(embedding))
    assert bool(found) == (embedding["mode"] in REMOTE)


def test_every_mode_has_a_case() -> None:
    assert set(MODES) == {each["properties"]["mode"]["const"] for each in branches("embedding")}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://qdrant.example.com:6333", "qdrant.example.com"),
        ("https://qdrant.example.com", "qdrant.example.com"),
        ("http://qdrant.example.com/some/path", "qdrant.example.com"),
        ("qdrant.example.com", "qdrant.example.com"),
    ],
)
def test_the_qdrant_is_allowed(url: str, host: str) -> None:
    assert host in allowed(configuration({"mode": "fake"}, url))


def test_no_host_is_allowed_that_no_mode_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = {each for each in listed() if not each.startswith("${")}
    used: set[str] = set()
    for embedding in cases():
        used |= connected(embedding, monkeypatch)

    assert fixed - used == set()
    assert {each for each in listed() if each.startswith("${")} == {
        "${indexing.url}",
        "${embedding.api_base}",
        "${embedding.base_url}",
    }


def test_resources_are_asked_for() -> None:
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8"))["data"]
    jobs = {each["jobType"]: each["resourceRequirements"] for each in metadata["resourceRequirements"]["jobSpecific"]}

    assert {"check_connection", "sync"} <= set(jobs)
    assert all(set(each) >= {"memory_request", "memory_limit"} for each in jobs.values()), json.dumps(jobs)
    assert metadata["supportsRefreshes"] is True
