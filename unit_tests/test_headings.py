"""Which headings stand above a place of a Markdown text."""

from __future__ import annotations

import pytest

from destination_qdrant.headings import Heading, Trail, headings, shorter


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A", [(0, 1, "A")]),
        ("x\n## A b \n", [(2, 2, "A b")]),
        ("   ### A", [(3, 3, "A")]),
        ("    # code", []),
        ("#A", []),
        ("####### A", []),
        ("x # A", []),
        ("#\ttab", [(0, 1, "tab")]),
        ("# A\r\ntext", [(0, 1, "A")]),
        ("## A ##", [(0, 2, "A")]),
        ("# C#", [(0, 1, "C#")]),
        ("# A # #", [(0, 1, "A #")]),
        ("#", [(0, 1, "")]),
        ("## ##\n", [(0, 2, "")]),
        (f"# {'x' * 300}", [(0, 1, "x" * 200)]),
        ("```\n# no\n```\n# A", [(13, 1, "A")]),
        ("~~~ python\n# no\n```\n# no\n~~~\n# A", [(29, 1, "A")]),
        ("````\n# no\n```\n# no\n`````\n# A", [(25, 1, "A")]),
        ("```\n# no\n``` no end\n# no", []),
        ("``` `inline`\n# A", [(13, 1, "A")]),
        ("``\n# A", [(3, 1, "A")]),
        ("body: # no", []),
    ],
)
def test_headings_are_those_of_commonmark_with_number_signs(text: str, found: list[tuple[int, int, str]]) -> None:
    assert list(headings(text)) == [Heading(*each) for each in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("title: T\nbody: # A\n## B", [(9, 1, "A"), (19, 2, "B")]),
        ("two words: # no", []),
        ("body: ```\n# no\nother: ```\n# no\n```\n# A", [(35, 1, "A")]),
        ("body:# no\nbody : # no", []),
    ],
)
def test_behind_the_name_of_a_field_markdown_begins(text: str, found: list[tuple[int, int, str]]) -> None:
    assert list(headings(text, labelled=True)) == [Heading(*each) for each in found]


def test_the_path_is_made_of_the_open_headings_above_a_place() -> None:
    text = "intro\n# A\n### C\nx\n## B\ny\n#\nz\n# D\n#### E\n"
    trail = Trail(text)

    assert [(sign, trail.above(text.index(sign))) for sign in ("intro", "# A", "### C", "x", "## B", "y")] == [
        ("intro", ""),
        ("# A", ""),
        ("### C", "A"),
        ("x", "A > C"),
        ("## B", "A"),
        ("y", "A > B"),
    ]
    assert (trail.above(text.index("z")), trail.above(len(text))) == ("", "D > E")


def test_the_longest_path_is_found_by_its_bytes() -> None:
    assert Trail("# A\n## four\n# ÄÖÜ\n## x\n").longest() == "ÄÖÜ > x"
    assert Trail("no heading").longest() == ""


def test_a_path_gets_shorter_from_its_beginning() -> None:
    paths = ["A b > C > two words"]
    while paths[-1]:
        paths.append(shorter(paths[-1]))

    assert paths == ["A b > C > two words", "C > two words", "two words", "words", ""]
