"""What is asked of a service that speaks OpenAI's embeddings API: OpenAI, Azure, or any other (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from .. import config
from ..errors import ConfigError
from .base import TextLimit
from .counting import count_cl100k
from .models import Model, known_model
from .presets import PRESETS, Preset
from .requests import Bounds
from .service import Service

#: The API takes 2,048 texts and 300,000 tokens a request (https://platform.openai.com/docs/api-reference/embeddings).
#: Smaller requests are answered sooner, more of them are under way at once, and one that fails costs less.
_BOUNDS: Final = Bounds(texts=256, text_bytes=1_500_000, tokens=100_000)

#: What every model of OpenAI takes, and so any that stands behind a deployment.
_AZURE_LIMIT: Final = TextLimit(8191)

#: Presets whose model is a stand-in: what the server has is what it gives, whatever name is asked for.
_NAMELESS: Final = frozenset({"custom", "tei"})

#: For a new collection; an older one says itself which model it holds.
DEFAULT_MODEL: Final = "text-embedding-3-small"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for.

    `expected` is the length of the vectors, where it is known. `documents` and `questions` are the fields that requests
    of that kind have besides model and texts. `prefix` goes before each document. `promised`: the model that
    the user says is behind a name of another kind. `has_own_path`: the address is put together such that no version can
    be missing from it.
    """

    name: str
    fingerprint: str
    service: Service
    model: str
    expected: int | None = None
    limit: TextLimit | None = None
    bounds: Bounds = _BOUNDS
    documents: Mapping[str, Any] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    has_base64: bool = True
    promised: str = ""
    has_own_path: bool = False


def openai_target(model_name: str | None, dimensions: int | None, base_url: str | None = None) -> Target:
    """A model of OpenAI. One that is not in the table is taken as new, and is sent what the user has configured.

    Raises:
        ConfigError: the model cannot have these dimensions.
    """
    model_name = (model_name or "").strip() or DEFAULT_MODEL
    service = Service(
        "OpenAI",
        key="embedding.openai_key",
        model="embedding.model_name",
        address="embedding.base_url" if base_url else "",
    )
    return _of_openai("openai", model_name, known_model("openai", model_name), dimensions, service)


def azure_target(deployment: str, dimensions: int | None, model_name: str | None = None) -> Target:
    """A deployment. Its name says nothing about its model: unless the user does, an answer tells the dimensions."""
    deployment = deployment.strip()
    service = Service(
        "Azure OpenAI", key="embedding.openai_key", model="embedding.deployment", address="embedding.api_base"
    )
    known = known_model("openai", (model_name or "").strip())
    found = _of_openai("azure_openai", (model_name or "").strip() or deployment, known, dimensions, service)
    promised = "" if known is None else (model_name or "").strip()
    return replace(found, model=deployment, limit=found.limit or _AZURE_LIMIT, promised=promised, has_own_path=True)


def compatible_target(embedding: config.OpenAICompatible) -> Target:
    """A model of any other service. What the preset knows fills what the user left empty.

    Raises:
        ConfigError: the model cannot have these dimensions, or the prefix leaves no room for a text.
    """
    preset = PRESETS[embedding.preset]
    model_name = (embedding.model_name or "").strip() or preset.model
    known = known_model(embedding.preset, model_name)
    if known is not None:
        known.check(model_name, embedding.dimensions)
    length = _asked_length(embedding, known)
    own = embedding.parsed_extra_body or {}
    extra = {**preset.documents, **own}
    asked = {} if length is None else {preset.dimensions: length}
    name = _name("openai_compatible", model_name, None if known is not None and length == known.default else length)
    return Target(
        name=name,
        fingerprint=_fingerprint(name, embedding.document_prefix, extra, _place(embedding)),
        service=_compatible_service(preset, embedding),
        model=model_name,
        expected=embedding.dimensions or (known.default if known is not None else None),
        limit=_room(embedding, known),
        bounds=preset.bounds,
        documents={**asked, **extra},
        questions={**asked, **preset.questions, **own},
        prefix=embedding.document_prefix,
        has_base64=preset.has_base64,
    )


