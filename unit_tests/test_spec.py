"""The form: the rules that Airbyte's user interface and tools set, and the promise to stored configurations."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import ConnectorSpecification
from airbyte_cdk.test.standard_tests._spec_compatibility import compare_specs
from airbyte_cdk.test.standard_tests._spec_lint import assert_spec_is_valid
from jsonschema import Draft7Validator

from destination_qdrant.config import parse_config, secrets_of_raw
from destination_qdrant.errors import ConfigError
from destination_qdrant.spec import connector_spec

Json = dict[str, Any]

SNAPSHOTS = Path(__file__).parents[1] / "integration_tests"
FORM: Json = connector_spec()["connectionSpecification"]


def schemas(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema in the form with its dotted path."""
    yield path, node
    for name, schema in node.get("properties", {}).items():
        yield from schemas(schema, f"{path}.{name}")
    for branch in node.get("oneOf", ()):
        yield from schemas(branch, f"{path}({branch['title']})")
    if "items" in node:
        yield from schemas(node["items"], f"{path}[]")


SCHEMAS = dict(schemas(FORM))
CHOICES = {path: node for path, node in SCHEMAS.items() if "oneOf" in node}
OBJECTS = {path: node for path, node in SCHEMAS.items() if "properties" in node}
FIELDS = {path: node for path, node in SCHEMAS.items() if path and not path.endswith((")", "]", ".mode"))}


def test_the_committed_snapshot_is_what_the_code_says() -> None:
    """`make spec` writes it again."""
    written = (SNAPSHOTS / "spec.json").read_text("utf-8")

    assert written == json.dumps(connector_spec(), indent=2, ensure_ascii=False) + "\n"


def test_the_envelope_has_what_the_platform_reads() -> None:
    spec = connector_spec()

    assert spec.keys() == {
        "documentationUrl",
        "supportsIncremental",
        "supported_destination_sync_modes",
        "connectionSpecification",
    }
    assert spec["documentationUrl"] == "https://docs.airbyte.com/integrations/destinations/qdrant"
    assert spec["supportsIncremental"] is True
    assert spec["supported_destination_sync_modes"] == ["append", "overwrite", "append_dedup"]


def test_the_form_is_a_valid_json_schema() -> None:
    Draft7Validator.check_schema(FORM)


def test_every_keyword_is_one_that_the_form_knows() -> None:
    known = {
        "title", "description", "type", "properties", "required", "order", "group", "groups", "default", "examples",
        "items", "oneOf", "const", "enum", "minimum", "maximum", "always_show", "airbyte_secret", "multiline",
    }  # fmt: skip

    assert {path: node.keys() - known for path, node in SCHEMAS.items() if node.keys() - known} == {}


def test_every_type_is_a_single_one() -> None:
    known = {"object", "array", "string", "integer", "boolean"}

    assert [path for path, node in SCHEMAS.items() if node.get("type") not in known] == []


def test_no_default_is_null() -> None:
    assert [path for path, node in SCHEMAS.items() if "default" in node and node["default"] is None] == []


@pytest.mark.parametrize("path", [path for path, node in SCHEMAS.items() if "default" in node])
def test_every_default_can_be_saved(path: str) -> None:
    """The form fills defaults into stored configurations that lack them, and then checks what it has."""
    node = SCHEMAS[path]

    assert node["type"] != "object"
    assert list(Draft7Validator(node).iter_errors(node["default"])) == []


def test_there_are_these_choices() -> None:
    shaping = {
        f".processing.{place}{name}" for place in ("", "streams[].") for name in ("text_format", "text_splitter")
    }
    assert CHOICES.keys() == {".embedding", ".indexing.auth_method", *shaping}


def test_a_stream_of_its_own_is_at_first_like_all_others() -> None:
    for name in ("text_format", "text_splitter"):
        assert CHOICES[f".processing.streams[].{name}"]["oneOf"][0]["properties"]["mode"]["const"] == "inherit"


@pytest.mark.parametrize("path", CHOICES)
def test_a_choice_is_told_apart_by_one_constant(path: str) -> None:
    choice = CHOICES[path]
    branches = choice["oneOf"]
    constants = [{name for name, schema in branch["properties"].items() if "const" in schema} for branch in branches]
    modes = [branch["properties"]["mode"] for branch in branches]

    assert choice["type"] == "object"
    assert "default" not in choice
    assert constants == [{"mode"}] * len(branches)
    assert [mode.keys() for mode in modes] == [{"order", "const", "type"}] * len(branches)
    assert [mode["order"] for mode in modes] == [0] * len(branches)
    assert len({mode["const"] for mode in modes}) == len(branches)
    assert len({branch["title"] for branch in branches}) == len(branches)
    assert all(branch["type"] == "object" and branch["description"] for branch in branches)


