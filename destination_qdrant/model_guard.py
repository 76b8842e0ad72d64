"""Whether a collection holds vectors of the model that a sync is about to use, by a note kept with it (pure).

    {"embedding": {VECTOR: {"model": …, "dimensions": …, "chunking": …}}}

VECTOR is the name of the vector, "unnamed" for the unnamed one. Entries of other vectors, and what else a note holds,
stay as they are. A part that a note lacks is one that nobody knew, and contradicts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .config import CodeSplitter, Config, FromField, MarkdownSplitter
from .errors import ConfigError
from .vectors import UNNAMED


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


def judge(note: Mapping[str, Any] | None, name: str, now: Making, *, guarded: bool) -> Judgement:
    """Compare a note about the vector `name` with how vectors are made now.

    Raises:
        ConfigError: vectors of another model are there, and `indexing.model_guard` is on.
    """
    known = (note or {}).get("embedding")
    known = known if isinstance(known, Mapping) else {}
    label = "unnamed" if name == UNNAMED else name
    noted = known.get(label)
    noted = noted if isinstance(noted, Mapping) else {}
    entry = {**noted, **asdict(now)}
    if entry == noted:
        return Judgement()
    warning = _warning(noted, now, guarded=guarded)
    return Judgement({**(note or {}), "embedding": {**known, label: entry}}, warning)


def _warning(noted: Mapping[str, Any], now: Making, *, guarded: bool) -> str:
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
            f"Text was split otherwise until now ({noted['chunking']}; now {now.chunking or 'not at all'}): records "
            "split in both ways stand side by side until each is synced again."
        )
    return ""


def _differs(noted: Mapping[str, Any], part: str, now: object) -> bool:
    return noted.get(part) is not None and noted[part] != now


def _of(model: object, dimensions: object) -> str:
    named = "the records" if model == "records" else f"{model or 'an unknown model'}"
    return f"{named} ({dimensions or 'unknown'} dimensions)"


def _chunking(config: Config) -> str:
    """Everything that decides where text is cut, short enough to be read."""
    processing = config.processing
    splitter = processing.text_splitter
    if isinstance(splitter, MarkdownSplitter):
        where = f"Markdown headings to level {splitter.split_level}"
    elif isinstance(splitter, CodeSplitter):
        where = f"code in {splitter.language}"
    else:
        kept = "kept" if splitter.keep_separator else "dropped"
        where = f"separators {' '.join(map(json.dumps, splitter.parsed))} {kept}"
    return f"{processing.chunk_size} tokens, {processing.chunk_overlap} repeated, {where}"
