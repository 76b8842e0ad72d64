"""What is asked of a service that speaks OpenAI's embeddings API: OpenAI, Azure, or any other (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..errors import ConfigError
from .base import TextLimit
from .requests import Bounds
from .service import Service

#: The API takes 300,000 tokens a request. A token is at least one byte, so this many bytes never hold more.
#: It takes 2,048 texts too, but the answer for 512 is 8 MB already (3,072 numbers each, in base64).
_BOUNDS: Final = Bounds(texts=512, text_bytes=300_000)
#: Servers of unknown make: what most of them take at once. `Requests` finds out when it is too much.
_COMPATIBLE_BOUNDS: Final = Bounds(texts=256, text_bytes=300_000)

#: All of OpenAI's models; counted in cl100k_base, which is the connector's own tokenizer.
_LIMIT: Final = TextLimit(8191)


@dataclass(frozen=True, slots=True)
class Model:
    """What OpenAI documents of a model."""

    dimensions: int
    can_shorten: bool


#: https://platform.openai.com/docs/guides/embeddings
MODELS: Final = {
    "text-embedding-3-small": Model(1536, can_shorten=True),
    "text-embedding-3-large": Model(3072, can_shorten=True),
    "text-embedding-ada-002": Model(1536, can_shorten=False),
}

#: What Airbyte's connector uses, for configurations from before there was a choice.
DEFAULT_MODEL: Final = "text-embedding-ada-002"


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for. `expected` is the length of the vectors, `sent` the length that is asked for."""

    name: str
    service: Service
    model: str
    expected: int | None = None
    sent: int | None = None
    limit: TextLimit | None = None
    bounds: Bounds = _BOUNDS
    may_lack_base64: bool = False


def openai_target(model_name: str | None, dimensions: int | None) -> Target:
    """A model of OpenAI. One that is not in the table is taken as new, and is sent what the user has configured.

    Raises:
        ConfigError: the model cannot have these dimensions.
    """
    model_name = (model_name or "").strip() or DEFAULT_MODEL
    known = MODELS.get(model_name)
    if known is not None:
        _check_possible(model_name, known, dimensions)
    is_default = known is not None and dimensions in {None, known.dimensions}
    expected = known.dimensions if known is not None and dimensions is None else dimensions
    return Target(
        name=_name("openai", model_name, None if is_default else dimensions),
        service=Service("OpenAI", key="embedding.openai_key", model="embedding.model_name"),
        model=model_name,
        expected=expected,
        sent=dimensions if known is None or known.can_shorten else None,
        limit=_LIMIT if known is not None else None,
    )


def azure_target(deployment: str, dimensions: int | None) -> Target:
    """A deployment. Its name says nothing about its model, so only an answer tells the dimensions."""
    deployment = deployment.strip()
    return Target(
        name=_name("azure_openai", deployment, dimensions),
        service=Service(
            "Azure OpenAI", key="embedding.openai_key", model="embedding.deployment", address="embedding.api_base"
        ),
        model=deployment,
        expected=dimensions,
        sent=dimensions,
        limit=_LIMIT,
    )


def compatible_target(model_name: str, dimensions: int) -> Target:
    """A model of any other service.

    `dimensions` is what to expect and is never sent: many servers refuse the option.
    """
    model_name = model_name.strip()
    return Target(
        name=_name("openai_compatible", model_name, None),
        service=Service(
            "The embedding service",
            key="embedding.api_key",
            model="embedding.model_name",
            address="embedding.base_url",
        ),
        model=model_name,
        expected=dimensions,
        bounds=_COMPATIBLE_BOUNDS,
        may_lack_base64=True,
    )


def _name(provider: str, model: str, dimensions: int | None) -> str:
    return f"{provider}/{model}" if dimensions is None else f"{provider}/{model}@{dimensions}"


def _check_possible(model_name: str, known: Model, dimensions: int | None) -> None:
    if dimensions is None or dimensions == known.dimensions:
        return
    if not known.can_shorten:
        raise ConfigError(
            f"The model {model_name} always gives {known.dimensions} dimensions, not {dimensions}; leave "
            "embedding.dimensions empty, or set embedding.model_name to one of the text-embedding-3 models."
        )
    if dimensions > known.dimensions:
        raise ConfigError(
            f"The model {model_name} gives at most {known.dimensions} dimensions, not {dimensions}; "
            "lower embedding.dimensions."
        )
