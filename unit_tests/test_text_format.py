"""What a record says, in the form that the user chose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant.config import FieldsFormat, TemplateFormat, TextFormat, ValuesFormat
from destination_qdrant.config.template import BadTemplate, parse
from destination_qdrant.text_format import Said, TextReader, sources

Json = dict[str, Any]


def said(form: TextFormat, data: Json, *text_fields: str) -> Said:
    return TextReader(form, text_fields, ()).read(data)


def template(text: str, data: Json, *text_fields: str) -> Said:
    return said(TemplateFormat(template=text), data, *text_fields)


@pytest.mark.parametrize(
    ("data", "fields", "text"),
    [
        ({"a": "x", "b": "y"}, (), "x\n\ny"),
        ({"a": "x", "b": "y"}, ("b", "a"), "y\n\nx"),
        ({"a": " x\n", "b": None, "c": " \n", "d": {}, "e": [None, ""], "f": "y"}, (), "x\n\ny"),
        ({"a": 1, "b": True, "c": 0.5, "d": 10**32}, (), f"1\n\nTrue\n\n0.5\n\n{10**32}"),
        ({"a": {"n": "x", "m": {"o": "y"}}, "b": ["z", {"p": None, "q": "w"}]}, (), "x\ny\n\nz\nw"),
        ({"a": [{"b": "x"}, {"b": "y"}]}, ("a.*.b",), "x\ny"),
        ({"a": "x\0y\ud800"}, (), "xy\ufffd"),
        ({"a": "{b}", "b": "y"}, ("a",), "{b}"),
        ({"a": None}, ("a", "absent"), ""),
    ],
)
def test_values_stand_alone_with_a_blank_line_between_two(data: Json, fields: tuple[str, ...], text: str) -> None:
    assert said(ValuesFormat(), data, *fields) == Said(text)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{title}: {user.name}", "Guide: Ann"),
        ("{{{title}}} {{}} {{title}}", "{Guide} {} {title}"),
        ("{tags.*.l}", "x\ny"),
        ("{user}", "Ann\n7"),
        ("{ title }{absent}{nothing}.\n", "Guide."),
        ("<{dotted.name}>", "<D>"),
        ("{braces} {title}", "{title} {{x}} {chunk} {0} %s Guide"),
        ("{.chunk}!", "column!"),
        ("\0{title}", "Guide"),
    ],
)
def test_a_template_is_filled_with_what_values_say(text: str, result: str) -> None:
    data = {
        "title": " Guide\n",
        "user": {"name": "Ann", "age": 7},
        "tags": [{"l": "x"}, {"l": "y"}],
        "nothing": None,
        "dotted.name": "D",
        "braces": "{title} {{x}} {chunk} {0} %s",
        "chunk": "column",
    }

    assert template(text, data, "of no matter") == Said(result)


def test_a_template_has_a_bounded_number_of_fields() -> None:
    """A field of a megabyte, named a thousand times, would be a gigabyte before it could be measured."""
    assert len(parse("{a}" * 50).fields) == 50
    with pytest.raises(BadTemplate, match="must not hold more than 50 fields"):
        parse("{a}" * 51)
    parse("{{a}}" * 51 + "{a}")


@pytest.mark.parametrize("data", [{}, {"title": None, "body": " "}, {"other": "x"}, {"title": [], "body": {"a": None}}])
def test_words_of_a_template_alone_are_no_text(data: Json) -> None:
    plain, around = template("Title {title}: {body}", data), template("About {title}: {chunk}", data, "body")

    assert (plain, plain.anything, around.text, around.anything) == (Said(""), False, "", False)


@pytest.mark.parametrize("data", [{"title": "T"}, {"body": "b"}, {"title": 0}])
def test_one_field_that_says_something_is_text(data: Json) -> None:
    assert template("About {title}: {chunk}", data, "body").anything
    assert template("About {title}: {body}", data).anything


def test_a_template_with_a_chunk_stands_around_the_values_of_the_text_fields() -> None:
    found = template("{title} ({kind})\n{chunk}\n-- {{end}}", {"title": "T", "a": "x {title}", "b": ["y"]}, "a", "b")

    assert found.text == "x {title}\n\ny"
    assert found.frame is not None
    assert found.frame.around("{chunk}") == "T ()\n{chunk}\n-- {end}"


@given(st.text(), st.text(), st.text())
def test_no_value_is_read_as_a_template(title: str, body: str, chunk: str) -> None:
    found = template("{title}|{chunk}|{body}", {"title": title, "body": body}, "absent")
    shown, _, last = found.frame.values if found.frame else ("", "", "")

    assert (shown, last) == tuple(said(ValuesFormat(), {"a": text}).text for text in (title, body))
    assert found.frame is not None
    assert found.frame.around(chunk) == f"{shown}|{chunk}|{last}"


def test_nine_hundred_levels_do_not_crash() -> None:
    value: Any = "end"
    for _ in range(900):
        value = [value]

    assert "end" in said(ValuesFormat(), {"a": value}).text
    assert "end" in template("{a}", {"a": value}).text


@pytest.mark.parametrize(
    ("form", "fields", "found"),
    [
        (FieldsFormat(), ("a", "b"), ("a", "b")),
        (ValuesFormat(), (), ()),
        (TemplateFormat(template="{c} {d.e}"), ("a",), ("c", "d.e")),
        (TemplateFormat(template="{c}: {chunk}"), ("a",), ("a", "c")),
        (TemplateFormat(template="{c}: {chunk}"), (), ()),
    ],
)
def test_sources_are_the_fields_that_the_text_comes_from(
    form: TextFormat, fields: tuple[str, ...], found: tuple[str, ...]
) -> None:
    assert sources(form, fields) == found
