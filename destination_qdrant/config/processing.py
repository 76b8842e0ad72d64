"""Which fields of a record are embedded and stored, and how text is split."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from . import template
from .parts import SHOWN, WHOLE, Choice, Integer, OptionalText, Part, Text, problem
from .template import Template


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
    heading_path: bool = Field(
        default=False,
        title="Begin chunks with their headings",
        description="Put the headings above a chunk in front of it, as in Guide > Install > Linux, so that it says where "
        "it comes from.",
    )


class CodeSplitter(Choice):
    """Split source code between its functions and classes, or marked-up text between its sections."""

    model_config = ConfigDict(title="By programming language")
    mode: Literal["code"] = "code"
    language: Literal[
        "cpp", "go", "java", "js", "php", "proto", "python", "rst",
        "ruby", "rust", "scala", "swift", "markdown", "latex", "html", "sol",
    ] = Field(title="Language", description="The language that the text fields are written in.")  # fmt: skip


class WholeText(Choice):
    """Do not split: one point for each record."""

    model_config = ConfigDict(title="Not at all")
    mode: Literal["none"] = "none"
    when_too_long: Literal["truncate", "fail"] = Field(
        default="truncate",
        title="Text longer than the chunk size",
        description="What becomes of a text that is longer than the chunk size, or than the model takes: truncate embeds "
        "and stores its beginning, fail ends the sync and names the record.",
        json_schema_extra=SHOWN,
    )


TextSplitter = SeparatorSplitter | MarkdownSplitter | CodeSplitter | WholeText


class FieldsFormat(Choice):
    """A line for each text field, with its name: `title: Qdrant`. This is what Airbyte's own connector does."""

    model_config = ConfigDict(title="Names and values")
    mode: Literal["fields"] = "fields"


class ValuesFormat(Choice):
    """The values of the text fields alone, a blank line between two of them."""

    model_config = ConfigDict(title="Values")
    mode: Literal["values"] = "values"


class TemplateFormat(Choice):
    """A text of your own with the values of fields in it."""

    model_config = ConfigDict(title="Template")
    mode: Literal["template"] = "template"
    template: Text = Field(
        title="Template",
        description="Fields in braces are replaced by their values; {{ and }} are braces. With {chunk} in it, the values "
        "of the text fields are split, and each piece gets the template around it; without, the whole is split.",
        examples=["{title}\n\n{body}", "{title} ({category}): {chunk}"],
        json_schema_extra={"multiline": True},
    )

    @field_validator("template")
    @classmethod
    def _readable(cls, text: str) -> str:
        try:
            template.parse(text)
        except template.BadTemplate as error:
            raise problem(str(error)) from None
        return text

    @property
    def parsed(self) -> Template:
        """Its words and its fields."""
        return template.parse(self.template)


TextFormat = FieldsFormat | ValuesFormat | TemplateFormat


class FieldNameMapping(Part):
    """One field and the name it gets."""

    model_config = ConfigDict(title="Renamed field")
    from_field: str = Field(title="Field in the record", description="Its name at the source.", examples=["body"])
    to_field: str = Field(title="Name in Qdrant", description="Its name in the payload.", examples=["content"])


class AsForAll(Choice):
    """Nothing of its own: as for all streams."""

    model_config = ConfigDict(title="As for all streams")
    mode: Literal["inherit"] = "inherit"


class StreamProcessing(Part):
    """Settings of one stream; what is left empty is as for all streams."""

    model_config = ConfigDict(title="Stream")
    name: Text = Field(title="Stream", description="Name of the stream.", examples=["issues"])
    namespace: OptionalText = Field(
        default=None,
        title="Namespace",
        description="Namespace of the stream. Empty: the streams of this name in all namespaces.",
        examples=["public"],
    )
    text_fields: tuple[str, ...] = Field(
        default=(), title="Text fields", description="As the field of this name above.", examples=["title", "body"]
    )
    metadata_fields: tuple[str, ...] = Field(
        default=(), title="Metadata fields", description="As the field of this name above.", examples=["state"]
    )
    # The form chooses the first branch beforehand, so that one has to change nothing.
    text_format: Annotated[AsForAll | TextFormat, Field(discriminator="mode")] = Field(
        default=AsForAll(), title="Form of the text", description="As the field of this name above."
    )
    text_splitter: Annotated[AsForAll | TextSplitter, Field(discriminator="mode")] = Field(
        default=AsForAll(), title="Text splitter", description="As the field of this name above."
    )

    @property
    def own_text_format(self) -> TextFormat | None:
        """Its form of the text; None where that is the one of all streams."""
        return None if isinstance(self.text_format, AsForAll) else self.text_format

    @property
    def own_text_splitter(self) -> TextSplitter | None:
        """Its splitter; None where that is the one of all streams."""
        return None if isinstance(self.text_splitter, AsForAll) else self.text_splitter


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
        "and into lists with a star (comments.*.text). Fields that a stream lacks are ignored.",
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
    text_format: Annotated[TextFormat, Field(discriminator="mode")] = Field(
        default=FieldsFormat(),
        title="Form of the text",
        description="What is embedded, and stored as the text of a point.",
    )
    text_splitter: Annotated[TextSplitter, Field(discriminator="mode")] = Field(
        default=SeparatorSplitter(),
        title="Text splitter",
        description="Where to split text that is longer than the chunk size.",
    )
    records_without_text: Literal["skip", "store", "fail"] = Field(
        default="skip",
        title="Records without text",
        description="What becomes of a record whose text fields are empty: skip leaves it out (in deduplicated streams "
        "what was stored of it goes), store keeps its metadata in a point without a vector, fail ends the sync.",
    )
    streams: tuple[StreamProcessing, ...] = Field(
        default=(),
        title="Streams with settings of their own",
        description="Other text fields, metadata fields, form of the text or splitter for some of the streams.",
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

    @field_validator("streams")
    @classmethod
    def _one_entry_per_stream(cls, streams: tuple[StreamProcessing, ...]) -> tuple[StreamProcessing, ...]:
        if len({(each.namespace, each.name) for each in streams}) < len(streams):
            raise problem("must not list a stream twice")
        return streams

    @field_validator("field_name_mappings")
    @classmethod
    def _one_source_per_target(cls, mappings: tuple[FieldNameMapping, ...]) -> tuple[FieldNameMapping, ...]:
        different = {(mapping.from_field, mapping.to_field) for mapping in mappings}
        if len({target for _, target in different}) < len(different):
            raise problem("must not give two fields the same to_field, because one would replace the other")
        return mappings
