"""Field paths mean what they mean in dpath, and values come out as Qdrant can store them."""

from __future__ import annotations

import json
import math
from typing import Any

import dpath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.fields import DEEPEST, FieldPath, clean_text, declared_types, note, nulled, select, storable

Json = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "ab", "0", "1"])
DATA = st.dictionaries(
    NAMES,
    st.recursive(
        st.sampled_from([None, "x", 1, 0.5, True]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)
LITERAL = st.sampled_from(["a", "b", "ab", "0", "1", "-1", "01", "5"])
STEPS = st.lists(LITERAL | st.sampled_from(["*", "a*", "?", "[ab]", "[!a]"]), min_size=1, max_size=4)


@st.composite
def paths(draw: st.DrawFn) -> str:
    """Paths of dpath: at most one `**`."""
    steps = draw(STEPS)
    if draw(st.booleans()):
        steps.insert(draw(st.integers(0, len(steps))), "**")
    return "." * draw(st.integers(0, 1)) + ".".join(steps)


def outermost(data: Json, path: str) -> list[Any]:
    """What dpath finds, without what lies inside of something else that it finds."""
    found = [(tuple(at.split(".")), value) for at, value in dpath.search(data, path, yielded=True, separator=".")]
    places = {at for at, _ in found}
    return [value for at, value in found if not any(at[:end] in places for end in range(1, len(at)))]


@given(DATA, st.lists(LITERAL, min_size=1, max_size=4).map(".".join) | paths())
def test_path_finds_what_dpath_finds_in_the_same_order_but_nothing_twice(data: Json, path: str) -> None:
    assert FieldPath(path).values(data) == outermost(data, path)


def test_what_is_inside_a_found_value_is_not_found_again() -> None:
    data: Json = {"a": {"a": 1, "b": {"a": 2}}, "b": {"a": 3}}

    assert FieldPath("**.a").values(data) == [{"a": 1, "b": {"a": 2}}, 3]
    assert FieldPath("**").values(data) == [{"a": 1, "b": {"a": 2}}, {"a": 3}]


def test_a_deep_record_is_not_multiplied_by_its_depth() -> None:
    data: Json = {"a": "end"}
    for _ in range(900):
        data = {"a": data}

    assert FieldPath("**.a").values(data) == [data["a"]]


RECORD: Json = {
    "title": "T",
    "user": {"name": "N", "tags": ["x", "y"]},
    "comments": [{"text": "one"}, {"text": "two"}, {"other": 1}],
    "dotted.name": "D",
    "user.name": "own",
    "nothing": None,
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("title", ["T"]),
        ("nothing", [None]),
        ("absent", []),
        ("title.deeper", []),
        ("user.tags", [["x", "y"]]),
        ("user.tags.1", ["y"]),
        ("user.tags.-1", ["y"]),
        ("user.tags.2", []),
        ("user.tags.-3", []),
        ("user.tags.²", []),
        ("user.tags.x", []),
        ("comments.*.text", ["one", "two"]),
        ("*.tags.-1", ["y"]),
        ("*.tags.01", ["y"]),
        ("*.tags.-3", []),
        ("comments.[01].text", ["one", "two"]),
        ("**.text", ["one", "two"]),
        ("**.**.text", ["one", "two"]),
        ("user.**", [{"name": "N", "tags": ["x", "y"]}]),
        ("user.**.*", ["N", ["x", "y"]]),
        ("dotted.name", ["D"]),
        ("user.name", ["own"]),
        ("", []),
    ],
)
def test_path_in_a_record(path: str, values: list[Any]) -> None:
    assert FieldPath(path).values(RECORD) == values


def test_a_field_named_by_the_whole_pattern_comes_first() -> None:
    assert FieldPath("a.*").values({"a": {"b": 1}, "a.*": 2}) == [2]


@pytest.mark.parametrize("path", ["**.b", "*.**.b", ".".join(["a"] * 900)])
def test_paths_reach_into_records_of_any_depth(path: str) -> None:
    data: Json = {"b": "end"}
    for _ in range(900):
        data = {"a": data}

    values = FieldPath(path).values(data)

    assert values[-1] in ("end", {"b": "end"})


def test_several_stars_cost_no_more_than_a_walk() -> None:
    """Each value is found once, however many readings of the path lead to it."""
    data: Json = {"b": "end"}
    for _ in range(60):
        data = {"a": data}

    assert FieldPath("**.**.**.**.**.**.b").values(data) == ["end"]


def test_selection_holds_one_value_or_the_list_of_several() -> None:
    paths = tuple(map(FieldPath, ("comments.*.text", "title", "absent", "comments.0.*")))

    assert select(RECORD, paths) == {"comments.*.text": ["one", "two"], "title": "T", "comments.0.*": "one"}


def test_selection_without_paths_is_a_copy_of_the_record() -> None:
    selected = select(RECORD, ())

    assert selected == RECORD
    assert selected is not RECORD


SCHEMA: Json = {
    "properties": {
        "title": {"type": ["null", "string"]},
        "user": {"type": "object", "properties": {"name": {"type": "string"}, "free": {"type": "object"}}},
        "bag": {"type": ["null", "object"], "properties": {}},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"label": {"type": "string"}}}},
        "mixed": {"type": "array", "properties": {"x": {}}, "items": {"type": "string"}},
        "list": {"type": "array"},
        "any": {},
        "odd": {"type": 5},
        "worse": {"type": [{"type": "string"}]},
        "no schema": True,
        "dotted.name": {"type": "string"},
    }
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("title", True),
        ("title.x", False),
        ("absent", False),
        ("absent.*", False),
        ("*", True),
        ("t*", True),
        ("x*", False),
        ("**.anything", True),
        ("user.name", True),
        ("user.absent", False),
        ("user.**.x", True),
        ("user.free.x.y", True),
        ("user.*.x", True),
        ("bag.x", True),
        ("tags.*.label", True),
        ("tags.0.label", True),
        ("tags.-1.label", True),
        ("tags.[01].label", True),
        ("tags.*.absent", False),
        ("tags.label", False),
        ("mixed.x", True),
        ("mixed.0", True),
        ("mixed.0.y", False),
        ("list.0.x", True),
        ("any.x", True),
        ("odd.x", True),
        ("worse.x", True),
        ("no schema.x", True),
        ("dotted.name", True),
        ("dotted.other", False),
    ],
)
def test_schema_tells_whether_a_path_can_exist(path: str, *, expected: bool) -> None:
    assert FieldPath(path).may_exist(SCHEMA) == expected


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": None}, {"properties": {}}])
def test_a_schema_without_fields_allows_any_path(schema: Json) -> None:
    assert FieldPath("a.b").may_exist(schema)


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["null", "string"]}, {"null", "string"}),
        ({"type": [{"type": "string"}, "null"]}, {"null"}),
        ({"type": None}, set()),
        ({"type": {"a": 1}}, set()),
        ({}, set()),
        (None, set()),
        ("string", set()),
    ],
)
def test_declared_types_of_a_schema(schema: Any, types: set[str]) -> None:
    assert declared_types(schema) == types


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("a\0b", "ab"),
        ("é\0", "é"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_clean_text_can_be_encoded_and_embedded(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        (10**32, "100000000000000000000000000000000"),
        (1e300, 1e300),
        ("é", "é"),
        ({"a": [1, {"b": 2**70}]}, {"a": [1, {"b": "1180591620717411303424"}]}),
    ],
)
def test_values_are_stored_without_a_loss(value: Any, stored: Any) -> None:
    changes: list[dict[str, str]] = []

    assert storable(value, "f", changes) == stored
    assert changes == []


