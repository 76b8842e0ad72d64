"""Whether a collection holds vectors of the model that a sync is about to use, by a note kept with it (pure).

    {"embedding": {VECTOR: {"model": …, "dimensions": …, "chunking": …}}}

VECTOR is the name of the vector, "unnamed" for the unnamed one. Entries of other vectors, and what else a note holds,
stay as they are. A part that a note lacks, or has as another type, is one that nobody knew, and contradicts nothing.
A note may have been written by anybody, so its texts are shown cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .config import (
    CodeSplitter,
    Config,
    FromField,
    MarkdownSplitter,
    StreamProcessing,
    TemplateFormat,
    TextFormat,
    TextSplitter,
    ValuesFormat,
    WholeText,
)
from .errors import ConfigError
from .vectors import UNNAMED
from .wording import LONGEST_TEXT, shown

_UNNAMED_LABEL = "unnamed"
_LONGEST_TEMPLATE = 60
_TYPES: Mapping[str, type] = {"model": str, "dimensions": int, "chunking": str}


@dataclass(frozen=True, slots=True)
class Making:
    """How vectors are made: `chunking` is None where text is not split, because vectors come with the records."""

    model: str
    dimensions: int
    chunking: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """`note` is what to remember from now on, None for nothing new; `warning` is a sentence for the user, or empty."""

    note: Mapping[str, Any] | None = None
    warning: str = ""


def making(config: Config, model: str, dimensions: int) -> Making:
    """How this configuration makes vectors; `model` as the embedder names it."""
    if isinstance(config.embedding, FromField):
        return Making("records", dimensions, None)  # a field that gets another name is no other model
    return Making(model, dimensions, _chunking(config))


def noted(note: Mapping[str, Any] | None, name: str) -> Making | None:
    """How the vectors `name` of a collection were made, where model and dimensions are noted."""
    parts = _readable(_entry(note, name))
    if "model" not in parts or "dimensions" not in parts:
        return None
    return Making(parts["model"], parts["dimensions"], parts.get("chunking"))


def judge(note: Mapping[str, Any] | None, name: str, now: Making, *, guarded: bool) -> Judgement:
    """Compare a note about the vector `name` with how vectors are made now.

    Raises:
        ConfigError: vectors of another model are there, and `indexing.model_guard` is on.
    """
    known = _known(note)
    label, found = _label(name), _entry(note, name)
    entry = {**found, **asdict(now)}
    if entry == found:
        return Judgement()
    others = [other for other, parts in known.items() if other != label and isinstance(parts, Mapping)]
    warnings = _changed(_readable(found), now, guarded=guarded), _beside(others)
    return Judgement({**(note or {}), "embedding": {**known, label: entry}}, " ".join(filter(None, warnings)))


def _label(name: str) -> str:
    return _UNNAMED_LABEL if name == UNNAMED else name


def _known(note: Mapping[str, Any] | None) -> Mapping[str, Any]:
    known = (note or {}).get("embedding")
    return known if isinstance(known, Mapping) else {}


def _entry(note: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    entry = _known(note).get(_label(name))
    return entry if isinstance(entry, Mapping) else {}


def _readable(noted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parts of an entry that have the type of ours."""
    return {part: noted[part] for part, kind in _TYPES.items() if type(noted.get(part)) is kind}


def _beside(others: Sequence[str]) -> str:
    """A sentence about the other vectors of the collection that are known."""
    if not others:
        return ""
    named = shown(
        " and ".join("the unnamed vector" if each == _UNNAMED_LABEL else f'vector "{each}"' for each in others),
        LONGEST_TEXT,
    )
    return (
        f"This connector also writes {named} of this collection; a record that both syncs have keeps only the vectors "
        "of the one that wrote it last: use another indexing.collection, or different streams."
    )


def _changed(noted: Mapping[str, Any], now: Making, *, guarded: bool) -> str:
    if _differs(noted, "model", now.model) or _differs(noted, "dimensions", now.dimensions):
        found = (
            f"The collection holds vectors of {_of(noted.get('model'), noted.get('dimensions'))}, and this sync makes "
            f"vectors of {_of(now.model, now.dimensions)}: they cannot be compared"
        )
        if guarded:
            raise ConfigError(
                f"{found}. Configure the model that the collection holds, choose another indexing.collection, or "
                "switch indexing.model_guard off to mix them until all records are synced again."
            )
        return f"{found}, so searches find the right records only when all of them are synced again."
    if _differs(noted, "chunking", now.chunking):
        return (
            f"Text was split otherwise until now ({shown(noted['chunking'], LONGEST_TEXT)}; now {now.chunking or 'not at all'}): records "
            "split in both ways stand side by side until each is synced again."
        )
    return ""


def _differs(noted: Mapping[str, Any], part: str, now: object) -> bool:
    return part in noted and noted[part] != now


def _of(model: str | None, dimensions: int | None) -> str:
    named = "the records" if model == "records" else shown(model or "", LONGEST_TEXT) or "an unknown model"
    return f"{named} ({dimensions or 'unknown'} dimensions)"


def _chunking(config: Config) -> str:
    """Everything that decides where text is cut and what stands around it, short enough to be read.

    What was not there when notes began says nothing by default, so that no note changes by itself.
    """
    processing = config.processing
    said = [f"{processing.chunk_size} tokens", *_splitting(processing.text_splitter, processing.chunk_overlap)]
    said += _form(processing.text_format)
    own = [each for each in processing.streams if each.own_text_format or each.own_text_splitter]
    if own:
        which = [(each.namespace, each.name, _own(each)) for each in own]
        said.append(f"some streams otherwise ({_digest(json.dumps(sorted(which, key=repr)))})")
    return ", ".join(said)


def _splitting(splitter: TextSplitter, overlap: int) -> list[str]:
    if isinstance(splitter, WholeText):
        return ["whole texts"]
    if isinstance(splitter, MarkdownSplitter):
        path = " with their path" if splitter.heading_path else ""
        where = f"Markdown headings to level {splitter.split_level}{path}"
    elif isinstance(splitter, CodeSplitter):
        where = f"code in {splitter.language}"
    else:
        kept = "kept" if splitter.keep_separator else "dropped"
        where = f"separators {' '.join(map(json.dumps, splitter.parsed))} {kept}"
    return [f"{overlap} repeated", where]


def _form(form: TextFormat) -> list[str]:
    if isinstance(form, ValuesFormat):
        return ["values alone"]
    if isinstance(form, TemplateFormat):
        template = json.dumps(form.template, ensure_ascii=False)
        return [f"template {template if len(template) <= _LONGEST_TEMPLATE else _digest(template)}"]
    return []


def _own(stream: StreamProcessing) -> list[str]:
    """What a stream has for itself; the overlap is for all of them."""
    splitter = _splitting(stream.own_text_splitter, 0) if stream.own_text_splitter else []
    return [*splitter, *(_form(stream.own_text_format) or ["names"] if stream.own_text_format else [])]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
