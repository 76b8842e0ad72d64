"""One batch on its way into Qdrant: look up, embed, write, remove what it replaces.

The order is what keeps data safe: new points are written before old ones are removed, and what is removed is found
among what is stored, never computed from a remembered count. A kill between the two leaves a record with both
versions, and the next try finds and removes the older one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .batching import Batch, Entry
from .busy import Task
from .documents import Delete, Upsert
from .errors import ConfigError, PointRefusedError, ProviderError, SystemFault, TextRefusedError
from .payload import CONTENT_HASH, LOADED_AT, RECORD_KEY
from .points import Placed, of_stream, point_bytes, to_point
from .protocol import Descriptor
from .qdrant.base import Below, PointId
from .site import Site
from .survey import Survey, by_stream, survey
from .tally import Tally
from .vectors import Dense, Vector, is_usable


@dataclass(frozen=True, slots=True)
class CommitReceipt:
    """What Qdrant has completed, by input position; only made after it said so."""

    written: tuple[int, ...]
    skipped: tuple[int, ...]
    deleted: tuple[int, ...]
    tallies: Mapping[Descriptor, Tally] = field(default_factory=dict)


def deliver(batch: Batch, site: Site) -> CommitReceipt:
    """Bring a batch into Qdrant; returns when everything in it is completed there.

    Raises:
        ConnectorError: it could not be; where the input is to blame, it says which part of it.
    """
    try:
        return _deliver(batch, site)
    except (PointRefusedError, TextRefusedError) as error:  # says already which record it is about
        raise ConfigError(error.message, detail=error.detail) from error
    except ProviderError:  # a part of the input would send the user to data that is good
        raise
    except (ConfigError, SystemFault) as error:
        raise error.at(batch.whereabouts()) from error


def _deliver(batch: Batch, site: Site) -> CommitReceipt:
    with site.busy.at(Task.QDRANT):
        found = survey(batch.entries, site)
    tallies = _Tallies(found)
    for part in _parts(found.to_write(), site):
        _write(part, found, site, tallies)
    stale = _stale(found)
    if stale:
        with site.busy.at(Task.QDRANT):
            site.store.delete([point_id for point_ids in stale.values() for point_id in point_ids])
        tallies.removed(stale)
    if site.replicated:
        with site.busy.at(Task.QDRANT):
            _remove_unseen(found, site)
    return _receipt(batch, found.current, tallies.by_stream)


def _stale(found: Survey) -> Mapping[Descriptor, list[PointId]]:
    """What is stored of the batch's records and is no part of them any more."""
    stale: dict[Descriptor, list[PointId]] = {}
    for entry in found.current if found.stored else ():
        kept = {each.id for each in found.placed[entry.position]}
        gone = [point_id for point_id in found.stored.ids(entry) if point_id not in kept]
        if gone:
            stale.setdefault(entry.stream.descriptor, []).extend(gone)
    return stale


def _remove_unseen(found: Survey, site: Site) -> None:
    """Remove what the lookup could not see: a removal that a sync gave up in an outage leaves replicas that differ.

    Qdrant does not mend that, and no read tells of it. The filter is one for the whole batch and on indexed fields; however
    late it is carried out, it matches nothing that this run or a later one writes.
    """
    for same in by_stream(entry for entry in found.current if entry.key).values():
        remaining = {
            entry.key[1]: sorted((each.id for each in found.placed[entry.position]), key=str)
            for entry in same
            if entry.key
        }
        scope = (*of_stream(same[0].stream), Below(LOADED_AT, site.form.loaded_at))
        site.store.keep_only(scope, RECORD_KEY, remaining)


# ----------------------------------------------------------------------------------------------------------
# Writing


def _parts(placed: Iterator[Placed], site: Site) -> Iterator[list[Placed]]:
    """Parts of bounded size, so that one record of many chunks does not have to fit into memory as points."""
    part: list[Placed] = []
    size = 0
    for each in placed:
        weight = point_bytes(each.document, each.chunk.text, site.dimensions)
        if part and (len(part) >= site.points_per_write or size + weight > site.bytes_per_write):
            yield part
            part, size = [], 0
        part.append(each)
        size += weight
    if part:
        yield part


def _write(part: Sequence[Placed], found: Survey, site: Site, tallies: _Tallies) -> None:
    """Embed and upsert one part."""
    made = _Making(found.vector_at, site)
    try:
        vectors = site.cache.vectors(_texts(part), made.vectors)
    except TextRefusedError as error:
        refused = next((each for each in part if each.chunk.text == error.text), None)
        raise error.at(_whereabouts(refused)) if refused else ConfigError(error.message, detail=error.detail) from error
    points = [to_point(each, _vectors_of(each, vectors, site), site.form) for each in part]
    try:
        with site.busy.at(Task.QDRANT), site.writing:
            site.store.upsert(points)
    except PointRefusedError as error:
        raise error.at(_whereabouts(part[error.index])) from error
    tallies.wrote(part, made.tokens)


