"""What happens to a stream's old data at the end of the input (pure).

Rules (Airbyte's refreshes, by generations; `docs/delivery.md` tells them to users):

1.  Nothing is removed before the end, and only at the end of a stream that is complete.
2.  `overwrite` never resumes: at the end everything of the stream goes that this run did not write.
3.  Append modes with a minimum generation above 0: points of generations below the minimum go; an earlier attempt
    of the same generation stays. The generation that a point lacks (it was written by a sender without
    refreshes) counts as older only where the replacement is certain, see 6.
4.  A stream is complete with its COMPLETE. For `overwrite` in a run without any status, the clean end of the input
    stands in for it, unless the stream got neither RECORD nor STATE: then nobody spoke of it and it is kept.
5.  Without COMPLETE, while a replacement is pending (`overwrite` in a run with statuses, or a minimum above 1), nothing
    is removed and the sync fails as transient. A minimum of 1 alone is no proof of a replacement, since
    PyAirbyte sends generation 1 and minimum 1 in every sync.
6.  Points of Airbyte's connector go with a replaced stream only where the replacement is certain (`overwrite`, or a
    minimum above 1) and their `_ab_stream` can mean no other stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .catalog import Catalog, DestinationStream
from .identity import is_plain_identifier
from .payload import GENERATION_ID, LOADED_AT, RUN_ID
from .points import of_airbyte, of_stream
from .protocol import Descriptor, State, StreamStatus
from .qdrant.base import Below, Equals, Missing, Where


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the end of the input means for one stream.

    `remove`: what goes now. `pending`: it should have been replaced, and was not completed.
    `silent`: it would have been replaced had anybody spoken of it.
    """

    stream: DestinationStream
    remove: tuple[Where, ...] = ()
    pending: bool = False
    silent: bool = False


class StreamEnds:
    """Remembers what was said about each stream; of COMPLETE and INCOMPLETE the last one counts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._statuses: dict[Descriptor, str] = {}
        self._spoken_of: set[Descriptor] = set()
        self._any_status = False
        self._any_record = False
        self._any_reset = False

    def record(self, stream: DestinationStream) -> None:
        """The stream got a record."""
        self._any_record = True
        self._spoken_of.add(stream.descriptor)

    def state(self, state: State) -> None:
        """A STATE came: it speaks of the streams it names."""
        named = (stream for stream in map(self._catalog.mentioned, state.streams) if stream)
        self._spoken_of.update(stream.descriptor for stream in named)
        self._any_reset = self._any_reset or (state.is_reset and state.kind != "STREAM")

    def status(self, status: StreamStatus) -> bool:
        """A status came; False when the catalog does not have its stream. Only its end counts, the last one said."""
        self._any_status = True
        stream = self._catalog.find(status.descriptor)
        if stream is not None and status.status in ("COMPLETE", "INCOMPLETE"):
            self._statuses[stream.descriptor] = status.status
        return stream is not None

    def verdicts(self, run_id: str, *, loaded_before: int | None = None) -> list[Verdict]:
        """What the clean end of the input means, stream by stream; `loaded_before` as of `outdated`."""
        return [
            self._verdict(stream, tuple(outdated(stream, run_id, loaded_before=loaded_before)))
            for stream in self._catalog.streams
        ]

    def _verdict(self, stream: DestinationStream, old: tuple[Where, ...]) -> Verdict:
        if not replaces(stream):
            return Verdict(stream)
        if self._statuses.get(stream.descriptor) == "COMPLETE":
            return Verdict(stream, remove=old)
        if stream.sync_mode != "overwrite":
            return Verdict(stream, pending=stream.minimum_generation_id > 1)
        if self._any_status:
            return Verdict(stream, pending=True)
        if stream.descriptor not in self._spoken_of and not self._is_clear():
            return Verdict(stream, silent=True)
        return Verdict(stream, remove=old)

    def _is_clear(self) -> bool:
        """Whether this is a clear of a source with GLOBAL states.

        Its descriptors carry the source's names, so they need not match; it has no records and only `overwrite`.
        """
        only_overwrite = all(stream.sync_mode == "overwrite" for stream in self._catalog.streams)
        return self._any_reset and not self._any_record and only_overwrite


def replaces(stream: DestinationStream) -> bool:
    """Whether the end of the stream removes older data."""
    return stream.sync_mode == "overwrite" or stream.minimum_generation_id > 0


def is_certain(stream: DestinationStream) -> bool:
    """Whether the catalog can only mean that the stream's old data is to be replaced."""
    return stream.sync_mode == "overwrite" or stream.minimum_generation_id > 1


def outdated(stream: DestinationStream, run_id: str, *, loaded_before: int | None = None) -> Iterable[Where]:
    """The points that a completed replacement removes.

    `loaded_before`: when the run began (Unix time in milliseconds), for a collection with replicas. What a replica holds
    and the one that is read has lost can only be reached by a filter, and this one, however late it is carried out, matches
    nothing that later runs write.
    """
    ours = of_stream(stream)
    if stream.sync_mode == "overwrite":
        others = (Equals(RUN_ID, run_id), Missing(RUN_ID))
        yield Where(ours, others)
        if loaded_before is not None:
            yield Where((*ours, Below(LOADED_AT, loaded_before)))  # neither this run's points nor Airbyte's
    else:
        yield Where((*ours, Below(GENERATION_ID, stream.minimum_generation_id)), (Missing(RUN_ID),))
        if is_certain(stream):
            yield Where((*ours, Missing(GENERATION_ID)), (Missing(RUN_ID),))
    if is_certain(stream) and is_plain_identifier(stream.descriptor):
        yield of_airbyte(stream)
