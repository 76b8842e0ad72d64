"""Tables of streams, as `write` logs them and `plan` prints them."""

from __future__ import annotations

import re
from collections.abc import Iterable

Table = dict[str, dict[str, str]]


def table_in(lines: Iterable[str]) -> Table:
    """The rows by name, each by column; empty where no line begins a table. A level before each line does not matter."""
    bare = (re.sub(r"^(INFO|WARN) ", "", line) for line in lines)
    columns: list[str] = []
    rows: Table = {}
    for line in bare:
        if not columns:
            columns = re.split(" {2,}", line)[1:] if line.startswith("stream ") else []
            continue
        words = line.rsplit(maxsplit=len(columns))
        if len(words) <= len(columns) or not all(re.fullmatch(r"[\d,.]+", word) for word in words[1:]):
            break
        rows[words[0].strip()] = dict(zip(columns, words[1:], strict=True))
    return rows


def numbers_in(lines: Iterable[str]) -> dict[str, dict[str, int]]:
    """What is not zero in each row."""
    return {
        name: {column: number for column, cell in row.items() if (number := int(cell.replace(",", "")))}
        for name, row in table_in(lines).items()
    }
