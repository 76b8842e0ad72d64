"""Who a record is: keys that never collide, ids that never change, and what Airbyte's own ids can tell."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from destination_qdrant.catalog import DestinationStream, SyncMode
from destination_qdrant.identity import (
    PointIds,
    RecordKey,
    airbyte_record_id,
    canonical,
    is_plain_identifier,
    is_plain_record_id,
    keyed_ids,
    record_key,
    run_ids,
    value_at,
)
from destination_qdrant.protocol import Descriptor

Json = dict[str, Any]
Paths = tuple[tuple[str, ...], ...]

GOLDEN: Json = json.loads((Path(__file__).parent / "golden_ids.json").read_text("utf-8"))
NAMESPACE = UUID("8f0c0b3e-5a6d-5f0e-9c3b-7d1a4e2f6a90")
ID: Paths = (("id",),)


def stream_of(
    primary_key: Paths = ID,
    *,
    descriptor: Descriptor = Descriptor(None, "users"),  # noqa: B008 -- frozen
    schema: Json | None = None,
    sync_mode: SyncMode = "append_dedup",
) -> DestinationStream:
    return DestinationStream(
        descriptor=descriptor,
        sync_mode=sync_mode,
        primary_key=primary_key,
        cursor=(),
        generation_id=None,
        minimum_generation_id=0,
        sync_id=None,
        json_schema=schema or {},
        collection="c",
        text_fields=(),
        metadata_fields=(),
    )


# ----------------------------------------------------------------------------------------------------------
# Golden values: a change here would double every point that is stored already


@pytest.mark.parametrize("golden", GOLDEN["keyed"], ids=lambda golden: golden["about"])
def test_golden_keys_and_ids_never_change(golden: Json) -> None:
    key = record_key(golden["data"], tuple(map(tuple, golden["primary_key"])))
    ids = keyed_ids(Descriptor.of(golden["namespace"], golden["stream"]), key)

    assert (key.text, key.is_content) == (golden["key"], golden["is_content"])
    assert [ids[index] for index in range(3)] == golden["ids"]


@pytest.mark.parametrize("golden", GOLDEN["run"])
def test_golden_ids_of_runs_never_change(golden: Json) -> None:
    ids = run_ids(golden["run_id"], golden["line"])

    assert [ids[index] for index in range(3)] == golden["ids"]


def test_golden_ids_are_all_different() -> None:
    ids = [each for golden in (*GOLDEN["keyed"], *GOLDEN["run"]) if "same_as" not in golden for each in golden["ids"]]

    assert len(set(ids)) == len(ids)


# ----------------------------------------------------------------------------------------------------------
# Injectivity

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(["", "1", "1.0", "true", "null", "a_b", '","', "[]", "NaN", "\ud800", "é"]),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
TEXTS = st.sampled_from(["", "a", "b", "a_b", '"', '","', "[", "users"]) | st.text(max_size=3)
IDENTITIES = st.tuples(
    st.none() | TEXTS, TEXTS, st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), st.integers(0, 3)
)
COLUMNS: Paths = (("a",), ("b",))


def typed(value: Any) -> Any:
    """What tells two JSON values apart: their type and value, where 1 and 1.0 are the same number."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, dict):
        return ("object", tuple(sorted((name, typed(member)) for name, member in value.items())))
    if isinstance(value, list):
        return ("array", tuple(map(typed, value)))
    return (type(value).__name__ if isinstance(value, str) else "number", value)


def what_it_is(identity: tuple[str | None, str, Json, int]) -> Any:
    namespace, name, data, index = identity
    key = {column: typed(data[column]) for column in "ab" if column in data}
    if set(key.values()) <= {"None"}:
        key = {"whole content": repr(typed(data))}
    return namespace or None, name, tuple(sorted(key.items(), key=lambda item: item[0])), index


def point_id(identity: tuple[str | None, str, Json, int]) -> str:
    namespace, name, data, index = identity
    return keyed_ids(Descriptor.of(namespace, name), record_key(data, COLUMNS))[index]


@given(IDENTITIES, IDENTITIES)
def test_two_records_share_an_id_only_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (point_id(one) == point_id(other)) == (what_it_is(one) == what_it_is(other))


