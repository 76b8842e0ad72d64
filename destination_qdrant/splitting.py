"""How the documents of each stream become chunks, with the settings of the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .catalog import DestinationStream
from .chunking import Chunk, Splitter, TextTooLongError
from .config import Config, FieldsFormat, FromField, TemplateFormat, TextSplitter
from .config.template import CHUNK
from .documents import Document
from .embedding.base import TextLimit
from .errors import ConfigError
from .frames import Frame

Split = Callable[[Document], tuple[Chunk, ...]]


def splitting(streams: Iterable[DestinationStream], config: Config, limit: TextLimit | None) -> Split:
    """The function that splits any document of these streams.

    It returns one chunk without text for a document without text, and raises ConfigError for a text that is too long where
    that is to end the sync.

    Raises:
        ConfigError: the template of a stream leaves too little of a chunk to the text.
    """
    if isinstance(config.embedding, FromField):
        return _unsplit
    made: dict[tuple[TextSplitter, bool], Splitter] = {}  # streams with the same settings share what is remembered
    splitters = {}
    for stream in streams:
        settings = stream.text_splitter, isinstance(stream.text_format, FieldsFormat)
        splitter = splitters[stream.descriptor] = made.get(settings) or _splitter(*settings, config, limit)
        made[settings] = splitter
        _verify_template(stream, splitter, config)

    def split(document: Document) -> tuple[Chunk, ...]:
        try:
            chunks = splitters[document.stream.descriptor].split(document.text, document.frame)
        except TextTooLongError:
            raise _too_long(document, config) from None
        return chunks or (Chunk(0, ""),)

    return split


def _unsplit(document: Document) -> tuple[Chunk, ...]:
    """Where the vector came with the record, its text is what was embedded, or at least not for us to cut."""
    frame = document.frame
    shown = frame.around(document.text).strip() if frame and (document.text or frame.says_anything) else document.text
    return (Chunk(0, shown),)


def _splitter(how: TextSplitter, labelled: bool, config: Config, limit: TextLimit | None) -> Splitter:  # noqa: FBT001 -- a setting, passed on
    processing = config.processing
    return Splitter(
        how,
        chunk_size=processing.chunk_size,
        chunk_overlap=processing.chunk_overlap,
        limit=limit,
        labelled=labelled,
    )


def _verify_template(stream: DestinationStream, splitter: Splitter, config: Config) -> None:
    template = stream.text_format.parsed if isinstance(stream.text_format, TemplateFormat) else None
    if template is None or not template.holds_chunk:
        return
    frame = Frame(template.words, ("",) * len(template.fields), template.fields.index(CHUNK))
    if not splitter.leaves_room_for_text(frame):
        raise ConfigError(
            f"The words of the template of stream '{stream.descriptor}' alone fill more than half of a chunk of "
            f"{config.processing.chunk_size} tokens (or of what the model takes), and each chunk needs them; shorten "
            "processing.text_format.template, or raise processing.chunk_size."
        )


def _too_long(document: Document, config: Config) -> ConfigError:
    return ConfigError(
        f"The text of the record on line {document.line_number} (stream '{document.stream.descriptor}') is longer than "
        f"processing.chunk_size allows ({config.processing.chunk_size} tokens), or than the model takes; raise it, set "
        "processing.text_splitter to truncate such texts or to split them, or choose other text fields."
    )