def _texts(part: Sequence[Placed]) -> dict[str, str]:
    """Content hash -> text of what needs a vector."""
    return {each.content_hash: each.chunk.text for each in part if each.content_hash and not each.document.given}


def _vectors_of(placed: Placed, vectors: Mapping[str, Vector], site: Site) -> Mapping[str, Vector]:
    if placed.document.given or placed.content_hash is None:
        return placed.document.given
    return {site.form.vector_name: vectors[placed.content_hash]}


def _whereabouts(placed: Placed) -> str:
    return f"line {placed.position} of the input, stream {placed.document.stream.descriptor}"


class _Making:
    """Vectors for texts that this run has not met yet: those that are stored, and the model's for the rest."""

    def __init__(self, vector_at: Mapping[str, PointId], site: Site) -> None:
        self._vector_at = vector_at
        self._site = site
        self.tokens: dict[str, int] = {}  # of what the model was sent, by content hash

    def vectors(self, texts: Mapping[str, str]) -> Mapping[str, Vector]:
        """A vector for each."""
        stored = self._stored(texts)
        rest = {each: text for each, text in texts.items() if each not in stored}
        return stored | dict(zip(rest, self._embedded(rest), strict=True)) if rest else stored

    def _stored(self, texts: Mapping[str, str]) -> dict[str, Vector]:
        known = {each: self._vector_at[each] for each in texts if each in self._vector_at}
        if not known:
            return {}
        name, dimensions = self._site.form.vector_name, self._site.dimensions
        # The hash once more, in the same read: a replica that lags, or another sync, may show another version of the point.
        with self._site.busy.at(Task.QDRANT):
            found = self._site.store.retrieve_vectors(list(known.values()), name, (CONTENT_HASH,))
        # Whatever is odd about a stored vector, the model can make a new one.
        return {
            each: found[point_id].vector
            for each, point_id in known.items()
            if point_id in found
            and found[point_id].payload.get(CONTENT_HASH) == each
            and found[point_id].vector.dimensions == dimensions
            and is_usable(found[point_id].vector)
        }

    def _embedded(self, texts: Mapping[str, str]) -> Sequence[Vector]:
        embedder, dimensions = self._site.embedder, self._site.dimensions
        tokens = [embedder.count_tokens(text) for text in texts.values()]
        with self._site.busy.at(Task.EMBEDDING):
            vectors = embedder.embed_documents(list(texts.values()), tokens)
        if any(isinstance(vector, Dense) and vector.dimensions != dimensions for vector in vectors):
            raise ConfigError(
                f"The model {embedder.model} gives vectors of another length than {dimensions}, which the collection "
                "has: another model seems to be behind its name now; check embedding."
            )
        self.tokens = dict(zip(texts, tokens, strict=True))
        return vectors


# ----------------------------------------------------------------------------------------------------------
# What was done


class _Tallies:
    """Counts what is done for a batch."""

    def __init__(self, found: Survey) -> None:
        self.by_stream: dict[Descriptor, Tally] = {}
        for descriptor, same in by_stream(found.current).items():
            chunks = sum(len(found.placed[entry.position]) for entry in same)
            unchanged = sum(entry.position in found.unchanged for entry in same)
            self._add(descriptor, Tally(chunks=chunks, unchanged=unchanged))

    def wrote(self, part: Sequence[Placed], embedded: Mapping[str, int]) -> None:
        """A part is written; `embedded` has the tokens of each text that the model was sent, by content hash."""
        sent = dict(embedded)
        for descriptor, same in _by_stream(part).items():
            needed = [each.content_hash for each in same if each.content_hash and not each.document.given]
            tokens = [sent.pop(each) for each in needed if each in sent]
            reused = len(needed) - len(tokens)
            self._add(descriptor, Tally(points=len(same), embedded=len(tokens), reused=reused, tokens=sum(tokens)))

    def removed(self, stale: Mapping[Descriptor, Sequence[PointId]]) -> None:
        """Stale points are gone."""
        for descriptor, point_ids in stale.items():
            self._add(descriptor, Tally(removed=len(point_ids)))

    def _add(self, descriptor: Descriptor, tally: Tally) -> None:
        self.by_stream[descriptor] = self.by_stream.get(descriptor, Tally()) + tally


def _by_stream(part: Sequence[Placed]) -> Mapping[Descriptor, list[Placed]]:
    same: dict[Descriptor, list[Placed]] = {}
    for each in part:
        same.setdefault(each.document.stream.descriptor, []).append(each)
    return same


def _receipt(batch: Batch, current: Sequence[Entry], tallies: Mapping[Descriptor, Tally]) -> CommitReceipt:
    written = [entry.position for entry in current if isinstance(entry.operation, Upsert)]
    deleted = [
        entry.position
        for entry in current
        if isinstance(entry.operation, Delete) and entry.operation.because == "deleted"
    ]
    done = {*written, *deleted}
    skipped = [entry.position for entry in batch.entries if entry.position not in done]
    return CommitReceipt(tuple(written), (*skipped, *batch.superseded), tuple(deleted), tallies)
