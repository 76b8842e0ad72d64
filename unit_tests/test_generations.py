"""What happens to a stream's old data at the end of the input (docs/delivery.md, "When is a stream complete?")."""

from __future__ import annotations

from typing import Any

import pytest
from builders import RUN, catalog
from memory_store import MemoryStore

from destination_qdrant.catalog import Catalog
from destination_qdrant.errors import ConfigError
from destination_qdrant.generations import StreamEnds, Verdict, outdated
from destination_qdrant.points import GENERATION_ID, LOADED_AT, NAMESPACE, RUN_ID, STREAM
from destination_qdrant.protocol import Descriptor, State, StateKind, StreamStatus

USERS = Descriptor(None, "users")


def _catalog(mode: str, generation: int | None = None, minimum: int | None = None, name: str = "users") -> Catalog:
    entry: dict[str, Any] = {"destination_sync_mode": mode, "generation_id": generation}
    return catalog({**entry, "minimum_generation_id": minimum, "stream": {"name": name}}, {"stream": {"name": "other"}})


OVERWRITE = [
    ("overwrite", None, None),
    ("overwrite", 0, 0),
    ("overwrite", 1, 1),
    ("overwrite", 7, 7),
]
APPEND_0 = [("append", None, None), ("append_dedup", 3, 0)]
APPEND_1 = [("append", 1, 1), ("append_dedup", 1, 1), ("append", 4, 1)]
APPEND_ABOVE_1 = [("append", 2, 2), ("append_dedup", 7, 7), ("append_dedup", 7, 3)]

NOTHING, REMOVES, PENDING, SILENT = "nothing", "removes", "pending", "silent"


def _kind(verdict: Verdict) -> str:
    """A verdict in a word; never two at once."""
    kinds = [
        name
        for name, holds in [(REMOVES, verdict.remove), (PENDING, verdict.pending), (SILENT, verdict.silent)]
        if holds
    ]
    assert len(kinds) <= 1
    return kinds[0] if kinds else NOTHING


def _each(modes: list[tuple[str, int | None, int | None]], story: list[str], kind: str) -> list[Any]:
    return [pytest.param(*mode, story, kind, id=f"{mode}-{'+'.join(story) or 'no word'}-{kind}") for mode in modes]


def _tell(ends: StreamEnds, of: Catalog, story: list[str]) -> None:
    for event in story:
        if event == "RECORD":
            ends.record(of.streams[0])
        elif event == "STATE":
            ends.state(State(b"", "STREAM", (USERS,), is_reset=False))
        elif event == "clear":
            ends.state(State(b"", "STREAM", (USERS,), is_reset=True))
        elif event.startswith("other "):
            ends.status(StreamStatus(Descriptor(None, "other"), event.removeprefix("other ")))
        elif event.startswith("unknown "):
            ends.status(StreamStatus(Descriptor(None, "nobody's"), event.removeprefix("unknown ")))
        else:
            ends.status(StreamStatus(USERS, event))


@pytest.mark.parametrize(
    ("mode", "generation", "minimum", "story", "kind"),
    [
        # COMPLETE for the stream
        *_each(OVERWRITE, ["RECORD", "COMPLETE"], REMOVES),
        *_each(APPEND_0, ["RECORD", "COMPLETE"], NOTHING),
        *_each(APPEND_1, ["RECORD", "COMPLETE"], REMOVES),
        *_each(APPEND_ABOVE_1, ["RECORD", "COMPLETE"], REMOVES),
        # a stream that is empty at the source is complete too
        *_each(OVERWRITE + APPEND_1 + APPEND_ABOVE_1, ["COMPLETE"], REMOVES),
        *_each(OVERWRITE + APPEND_1 + APPEND_ABOVE_1, ["STARTED", "RUNNING", "COMPLETE", "COMPLETE"], REMOVES),
        # no status for any stream
        *_each(OVERWRITE, ["RECORD"], REMOVES),
        *_each(OVERWRITE, ["STATE"], REMOVES),
        *_each(OVERWRITE, ["clear"], REMOVES),
        *_each(OVERWRITE, [], SILENT),
        *_each(APPEND_0 + APPEND_1, ["RECORD", "STATE"], NOTHING),
        *_each(APPEND_0 + APPEND_1, [], NOTHING),
        *_each(APPEND_ABOVE_1, ["RECORD", "STATE"], PENDING),
        *_each(APPEND_ABOVE_1, [], PENDING),
        # statuses in the run, but no COMPLETE for this stream
        *_each(OVERWRITE, ["RECORD", "STATE", "other COMPLETE"], PENDING),
        *_each(OVERWRITE, ["other COMPLETE"], PENDING),
        *_each(OVERWRITE, ["RECORD", "STARTED"], PENDING),
        *_each(OVERWRITE, ["RECORD", "INCOMPLETE"], PENDING),
        *_each(OVERWRITE, ["RECORD", "unknown COMPLETE"], PENDING),
        *_each(APPEND_0 + APPEND_1, ["RECORD", "other COMPLETE"], NOTHING),
        *_each(APPEND_0 + APPEND_1, ["RECORD", "INCOMPLETE"], NOTHING),
        *_each(APPEND_ABOVE_1, ["RECORD", "other COMPLETE"], PENDING),
        *_each(APPEND_ABOVE_1, ["RECORD", "INCOMPLETE"], PENDING),
        # the last status counts
        *_each(OVERWRITE + APPEND_ABOVE_1, ["COMPLETE", "INCOMPLETE"], PENDING),
        *_each(OVERWRITE + APPEND_ABOVE_1, ["INCOMPLETE", "COMPLETE"], REMOVES),
    ],
)
def test_table_of_completeness(
    mode: str, generation: int | None, minimum: int | None, story: list[str], kind: str
) -> None:
    of = _catalog(mode, generation, minimum)
    ends = StreamEnds(of)
    _tell(ends, of, story)
    verdict, other = ends.verdicts(RUN)

    assert verdict.stream == of.streams[0]
    assert _kind(verdict) == kind
    assert _kind(other) == NOTHING