@given(IDENTITIES, st.data())
def test_a_record_that_differs_in_one_thing_has_another_id(one: Any, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 3))
    other = list(one)
    other[place] = data.draw(IDENTITIES)[place]
    assume(what_it_is(one) != what_it_is(tuple(other)))

    assert point_id(one) != point_id(tuple(other))


DIFFERENT: list[Json] = [
    {"a": 1},
    {"a": "1"},
    {"a": True},
    {"a": "true"},
    {"a": [1]},
    {"a": {"b": 1}},
    {"a": 1, "b": None},
    {"a": None, "b": 1},
    {"b": 1},
    {"a": "a_b", "b": "c"},
    {"a": "a", "b": "b_c"},
    {"a": 10**32},
    {"a": 10**32 + 1},
    {"a": 1e32 + 1e17},
    {"a": 0.1},
    {"a": math.nan},
    {"a": math.inf},
    {"a": -math.inf},
    {"a": "NaN"},
    {"a": "\ud800"},
    {"a": "\udc00"},
    {"a": "?"},
    {"a": ""},
]


def test_keys_of_all_kinds_are_told_apart() -> None:
    assert len({record_key(data, COLUMNS).text for data in DIFFERENT}) == len(DIFFERENT)


EXACT = [
    "1.00000000000000000001",
    "1.00000000000000000002",
    "-1.00000000000000000001",
    "100000000000000000001e-21",
    "1",
    "1e400",
    "2e400",
    "1e401",
    "1e402",
    "-1e401",
    "1e-400",
    "2e-400",
    "0",
    "1e25",
    "10000000000000000905969664",  # the float next to 1e25
    "9007199254740993.0",
    "9007199254740992.0",
    "0.1",
    "0.1000000000000000055511151231257827",  # the float that 0.1 is
]


def test_numbers_that_only_a_float_would_merge_are_different_keys() -> None:
    keys = {record_key({"id": Decimal(number)}, ID).text for number in EXACT}

    assert len(keys) == len(EXACT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5", "1.50"),
        ("1.00000000000000000001", "1.0000000000000000000100"),
        ("10e401", "1e402"),
        ("100e-402", "1e-400"),
        ("0.0", "-0.000"),
        ("1e400", "10e399"),
    ],
)
def test_spellings_of_a_number_are_one_key(one: str, other: str) -> None:
    assert record_key({"id": Decimal(one)}, ID) == record_key({"id": Decimal(other)}, ID)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**300), 10**300))
def test_a_number_that_a_float_or_integer_keeps_has_the_key_it_always_had(number: float) -> None:
    exact = Decimal(repr(number))
    ordinary = int(exact) if exact == exact.to_integral_value() else number

    assert record_key({"id": exact}, ID) == record_key({"id": ordinary}, ID)
    assert canonical(ordinary) in record_key({"id": exact}, ID).text or len(canonical(ordinary)) > 1000


def test_an_exact_number_meets_no_written_key() -> None:
    exact = record_key({"id": Decimal("1e401")}, ID)

    assert exact.text == '[[["id"],"1e401","decimal"]]'
    assert exact != record_key({"id": "1e401"}, ID)
    assert exact != record_key({"id": ["1e401", "decimal"]}, ID)


@pytest.mark.parametrize("number", ["0.5", "1.00000000000000000001", "1e25", "1e400"])
def test_inside_of_a_value_a_number_is_the_float_that_it_is_elsewhere(number: str) -> None:
    """Whether the line was read again may depend on another column, and the key must not."""
    value = {"x": [Decimal(number)]}

    assert record_key({"id": value}, ID) == record_key({"id": {"x": [float(number)]}}, ID)
    assert record_key({"other": value}, ID) == record_key({"other": {"x": [float(number)]}}, ID)


def test_a_key_of_1024_characters_is_stored_as_it_is() -> None:
    around = len(record_key({"id": ""}, ID).text)
    whole = record_key({"id": "x" * (1024 - around)}, ID)
    longer = record_key({"id": "x" * (1025 - around)}, ID)

    assert len(whole.text) == 1024
    assert whole.text.startswith('[[["id"],"xxx')
    assert re.fullmatch(r'\{"digest":"[0-9a-f]{32}"\}', longer.text)
    assert not longer.is_content