def check_model(target: Target, answered: object) -> None:
    """Compare the model that an answer names with the one that the user promised, where both are known.

    Raises:
        ConfigError: they differ.
    """
    if not target.promised or not isinstance(answered, str) or answered == target.promised:
        return
    if known_model("openai", answered) is not None:
        raise ConfigError(
            f"The deployment in embedding.deployment answers with the model {answered}, and embedding.model_name names "
            "another; correct one of them."
        )


def compatible_address(embedding: config.OpenAICompatible) -> str:
    """Where the service is.

    Raises:
        ConfigError: nobody says where it is, or it wants a key and there is none.
    """
    preset = PRESETS[embedding.preset]
    address = embedding.base_url or preset.base_url
    if address is None:
        raise ConfigError("embedding.base_url must not be empty: it is the address of the embedding service.")
    # At another address the same software may run without keys.
    if preset.needs_key and not embedding.base_url and not embedding.api_key.get_secret_value().strip():
        raise ConfigError(f"embedding.api_key must not be empty: {preset.title} answers nobody without a key.")
    return address


def _of_openai(provider: str, model_name: str, known: Model | None, dimensions: int | None, service: Service) -> Target:
    if known is not None:
        known.check(model_name, dimensions)
    is_default = known is not None and dimensions in {None, known.default}
    name = _name(provider, model_name, None if is_default else dimensions)
    is_sent = dimensions is not None and (known is None or known.any_up_to > 0)
    return Target(
        name=name,
        fingerprint=name,
        service=service,
        model=model_name,
        expected=known.default if known is not None and dimensions is None else dimensions,
        limit=known.limit if known is not None else None,
        documents={"dimensions": dimensions} if is_sent else {},
        questions={"dimensions": dimensions} if is_sent else {},
    )


def _asked_length(embedding: config.OpenAICompatible, known: Model | None) -> int | None:
    """The length of vectors that is asked for: many servers refuse the option, whatever it says."""
    wants_another = known is not None and embedding.dimensions != known.default
    return embedding.dimensions if embedding.send_dimensions or wants_another else None


def _compatible_service(preset: Preset, embedding: config.OpenAICompatible) -> Service:
    return Service(
        preset.title,
        key="embedding.api_key",
        model="embedding.model_name",
        address="embedding.base_url",
        extra="embedding.extra_body" if embedding.parsed_extra_body else "",
    )


def _room(embedding: config.OpenAICompatible, known: Model | None) -> TextLimit | None:
    """The longest text, without the prefix that each text gets."""
    given = embedding.max_text_tokens
    limit = TextLimit(given) if given is not None else known.limit if known is not None else None
    if limit is None or not embedding.document_prefix:
        return limit
    left = limit.tokens - count_cl100k(embedding.document_prefix)
    if left < 1:
        raise ConfigError(
            f"embedding.document_prefix leaves no room for a text: the model takes {limit.tokens} tokens; shorten it, or "
            "correct embedding.max_text_tokens."
        )
    return TextLimit(left)


def _name(provider: str, model: str, dimensions: int | None) -> str:
    return f"{provider}/{model}" if dimensions is None else f"{provider}/{model}@{dimensions}"


def _fingerprint(name: str, prefix: str, extra: Mapping[str, Any], place: str) -> str:
    """The name, and a digest of what else decides over a document's vector."""
    said: list[object] = [prefix, extra] if prefix or extra or place else []
    if place:
        said.append(place)
    if not said:
        return name
    text = json.dumps(said, sort_keys=True, ensure_ascii=True)
    return f"{name}#{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _place(embedding: config.OpenAICompatible) -> str:
    """What tells one model from another where none is named: the address, without what it is reached with."""
    if (embedding.model_name or "").strip() or embedding.preset not in _NAMELESS:
        return ""
    address = (embedding.base_url or PRESETS[embedding.preset].base_url or "").strip()
    host_and_path = address.partition("://")[2].rstrip("/")
    host, slash, path = host_and_path.partition("/")
    return f"{host.rpartition('@')[2].lower()}{slash}{path}"