@pytest.mark.parametrize("path", sorted(CHOICES.keys() - {".indexing.auth_method"}))
def test_the_constant_of_a_choice_is_required(path: str) -> None:
    assert all("mode" in branch["required"] for branch in CHOICES[path]["oneOf"])


def test_the_way_to_log_in_requires_no_more_than_it_used_to() -> None:
    """Airbyte's connector did not require `mode` there, and lists that grow refuse stored configurations."""
    required = [branch.get("required", []) for branch in CHOICES[".indexing.auth_method"]["oneOf"]]

    assert required == [["api_key"], []]


@pytest.mark.parametrize("path", OBJECTS)
def test_every_property_has_a_place_of_its_own(path: str) -> None:
    orders = [schema["order"] for schema in OBJECTS[path]["properties"].values()]

    assert orders == list(range(len(orders)))


def test_every_property_at_the_top_is_on_a_card_that_exists() -> None:
    cards = [group["id"] for group in FORM["groups"]]

    assert cards == ["processing", "embedding", "indexing", "advanced"]
    assert [schema["group"] for schema in FORM["properties"].values()] == cards
    assert [path for path, node in SCHEMAS.items() if "group" in node and path.count(".") != 1] == []


def test_every_field_is_explained() -> None:
    unexplained = [path for path, node in FIELDS.items() if not node.get("title") or not node.get("description")]

    assert len(FIELDS) > 30
    assert unexplained == []


def test_every_required_text_or_number_except_secrets_has_an_example() -> None:
    lacking = [
        f"{path}.{name}"
        for path, node in OBJECTS.items()
        for name in node.get("required", [])
        if node["properties"][name]["type"] in {"string", "integer"}
        and not node["properties"][name].keys() & {"examples", "const", "enum", "airbyte_secret"}
    ]

    assert lacking == []


def test_every_secret_says_so_and_nothing_else_does() -> None:
    marked = {path.rpartition(".")[2] for path, node in SCHEMAS.items() if node.get("airbyte_secret") is True}

    assert marked == {"openai_key", "api_key", "cohere_key", "client_key", "proxy", "headers"}
    unmarked = [path for path in FIELDS if path.endswith("_key") and "airbyte_secret" not in SCHEMAS[path]]
    assert unmarked == [".indexing.shard_key"]  # names a shard
    assert set(secrets_of_raw({name: name for name in marked})) == marked


@pytest.mark.parametrize("path", [path for path, node in SCHEMAS.items() if "airbyte_secret" in node])
def test_the_mask_of_a_secret_is_not_taken_for_it(path: str) -> None:
    """Where Airbyte cannot restore a secret, it sends what it has shown."""
    raw: Json = {"processing": {"chunk_size": 9}, "embedding": {}, "indexing": {"url": "http://h", "collection": "c"}}
    *parents, secret = path.removeprefix(".").split(".")
    node, place = raw, ""
    for parent in parents:
        name, _, branch = parent.partition("(")
        node, place = node.setdefault(name, {}), f"{place}.{parent}"
        node |= {"mode": SCHEMAS[f"{place}.mode"]["const"]} if branch else {}
    node[secret] = " ********** "
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)

    field = re.sub(r"\(.*\)", "", path).removeprefix(".")
    told = f"{field} is the mask that Airbyte shows instead of the value; type the value again"
    assert told in caught.value.message


def test_the_form_suggests_a_current_model_although_a_stored_configuration_has_the_old_one() -> None:
    model = SCHEMAS[".embedding(OpenAI).model_name"]

    assert "default" not in model  # it would be saved with configurations that mean the model of their collection


def test_the_cdk_finds_no_unmarked_secret() -> None:
    specification = ConnectorSpecification(**connector_spec())

    assert_spec_is_valid(specification, connector_name="destination-qdrant")


def test_the_cdk_finds_no_change_that_breaks_a_stored_configuration() -> None:
    previous = json.loads((SNAPSHOTS / "spec_previous.json").read_text("utf-8"))

    comparison = compare_specs(previous, connector_spec())

    assert comparison.breaking == []


def test_the_spec_is_a_fresh_object_each_time() -> None:
    connector_spec()["connectionSpecification"]["properties"].clear()

    assert connector_spec()["connectionSpecification"] == FORM


def test_the_spec_needs_no_library_but_pydantic() -> None:
    heavy = ["airbyte_cdk", "qdrant_client", "qdrant_edge", "openai", "cohere", "fastembed", "tiktoken",
             "langchain_text_splitters", "numpy", "requests", "httpx", "grpc"]  # fmt: skip
    code = (
        "import sys\n"
        "from destination_qdrant.spec import connector_spec\n"
        "connector_spec()\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"