def test_long_keys_are_told_apart_by_their_digests() -> None:
    ends = ["a", "b", ""]

    assert len({record_key({"id": "x" * 3_000_000 + end}, ID).text for end in ends}) == len(ends)
    assert record_key({"id": "x" * 3000}, ID) == record_key({"id": "x" * 3000}, ID)


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0, -0.0), (10**22, 1e22), ([1, {"x": 2}], [1.0, {"x": 2.0}])])
def test_numbers_that_are_equal_are_one_key(one: Any, other: Any) -> None:
    assert record_key({"id": one}, ID) == record_key({"id": other}, ID)


def test_members_of_a_value_have_no_order() -> None:
    assert record_key({"id": {"x": 1, "y": 2}}, ID) == record_key({"id": {"y": 2, "x": 1}}, ID)


def test_key_names_its_columns() -> None:
    data = {"a": 1, "b": {"c": "x"}}

    assert record_key(data, (("a",), ("b", "c"), ("d",))) == RecordKey('[[["a"],1],[["b","c"],"x"],[["d"]]]')


@pytest.mark.parametrize("data", [{}, {"a": None}, {"a": None, "b": None}, {"c": 1}])
def test_a_key_without_any_value_is_the_content(data: Json) -> None:
    key = record_key(data, COLUMNS)

    assert key.is_content
    assert key == record_key(dict(data), COLUMNS)
    assert key != record_key({**data, "more": 1}, COLUMNS)


def test_a_content_key_meets_no_written_key() -> None:
    content = record_key({"a": None}, (("a",),))

    assert record_key({"a": json.loads(content.text)}, (("a",),)).text != content.text


def test_one_part_that_is_no_null_makes_a_key() -> None:
    assert not record_key({"a": None, "b": 0}, COLUMNS).is_content


@pytest.mark.parametrize("leaf", [1.0, "x", 10**32])
def test_nine_hundred_levels_have_a_canonical_text(leaf: Any) -> None:
    value: Any = leaf
    for level in range(900):
        value = [value] if level % 2 else {"a": value}

    assert canonical(value).count("[") == 450


@given(VALUES)
def test_canonical_text_is_the_same_value(value: Any) -> None:
    assume("Infinity" not in json.dumps(value))

    assert typed(json.loads(canonical(value))) == typed(value)


def test_making_a_key_leaves_the_record_alone() -> None:
    data = {"id": [1.0, {"x": 2.0}]}

    record_key(data, ID)

    assert repr(data) == "{'id': [1.0, {'x': 2.0}]}"


@pytest.mark.parametrize(
    ("path", "value"), [(("a", "b"), 1), (("a", "x"), "-"), (("a", "b", "c"), "-"), (("n",), None), (("n", "x"), "-")]
)
def test_value_at_a_path(path: tuple[str, ...], value: Any) -> None:
    assert value_at({"a": {"b": 1}, "n": None}, path, "-") == value


# ----------------------------------------------------------------------------------------------------------
# Point ids


@given(st.text(max_size=5), st.text(max_size=5), st.integers(0, 10**9))
def test_point_ids_are_version_five_uuids_over_canonical_json(kind: str, part: str, index: int) -> None:
    assert PointIds(kind, part, 7)[index] == str(uuid5(NAMESPACE, canonical([kind, part, 7, index])))


def test_ids_of_runs_differ_by_run_line_and_chunk() -> None:
    ids = {run_ids(run, line)[index] for run in ("a", "b") for line in (1, 2, 12) for index in (0, 1, 2)}

    assert len(ids) == 18


def test_namespace_that_is_empty_is_no_namespace() -> None:
    key = RecordKey("k")

    assert keyed_ids(Descriptor.of("", "s"), key)[0] == keyed_ids(Descriptor.of(None, "s"), key)[0]


# ----------------------------------------------------------------------------------------------------------
# The ids of Airbyte's connector


@pytest.mark.parametrize(
    ("primary_key", "data", "namespace", "record_id"),
    [
        (ID, {"id": 1}, None, "users_1"),
        (ID, {"id": None}, None, "users_None"),
        (ID, {}, None, "users___not_found__"),
        (ID, {"id": True}, "ns", "ns_users_True"),
        ((("a",), ("b", "c")), {"a": "x", "b": {"c": 2}}, "ns", "ns_users_x_2"),
    ],
)
def test_record_id_is_written_as_airbytes_connector_writes_it(
    primary_key: Paths, data: Json, namespace: str | None, record_id: str
) -> None:
    stream = stream_of(primary_key, descriptor=Descriptor(namespace, "users"))

    assert airbyte_record_id(data, stream) == record_id


