"""docs/setup.md says what the code says: the reference, the errors it quotes, the fields it names, the files it links to."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from destination_qdrant.spec import connector_spec

ROOT = Path(__file__).resolve().parent.parent
SETUP = ROOT / "docs" / "setup.md"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

#: Stands where an f-string has a placeholder: no quoted text reaches across one.
GAP = "\0"


def tool() -> ModuleType:
    """tools/write_reference.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "tools" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page: str) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```$", "", page, flags=re.MULTILINE | re.DOTALL)


def code_spans(text: str) -> list[str]:
    """What stands in backticks, as it is shown (a table needs a backslash before a bar)."""
    return [span.replace(r"\|", "|") for span in re.findall(r"`([^`\n]+)`", text)]


# ------------------------------------------------------------------------------------------------------------
# The reference


def test_the_reference_is_what_the_specification_says() -> None:
    write_reference = tool()
    page = SETUP.read_text("utf-8")
    anew = write_reference.replaced(page, write_reference.reference(connector_spec()))

    assert page == anew, "The reference in docs/setup.md is out of date: run `make reference`."


def test_the_reference_names_every_field_and_every_branch() -> None:
    text = tool().reference(connector_spec())
    rows = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    branches = re.findall(r"^#### `([^`]+)`: `([^`]+)`", text, flags=re.MULTILINE)

    fields = {path for path, schema in FIELDS if "const" not in schema and "properties" not in schema}
    assert fields - set(rows) == set()
    assert set(branches) == {(path, schema["const"]) for path, schema in FIELDS if "const" in schema}


def test_what_markdown_would_take_for_its_own_is_escaped() -> None:
    field = {
        "type": "string",
        "title": "A|b",
        "description": "Use *a*\nand <b> or `x|y` & {c}.",
        "examples": ["p|q\nr"],
    }
    form = {
        "groups": [{"id": "all", "title": "All"}],
        "properties": {"f": {**field, "group": "all"}},
        "required": ["f"],
    }
    row = tool().reference({"connectionSpecification": form}).splitlines()[-1]

    assert row == (
        r"| `f` | A\|b | text |  | yes | Use \*a\* and \<b\> or `x\|y` &amp; \{c\}. For example `p\|q\nr`. |"
    )


@pytest.mark.parametrize("page", ["", "{begin}", "{end}{begin}", "{begin}{end}{end}"])
def test_a_page_without_its_markers_is_left_alone(page: str) -> None:
    write_reference = tool()

    with pytest.raises(ValueError, match="once each and in this order"):
        write_reference.replaced(page.format(begin=write_reference.BEGIN, end=write_reference.END), "")


# ------------------------------------------------------------------------------------------------------------
# Errors


@cache
def said_by_the_code() -> tuple[str, ...]:
    """Every text of the package but its docstrings, with a gap for each placeholder."""
    texts: list[str] = []
    for path in sorted((ROOT / "destination_qdrant").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(map(literal, node.values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                texts.append(re.sub(r"\{\w*\}", GAP, node.value))  # a placeholder of `str.format`, where it is one
                texts.append(node.value)
    return tuple(texts)


def literal(part: ast.expr) -> str:
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else GAP


def quoted_errors() -> list[str]:
    """The code spans in the first column of the tables about errors."""
    (section,) = re.findall(r"^## Troubleshooting$(.*?)^## ", SETUP.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    columns = re.findall(r"^\| (.+?) (?<!\\)\|", section, flags=re.MULTILINE)
    return [span for column in columns for span in code_spans(column)]


def test_the_page_explains_many_errors_and_none_twice() -> None:
    errors = quoted_errors()

    assert len(errors) >= 25
    assert sorted(set(errors)) == sorted(errors)


@pytest.mark.parametrize("error", quoted_errors())
def test_an_error_that_is_explained_is_one_of_the_code(error: str) -> None:
    assert any(error in text for text in said_by_the_code()), f"No text of destination_qdrant has {error!r} in it."


# ------------------------------------------------------------------------------------------------------------
# Fields


def fields_of(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the form with its path, lists as `[]`; branches of a choice share their paths."""
    for branch in (schema, *schema.get("oneOf", ())):
        for name, inner in branch.get("properties", {}).items():
            below = f"{path}.{name}" if path else name
            yield below, inner
            yield from fields_of(inner, below)
            yield from fields_of(inner.get("items", {}), f"{below}[]")


FIELDS = tuple(fields_of(connector_spec()["connectionSpecification"]))
CARDS = "|".join(sorted({path.partition(".")[0] for path, _ in FIELDS}))


def named_fields(page: Path) -> list[str]:
    """The paths at the beginning of code spans: `embedding.mode`, `indexing.reuse_vectors: false`."""
    spans = code_spans(prose(page.read_text("utf-8")))
    found = (re.match(rf"(?:{CARDS})(?:\.[A-Za-z_]+(?:\[\])?)*(?![\w.])", span) for span in spans)
    return [match[0] for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_field_that_a_page_names_is_in_the_form(page: Path) -> None:
    known = {path for path, _ in FIELDS}

    assert [path for path in named_fields(page) if path not in known and f"{path}[]" not in known] == []


def test_the_page_names_fields() -> None:
    assert len(set(named_fields(SETUP))) > 50


# ------------------------------------------------------------------------------------------------------------
# Links


def links(page: Path) -> list[str]:
    """The targets of links that lead to a place in this repository."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text("utf-8")))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_documentation_that_a_page_names_exists(page: Path) -> None:
    named = [span for span in code_spans(page.read_text("utf-8")) if re.fullmatch(r"(?:docs/)?[\w./-]+\.md", span)]

    assert [name for name in named if not (ROOT / name).exists()] == []
