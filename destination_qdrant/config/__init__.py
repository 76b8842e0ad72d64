"""The user's configuration: its shape, what the form says about it, and which values it refuses.

`spec` makes the form out of these models. Titles, descriptions and examples are read by the person who fills it
in, the docstring of a model introduces that part of the form, and fields stand in the form as they stand here.

Names and meanings are those of Airbyte's destination-qdrant 0.1.41, so what was stored for it stays valid. That is
why several limits are checked here but are absent from the schema: a stricter schema would refuse what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ..errors import ConfigError
from . import problems, secret_values
from .embedding import (
    AzureOpenAI,
    Cohere,
    Embedding,
    Fake,
    FromField,
    Local,
    OpenAI,
    OpenAICompatible,
    QdrantInference,
    Requests,
)
from .indexing import ApiKeyAuth, Indexing, NewCollection, NoAuth, PayloadIndexOption, Tls
from .parts import MAX_DIMENSIONS, SHOWN, Part
from .processing import (
    CodeSplitter,
    FieldNameMapping,
    FieldsFormat,
    MarkdownSplitter,
    Processing,
    SeparatorSplitter,
    StreamProcessing,
    TemplateFormat,
    TextFormat,
    TextSplitter,
    ValuesFormat,
    WholeText,
)

__all__ = [
    "MAX_DIMENSIONS",
    "ApiKeyAuth",
    "AzureOpenAI",
    "CodeSplitter",
    "Cohere",
    "Config",
    "Embedding",
    "Fake",
    "FieldNameMapping",
    "FieldsFormat",
    "FromField",
    "Indexing",
    "Local",
    "MarkdownSplitter",
    "NewCollection",
    "NoAuth",
    "OpenAI",
    "OpenAICompatible",
    "PayloadIndexOption",
    "Processing",
    "QdrantInference",
    "Requests",
    "SeparatorSplitter",
    "StreamProcessing",
    "TemplateFormat",
    "TextFormat",
    "TextSplitter",
    "Tls",
    "ValuesFormat",
    "WholeText",
    "parse_config",
    "secrets",
    "secrets_of_raw",
]


class Config(Part):
    """Loads records into Qdrant: their text split into chunks, each chunk with its vector."""

    model_config = ConfigDict(title="Qdrant destination")
    processing: Processing = Field(title="Processing", json_schema_extra={"group": "processing"})
    embedding: Annotated[Embedding, Field(discriminator="mode")] = Field(
        title="Embedding",
        description="What turns text into vectors. Use the same model to embed your questions when you search.",
        json_schema_extra={"group": "embedding"},
    )
    indexing: Indexing = Field(title="Qdrant", json_schema_extra={"group": "indexing"})
    omit_raw_text: bool = Field(
        default=False,
        title="Do not store the text",
        description="Leaves the text of the chunks out. Text fields are still stored with the metadata, "
        "unless the metadata fields list others.",
        json_schema_extra={"group": "advanced", **SHOWN},
    )


def parse_config(raw: object, *, deployment_mode: str = "") -> Config:
    """The typed configuration.

    Args:
        raw: the JSON value of the configuration.
        deployment_mode: where Airbyte runs; "cloud" refuses folders.

    Raises:
        ConfigError: one sentence that names fields and what is wrong with them, never a value.
    """
    try:
        return Config.model_validate(raw, context={"cloud": deployment_mode.lower() == "cloud"})
    except ValidationError as error:
        sentence = problems.sentence(error.errors(include_url=False), _MODES)
    # Raised outside the handler: pydantic's error carries the values, and must not ride along as the context.
    raise ConfigError(sentence)


def secrets(config: Config) -> tuple[str, ...]:
    """Every secret value of the configuration, passwords inside URLs included."""
    return secret_values.distinct(_secrets_in_part(config))


def secrets_of_raw(raw: object) -> tuple[str, ...]:
    """The secrets of a configuration that may not parse: all text under a secret's name, at any depth.

    Names are compared without case, hyphens and underscores, because a misspelt name is a reason not to parse.
    """
    return secret_values.distinct(secret_values.in_json(raw, _SECRET_NAMES))


# ----------------------------------------------------------------------------------------------------------
# What only the models tell


def _modes(union: object) -> tuple[str, ...]:
    return tuple(get_args(part.model_fields["mode"].annotation)[0] for part in get_args(union))


#: Field -> the modes that choose its shape.
_MODES: Mapping[str, tuple[str, ...]] = {
    "embedding": _modes(Embedding),
    "text_splitter": _modes(Processing.model_fields["text_splitter"].annotation),
    "text_format": _modes(Processing.model_fields["text_format"].annotation),
    "auth_method": _modes(Indexing.model_fields["auth_method"].annotation),
}


def _secrets_in_part(part: BaseModel) -> Iterator[str]:
    for name, value in part:
        if isinstance(value, SecretStr):
            yield from secret_values.in_field(secret_values.folded(name), value.get_secret_value())
            yield from secret_values.in_url(value.get_secret_value())
        elif isinstance(value, str):
            yield from secret_values.in_url(value)
        elif isinstance(value, BaseModel):
            yield from _secrets_in_part(value)
        elif isinstance(value, tuple):
            for each in value:
                if isinstance(each, BaseModel):
                    yield from _secrets_in_part(each)


_SECRET_NAMES = frozenset(
    secret_values.folded(name)
    for part in (*get_args(Embedding), ApiKeyAuth, Indexing, Tls)
    for name, field in part.model_fields.items()
    if field.annotation in {SecretStr, SecretStr | None}
)