@pytest.mark.parametrize(
    ("namespace", "name", "plain"),
    [
        (None, "users", True),
        (None, "users_", True),  # no stream has an empty name
        (None, "a_b", False),  # stream b of namespace a
        (None, "_users", False),  # stream users of the empty namespace, which Airbyte's connector writes like this
        (None, "users__", False),  # stream _ of namespace users
        ("ns", "users", False),  # stream ns_users of no namespace
    ],
)
def test_stream_name_is_plain_if_it_can_mean_no_other_stream(namespace: str | None, name: str, *, plain: bool) -> None:
    assert is_plain_identifier(Descriptor(namespace, name)) == plain


def schema(**types: Any) -> Json:
    return {"properties": {name: {"type": declared} for name, declared in types.items()}}


TWO: Paths = (("a",), ("b",))


@pytest.mark.parametrize(
    ("primary_key", "data", "json_schema", "plain"),
    [
        (ID, {"id": "abc"}, {}, True),
        (ID, {"id": "a_b"}, {}, True),
        (ID, {"id": 1}, schema(id="integer"), True),
        (ID, {"id": 1}, schema(id=["null", "integer"]), True),
        (ID, {"id": "1"}, schema(id="string"), True),
        (ID, {"id": ""}, schema(id="string"), True),
        ((("o", "id"),), {"o": {"id": 1}}, {"properties": {"o": schema(id="integer")}}, True),
        (TWO, {"a": "x", "b": "y"}, {}, True),
        (ID, {"id": 1}, {}, False),
        (ID, {"id": 1}, schema(id=["string", "integer"]), False),
        (ID, {"id": 1}, schema(id="number"), False),
        (ID, {"id": "1"}, {}, False),
        (ID, {"id": "1"}, schema(id="null"), False),
        (ID, {"id": "1"}, schema(id=[]), False),
        (ID, {"id": "1"}, schema(id=[{"type": "string"}]), False),
        (ID, {"id": "1"}, {"properties": None}, False),
        ((("o", "id"),), {"o": {"id": "1"}}, schema(o="object"), False),
        (ID, {"id": "1e5"}, {}, False),
        (ID, {"id": "nan"}, {}, False),
        (ID, {"id": "True"}, {}, False),
        (ID, {"id": "None"}, {}, False),
        (ID, {"id": "__not_found__"}, {}, False),
        (ID, {"id": "[1]"}, {}, False),
        (ID, {"id": "{'a': 1}"}, {}, False),
        (ID, {"id": None}, schema(id="string"), False),
        (ID, {}, schema(id="string"), False),
        (ID, {"id": True}, schema(id="boolean"), False),
        (ID, {"id": 1.5}, schema(id="number"), False),
        (ID, {"id": ["x"]}, schema(id="array"), False),
        (TWO, {"a": "x_y", "b": "z"}, {}, False),
        (TWO, {"a": "x", "b": "y_z"}, {}, False),
        (TWO, {"a": "x"}, {}, False),
    ],
)
def test_record_id_is_plain_if_it_can_mean_no_other_key(
    primary_key: Paths, data: Json, json_schema: Json, *, plain: bool
) -> None:
    assert is_plain_record_id(data, stream_of(primary_key, schema=json_schema)) == plain


KEYS = st.tuples(
    st.sampled_from(["a", "b", "a_b", "b_a", "_", "", "1", "None", "[]"]) | st.integers(0, 1) | st.none(),
    st.sampled_from(["a", "b", "a_b", "b_a", "_", "", "1", "True", "{}"]) | st.integers(0, 1) | st.booleans(),
)


@given(KEYS, KEYS)
def test_no_other_key_has_a_plain_record_id(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    """Whatever the other key is, as long as no schema vouches for types."""
    stream = stream_of(TWO)
    data, others = dict(zip("ab", one, strict=True)), dict(zip("ab", other, strict=True))
    assume(record_key(data, TWO) != record_key(others, TWO))

    if is_plain_record_id(data, stream):
        assert airbyte_record_id(data, stream) != airbyte_record_id(others, stream)
