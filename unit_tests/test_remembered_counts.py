"""What is counted more than once on its way is tokenised once, and counted as exactly as if it were not remembered."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_qdrant import tokens
from destination_qdrant.chunking import Splitter
from destination_qdrant.config import SeparatorSplitter
from destination_qdrant.embedding.counting import count_cl100k
from destination_qdrant.tokens import Remembered, cl100k, parts

#: What decides where tokens end: line breaks among blanks, stops before them, letters of several scripts.
BREAKS = ["\n", "\n\n", "\r\n", "\n\r", "\r", "\n  \n", "\n ", " \n", " ", "\t", "\x1c", "\x85", "\u3000", "\u2028"]
SIGNS = [
    ".",
    "?!",
    "'",
    "'s",
    "don't",
    "...",
    "\u3002",
    "\u201d",
    "_",
    "#",
    "x1",
    "12345",
    "\u00c9",
    "\u0939\u0948",
    "<|endoftext|>",
]
LINES = st.lists(st.sampled_from(BREAKS) | st.sampled_from(SIGNS) | st.text(max_size=4), max_size=40).map("".join)


def encoded(text: str) -> list[int]:
    """What tiktoken itself says."""
    return cl100k()._encoding.encode_ordinary(text)  # noqa: SLF001 -- the oracle


class Recording:
    """A tokenizer that remembers what it was asked."""

    def __init__(self, encode: Callable[[str], list[int]]) -> None:
        self._encode = encode
        self.asked: list[str] = []

    def encode_ordinary(self, text: str) -> list[int]:
        self.asked.append(text)
        return self._encode(text)


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """What is tokenised from now on."""
    recording = Recording(cl100k()._encoding.encode_ordinary)  # noqa: SLF001 -- nobody else looks on
    monkeypatch.setattr(cl100k(), "_encoding", recording)
    return recording


# --- parts of a text ----------------------------------------------------------------------------------------


@settings(deadline=None)  # the vocabulary is loaded once
@given(text=LINES)
def test_the_tokens_of_the_parts_are_those_of_the_text(text: str) -> None:
    found = parts(text)

    assert "".join(found) == text
    assert [token for part in found for token in encoded(part)] == encoded(text)


@settings(deadline=None)  # the vocabulary is loaded once
@given(text=LINES)
def test_counts_are_those_of_tiktoken(text: str) -> None:
    assert cl100k().count(text * 3) == len(encoded(text * 3))


@settings(deadline=None)  # the vocabulary is loaded once
@given(
    letter=st.characters(categories=["L", "N"]),
    end=st.sampled_from(tokens._LINE_ENDS),  # noqa: SLF001 -- all of them
    more=LINES,
)
def test_no_token_goes_on_behind_the_last_letter_of_a_line(letter: str, end: str, more: str) -> None:
    assert encoded(f"a{letter}{end}{more}") == encoded(f"a{letter}") + encoded(f"{end}{more}")


def test_no_line_ends_with_a_letter() -> None:
    assert [end for end in tokens._LINE_ENDS if end.isalnum()] == []  # noqa: SLF001 -- all of them


def test_halves_of_surrogate_pairs_are_counted_as_tiktoken_does() -> None:
    texts = [
        f"before{half}\n{half}after {half} the end{half}." * 5 for half in ("\ud83d", "\ude00" * 2, "\ud83d\ude00")
    ]

    assert [cl100k().count(text) for text in texts] == [len(encoded(text)) for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("One line", ["One line", ""]),
        ("\n\n  A stop.\r\nNone\n \nThe end!", ["\n\n", "  A stop", ".\r\n", "None", "\n \n", "The end", "!"]),
        ("Yes. ...\n-- \nNo", ["Yes", ". ...\n", "-- \n", "No", ""]),
        ("Before a carriage return\n\ris no place", ["Before a carriage return\n\ris no place", ""]),
    ],
)
def test_what_a_line_says_is_a_part_of_its_own(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


# --- how often a text is tokenised --------------------------------------------------------------------------


def _sentences(of: str, number: int) -> str:
    return " ".join(f"The {of} says in sentence {each} what no other text says." for each in range(number))


@pytest.mark.parametrize("chunk_size", [100, 250, 1000])
def test_a_text_of_paragraphs_is_tokenised_once_until_its_chunks_are_embedded(
    recording: Recording, chunk_size: int
) -> None:
    text = "\n\n".join(_sentences(f"{each}. of {chunk_size}", 5) for each in range(8))
    chunks = [chunk.text for chunk in Splitter(SeparatorSplitter(), chunk_size=chunk_size).split(text)]
    counts = [count_cl100k(chunk) for chunk in chunks]

    assert 0.9 * len(text) < sum(map(len, recording.asked)) < 1.1 * len(text)
    assert counts == [len(encoded(chunk)) for chunk in chunks]


def test_one_long_line_is_tokenised_in_words_and_in_chunks(recording: Recording) -> None:
    text = _sentences("long line", 60)
    chunks = [chunk.text for chunk in Splitter(SeparatorSplitter(), chunk_size=100).split(text)]
    for chunk in chunks:
        count_cl100k(chunk)

    assert len(chunks) > 5
    assert sum(map(len, recording.asked)) < 1.2 * len(text)  # words recur


def test_a_paragraph_of_more_words_than_a_chunk_has_tokens_is_not_tokenised_whole(recording: Recording) -> None:
    text = "\n\n".join(_sentences(f"{each}. of the large ones", 20) for each in range(3))
    Splitter(SeparatorSplitter(), chunk_size=100).split(text)

    assert max(map(len, recording.asked)) < len(text) / 6


# --- the memory ---------------------------------------------------------------------------------------------


class Counting:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, text: str) -> int:
        self.asked += 1
        return len(text)


def test_an_answer_is_remembered() -> None:
    length = Counting()
    remembered = Remembered(length)

    assert [remembered[text] for text in ("a", "bb", "a")] == [1, 2, 1]
    assert length.asked == 2


def test_what_was_not_asked_for_in_a_long_time_is_forgotten() -> None:
    length = Counting()
    remembered = Remembered(length)
    for number in range(60_000):  # 17 MB
        assert remembered[f"{number:0200d}"] == 200
        assert remembered["often"] == 5

    assert length.asked == 60_001
    assert remembered[f"{59_999:0200d}"] == remembered[f"{0:0200d}"] == 200
    assert length.asked == 60_002


@pytest.mark.parametrize("length", [3, 400, 8_000])
def test_the_memory_has_an_end(length: int) -> None:
    remembered = Remembered(Counting())
    tracemalloc.start()
    for number in range(16_000_000 // (length + 200)):
        remembered[f"{number:x}".zfill(length)]
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert held < 5_000_000


def test_long_texts_are_not_remembered() -> None:
    length = Counting()
    remembered = Remembered(length)

    assert [remembered["x" * 100_000] for _ in range(2)] == [100_000, 100_000]
    assert length.asked == 2
    assert sys.getsizeof(remembered) < 1_000


def test_threads_may_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is so small here that they make each other forget."""
    monkeypatch.setattr(tokens, "_REMEMBERED_BYTES", 2_000)
    remembered = Remembered(len)
    texts = ["x" * (number % 97) for number in range(20_000)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(remembered.__getitem__, texts, chunksize=500))

    assert found == list(map(len, texts))