NULLED = {"field": "f", "change": "NULLED", "reason": "DESTINATION_SERIALIZATION_ERROR"}
TRUNCATED = {"field": "f", "change": "TRUNCATED", "reason": "DESTINATION_SERIALIZATION_ERROR"}


@pytest.mark.parametrize(
    ("value", "stored", "changes"),
    [
        (math.nan, None, [NULLED]),
        ([math.inf, -math.inf, 1.5], [None, None, 1.5], [NULLED]),
        ("a\ud800", "a\ufffd", [TRUNCATED]),
        ({"\ud800": math.nan, "b": "\udfff"}, {"\ufffd": None, "b": "\ufffd"}, [TRUNCATED, NULLED]),
    ],
)
def test_what_is_lost_is_noted_once(value: Any, stored: Any, changes: list[Json]) -> None:
    noted: list[dict[str, str]] = []

    assert storable(value, "f", noted) == stored
    assert sorted(noted, key=str) == sorted(changes, key=str)


def test_noted_field_can_itself_be_stored() -> None:
    noted: list[dict[str, str]] = []

    storable(["\ud800", math.nan], "n\ud800", noted)

    assert [change["field"] for change in noted] == ["n\ufffd", "n\ufffd"]


def test_after_twenty_fields_a_star_stands_for_all_others_once_for_each_kind_of_loss() -> None:
    noted: list[dict[str, str]] = []
    for number in range(30):
        note(nulled(f"f{number}", "R"), noted)
        note(nulled(f"f{number}", "R"), noted)
    note(nulled("late", "ANOTHER"), noted)

    assert [change["field"] for change in noted] == [*(f"f{number}" for number in range(20)), "*", "*"]
    assert noted[-2:] == [nulled("*", "R"), nulled("*", "ANOTHER")]


def test_there_are_never_more_than_forty_notes() -> None:
    noted: list[dict[str, str]] = []
    for number in range(100):
        note(nulled("f", f"reason {number}"), noted)

    assert len(noted) == 40


def test_a_note_keeps_what_airbyte_names_cut_to_256_characters() -> None:
    noted: list[dict[str, str]] = []
    note({"field": "f\ud800" + "x" * 300, "change": 5, "reason": "r" * 300, "more": "m", "n": [1]}, noted)
    note({"reason": "R"}, noted)

    assert noted == [{"field": "f\ufffd" + "x" * 254, "change": "5", "reason": "r" * 256}, {"reason": "R"}]


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}], ids=["lists", "objects"])
def test_what_is_nested_too_deeply_becomes_its_json_text(wrap: Any) -> None:
    value: Any = {"n": 10**32, "s": "\ud800é"}
    for _ in range(900):
        value = wrap(value)

    stored = storable(value, "f", [])

    levels = 0
    while not isinstance(stored, str):
        (stored,) = stored.values() if isinstance(stored, dict) else stored
        levels += 1
    inner = json.loads(stored)
    stored.encode()
    assert levels == DEEPEST
    for _ in range(900 - DEEPEST):
        (inner,) = inner.values() if isinstance(inner, dict) else inner
    assert inner == {"n": 10**32, "s": "\ud800é"}
