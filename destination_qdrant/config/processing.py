"""Which fields of a record are embedded and stored, and how text is split."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from .parts import SHOWN, WHOLE, Choice, Integer, Part, problem


def _quoted_text(value: str) -> str:
    try:
        parsed = json.loads(value, strict=False)
    except (ValueError, RecursionError):  # the latter is said of brackets nested a hundred thousand deep
        parsed = None
    if not isinstance(parsed, str):
        raise problem(r'must be a text in double quotes, such as "\n" or "."')
    return value


Separator = Annotated[str, AfterValidator(_quoted_text)]


class SeparatorSplitter(Choice):
    """Split at the first separator that makes the pieces small enough: paragraphs, then lines, then words."""

    model_config = ConfigDict(title="At separators")
    mode: Literal["separator"] = "separator"
    separators: tuple[Separator, ...] = Field(
        default=(r'"\n\n"', r'"\n"', '" "', '""'),
        title="Separators",
        description="Tried in this order. Put each one in double quotes and write a line break as \\n; "
        "an empty pair of quotes allows a split anywhere.",
        examples=[r'"\n\n"', '". "'],
    )
    keep_separator: bool = Field(
        default=False,
        title="Keep separators",
        description="Leave the separators in the chunks instead of dropping them.",
    )

    @property
    def parsed(self) -> tuple[str, ...]:
        """The separators without their quotes; none at all means the default ones, as in Airbyte's connector."""
        quoted = self.separators or type(self).model_fields["separators"].default
        return tuple(json.loads(separator, strict=False) for separator in quoted)


class MarkdownSplitter(Choice):
    """Split before Markdown headings. Short sections that follow each other share a chunk."""

    model_config = ConfigDict(title="At Markdown headings")
    mode: Literal["markdown"] = "markdown"
    split_level: Annotated[int, Field(ge=1, le=6), WHOLE] = Field(
        default=1,
        title="Heading level",
        description="The deepest heading to split at: 1 splits at #, 2 at # and ##, and so on.",
        examples=[2],
    )


class CodeSplitter(Choice):
    """Split source code between its functions and classes, or marked-up text between its sections."""

    model_config = ConfigDict(title="By programming language")
    mode: Literal["code"] = "code"
    language: Literal[
        "cpp", "go", "java", "js", "php", "proto", "python", "rst",
        "ruby", "rust", "scala", "swift", "markdown", "latex", "html", "sol",
    ] = Field(title="Language", description="The language that the text fields are written in.")  # fmt: skip


class FieldNameMapping(Part):
    """One field and the name it gets."""

    model_config = ConfigDict(title="Renamed field")
    from_field: str = Field(title="Field in the record", description="Its name at the source.", examples=["body"])
    to_field: str = Field(title="Name in Qdrant", description="Its name in the payload.", examples=["content"])


class Processing(Part):
    """Which fields of a record are embedded, which are stored beside the vector, and how text is split."""

    model_config = ConfigDict(title="Processing")
    chunk_size: Annotated[int, Field(ge=1, le=8191), WHOLE] = Field(
        title="Chunk size",
        description="The longest piece of text that gets one vector, in tokens (a token is about four letters of "
        "English). Small chunks make search results precise, large ones keep more context.",
        examples=[512],
    )
    chunk_overlap: Integer = Field(
        default=0,
        title="Chunk overlap",
        description="How many tokens a chunk repeats from the one before it, so that no sentence loses its context. "
        "At most the chunk size.",
        examples=[50],
        json_schema_extra=SHOWN,
    )
    text_fields: tuple[str, ...] = Field(
        default=(),
        title="Text fields",
        description="Fields whose text is embedded; all fields when empty. Reach into objects with dots (user.name) "
        "and into lists with a star (comments.*.text). Used for all streams; fields that a stream lacks are ignored.",
        examples=["text", "user.name", "comments.*.text"],
        json_schema_extra=SHOWN,
    )
    metadata_fields: tuple[str, ...] = Field(
        default=(),
        title="Metadata fields",
        description="Fields stored in the payload, for filters and for showing results; all fields when empty. Written "
        "like text fields. A path with a star stores the list of what it finds, under the path as its name.",
        examples=["category", "user.name", "tags.*.label"],
        json_schema_extra=SHOWN,
    )
    text_splitter: Annotated[SeparatorSplitter | MarkdownSplitter | CodeSplitter, Field(discriminator="mode")] = Field(
        default=SeparatorSplitter(),
        title="Text splitter",
        description="Where to split text that is longer than the chunk size.",
    )
    field_name_mappings: tuple[FieldNameMapping, ...] = Field(
        default=(),
        title="Renamed fields",
        description="Gives payload fields another name than at the source. "
        "A nested field can be renamed when it is listed as a metadata field with its dotted path.",
    )
    max_payload_bytes: Annotated[int, Field(ge=1024, le=16 * 2**20), WHOLE] = Field(
        default=2**20,
        title="Largest payload of a point, in bytes",
        description="When the stored fields of a record need more, its text fields leave the payload first, then the "
        "largest fields. The field _ab_meta of the point says which ones.",
        examples=[2**20],
    )

    @field_validator("chunk_overlap")
    @classmethod
    def _smaller_than_chunk(cls, overlap: int, info: ValidationInfo) -> int:
        if overlap < 0:
            raise problem("must be 0 or more")
        size: int = info.data.get("chunk_size", overlap)
        if overlap > size:
            raise problem("must not be larger than processing.chunk_size")
        # Airbyte's connector accepts an overlap as large as the chunk; a chunk still has to get one token further.
        return min(overlap, max(size - 1, 0))

    @field_validator("field_name_mappings")
    @classmethod
    def _one_source_per_target(cls, mappings: tuple[FieldNameMapping, ...]) -> tuple[FieldNameMapping, ...]:
        different = {(mapping.from_field, mapping.to_field) for mapping in mappings}
        if len({target for _, target in different}) < len(different):
            raise problem("must not give two fields the same to_field, because one would replace the other")
        return mappings