def test_with_replicas_overwrite_goes_by_a_filter_that_no_later_run_can_match() -> None:
    (users, *_) = _catalog("overwrite", None, None).streams
    plain = list(outdated(users, RUN))
    bounded = list(outdated(users, RUN, loaded_before=1_000))[1:]

    assert len(plain) == len(list(outdated(users, RUN, loaded_before=1_000))) - 1
    store = MemoryStore()
    ours = {STREAM: "users", NAMESPACE: ""}
    store.put("this run", **ours, **{RUN_ID: RUN, LOADED_AT: 1_000})
    store.put("earlier", **ours, **{RUN_ID: "before", LOADED_AT: 999})
    store.put("later", **ours, **{RUN_ID: "after", LOADED_AT: 1_001})
    store.delete_where(bounded[0])
    assert set(store.points) == {"this run", "later"}


def _store(generation: int | None) -> MemoryStore:
    """One point of each kind that may stand in a collection during a sync of the stream `users`."""
    store = MemoryStore()
    ours = {STREAM: "users", NAMESPACE: ""}
    store.put("this run", **ours, **{RUN_ID: RUN, GENERATION_ID: generation})
    for earlier in (0, 1, 6, 7):
        store.put(f"generation {earlier}", **ours, **{RUN_ID: "before", GENERATION_ID: earlier})
    store.put("no generation", **ours, **{RUN_ID: "before"})
    store.put("airbyte's", **{STREAM: "users"})
    store.put("no sync wrote it", text="by hand")
    store.put("other namespace", **{STREAM: "users", NAMESPACE: "x", RUN_ID: "before", GENERATION_ID: 0})
    store.put("other stream", **{STREAM: "other", NAMESPACE: "", RUN_ID: "before", GENERATION_ID: 0})
    return store


EARLIER = {"generation 0", "generation 1", "generation 6", "generation 7", "no generation"}


@pytest.mark.parametrize(
    ("mode", "generation", "minimum", "gone"),
    [
        ("overwrite", None, None, {*EARLIER, "airbyte's"}),
        ("overwrite", 1, 1, {*EARLIER, "airbyte's"}),
        ("overwrite", 7, 7, {*EARLIER, "airbyte's"}),
        ("append", 1, 1, {"generation 0"}),
        ("append_dedup", 1, 1, {"generation 0"}),
        ("append", 7, 7, {"generation 0", "generation 1", "generation 6", "no generation", "airbyte's"}),
        ("append_dedup", 7, 7, {"generation 0", "generation 1", "generation 6", "no generation", "airbyte's"}),
        ("append_dedup", 7, 6, {"generation 0", "generation 1", "no generation", "airbyte's"}),
        ("append", 7, 0, set()),
    ],
)
def test_what_goes_with_a_replaced_stream(
    mode: str, generation: int | None, minimum: int | None, gone: set[str]
) -> None:
    store = _store(generation)
    ends = StreamEnds(_catalog(mode, generation, minimum))
    ends.status(StreamStatus(USERS, "COMPLETE"))
    before = set(store.points)
    for verdict in ends.verdicts(RUN):
        for where in verdict.remove:
            store.delete_where(where)

    assert before - set(store.points) == gone


