"""What the README shows: its blocks of code, and the commands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Where its examples write to; tests put places of their own there.
SERVER_URL = "http://localhost:6333"
FOLDER_URL = "file:///tmp/destination-qdrant-example"


def blocks(language: str) -> list[str]:
    """The blocks of code that are marked with this language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Each line that a person is to type."""
    return [line for block in blocks("sh") for line in block.splitlines()]