@pytest.mark.parametrize(
    ("descriptor", "taken"),
    [
        (Descriptor(None, "users"), True),
        (Descriptor(None, "old_users"), False),  # may be the stream users of the namespace old
        (Descriptor("old", "users"), False),  # may be the stream old_users of no namespace
    ],
)
def test_points_of_airbytes_connector_go_only_where_their_stream_can_be_no_other(
    *, descriptor: Descriptor, taken: bool
) -> None:
    of = catalog(
        {
            "stream": {"name": descriptor.name, "namespace": descriptor.namespace},
            "destination_sync_mode": "overwrite",
        }
    )
    store = MemoryStore()
    store.put(1, **{STREAM: of.streams[0].identifier})
    ends = StreamEnds(of)
    ends.status(StreamStatus(descriptor, "COMPLETE"))
    for where in ends.verdicts(RUN)[0].remove:
        store.delete_where(where)

    assert (not store.points) is taken


@pytest.mark.parametrize(
    ("kind", "named", "is_reset", "spoken_of"),
    [
        ("GLOBAL", (), True, {"users", "other"}),
        ("GLOBAL", (Descriptor("source", "people"),), True, {"users", "other"}),
        ("LEGACY", (), True, {"users", "other"}),
        ("GLOBAL", (USERS,), True, {"users", "other"}),  # the other may have another name at the source
        ("GLOBAL", (USERS,), False, {"users"}),
        ("GLOBAL", (Descriptor("source", "people"),), False, set()),
        ("GLOBAL", (), False, set()),
        ("LEGACY", (), False, set()),
        ("STREAM", (USERS,), True, {"users"}),
        ("STREAM", (Descriptor(None, "nobody's"),), True, set()),
    ],
)
def test_of_which_streams_a_state_speaks(
    *, kind: StateKind, named: tuple[Descriptor, ...], is_reset: bool, spoken_of: set[str]
) -> None:
    overwrite = {"destination_sync_mode": "overwrite"}
    ends = StreamEnds(catalog({"stream": {"name": "users"}, **overwrite}, {"stream": {"name": "other"}, **overwrite}))
    ends.state(State(b"", kind, named, is_reset=is_reset))
    verdicts = ends.verdicts(RUN)

    assert {each.stream.descriptor.name for each in verdicts if each.remove} == spoken_of
    assert {each.stream.descriptor.name for each in verdicts if each.silent} == {"users", "other"} - spoken_of


@pytest.mark.parametrize("with_record", [False, True])
@pytest.mark.parametrize("other_mode", ["overwrite", "append"])
def test_a_reset_of_everything_is_a_clear_only_without_records_and_where_all_is_overwritten(
    *, with_record: bool, other_mode: str
) -> None:
    of = catalog(
        {"stream": {"name": "users"}, "destination_sync_mode": "overwrite"},
        {"stream": {"name": "other"}, "destination_sync_mode": other_mode},
    )
    ends = StreamEnds(of)
    ends.state(State(b"", "GLOBAL", (), is_reset=True))
    if with_record:
        ends.record(of.streams[1])

    assert _kind(ends.verdicts(RUN)[0]) == (REMOVES if (other_mode, with_record) == ("overwrite", False) else SILENT)


def test_a_status_of_an_unknown_stream_is_told_apart() -> None:
    ends = StreamEnds(_catalog("append"))

    assert not ends.status(StreamStatus(Descriptor("x", "users"), "COMPLETE"))
    assert ends.status(StreamStatus(USERS, "COMPLETE"))


def test_a_status_without_namespace_belongs_to_the_only_stream_of_that_name() -> None:
    ends = StreamEnds(
        catalog({"stream": {"name": "users", "namespace": "x"}, "generation_id": 2, "minimum_generation_id": 2})
    )
    ends.status(StreamStatus(USERS, "COMPLETE"))

    assert _kind(ends.verdicts(RUN)[0]) == REMOVES


def test_a_status_without_namespace_that_may_mean_two_streams_is_a_config_error() -> None:
    ends = StreamEnds(
        catalog({"stream": {"name": "users", "namespace": "x"}}, {"stream": {"name": "users", "namespace": "y"}})
    )

    with pytest.raises(ConfigError, match="no namespace"):
        ends.status(StreamStatus(USERS, "COMPLETE"))
