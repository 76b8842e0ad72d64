"""Chunks: never too large, nothing lost, cut where the user asked."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_qdrant import chunking
from destination_qdrant.chunking import Chunk, Splitter, TextSplitter
from destination_qdrant.config import CodeSplitter, MarkdownSplitter, SeparatorSplitter
from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.tokens import cl100k

LANGUAGES = get_args(CodeSplitter.model_fields["language"].annotation)
PROSE = "\n\n".join(topics[name] for name in sorted(topics)[:12])

WORDS = st.text(string.ascii_letters + "é漢🎉#'<|", min_size=1, max_size=12)
GLUE = st.sampled_from(
    [" ", "  ", "\n", "\r\n", "\n\n", "\r\n\r\n", "\t", "", "\n# ", "\n## ", "\n### ", "\ndef ", ", ", "\u3000"]
)
TEXTS = st.lists(st.one_of(WORDS, GLUE, st.just("<|endoftext|>"), st.text(max_size=8)), max_size=60).map("".join)
KEEPING: st.SearchStrategy[TextSplitter] = st.one_of(
    st.just(SeparatorSplitter()),
    st.just(SeparatorSplitter(separators=['"##"', '", "'], keep_separator=True)),
    st.just(SeparatorSplitter(separators=['""'])),
    st.builds(MarkdownSplitter, split_level=st.integers(1, 6)),
    st.builds(CodeSplitter, language=st.sampled_from(LANGUAGES)),
)


def word_pieces(text: str) -> int:
    """Unlike cl100k_base: two tokens around everything, three letters a token, four for any other character."""
    return 2 + sum(-(-len(run) // 3) if run.isalpha() and run.isascii() else 4 * len(run) for run in _runs(text))


def _runs(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]+|[^A-Za-z\s]", text)


def texts_of(chunks: tuple[Chunk, ...]) -> list[str]:
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    return [chunk.text for chunk in chunks]


def separators(*values: str, keep: bool = False) -> SeparatorSplitter:
    return SeparatorSplitter(separators=[json.dumps(value) for value in values], keep_separator=keep)


def solid(text: str) -> str:
    """The text without whitespace."""
    return "".join(text.split())


def uncovered(text: str, chunks: list[str]) -> str:
    """What of the text no chunk holds, given that chunks are slices of it in order and may overlap."""
    lost, done = "", 0
    for chunk in chunks:
        while done < len(text) and text[done].isspace():
            done += 1
        begin = text.rfind(chunk, 0, done + len(chunk))
        if begin < 0:
            return f"{lost}{text[done:]}"
        done = max(done, begin + len(chunk))
    return lost + text[done:].strip()


# --- what fits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\r\n\t", "\u3000\u00a0\x1c"])
@pytest.mark.parametrize("how", [SeparatorSplitter(), MarkdownSplitter(), CodeSplitter(language="python")])
def test_text_of_nothing_but_whitespace_has_no_chunks(how: TextSplitter, text: str) -> None:
    assert Splitter(how, chunk_size=10).split(text) == ()


def test_text_that_fits_is_one_chunk_and_only_trimmed() -> None:
    assert Splitter(SeparatorSplitter(), chunk_size=100).split("\n a\n\n\n\nb  c ") == (Chunk(0, "a\n\n\n\nb  c"),)


def test_text_of_exactly_chunk_size_is_one_chunk() -> None:
    text = " ".join(["hello"] * 50)
    size = cl100k().count(text)

    assert texts_of(Splitter(SeparatorSplitter(), chunk_size=size).split(text)) == [text]
    assert len(Splitter(SeparatorSplitter(), chunk_size=size - 1).split(text)) == 2


def test_text_whose_bytes_fit_needs_neither_vocabulary_nor_langchain() -> None:
    """And counting alone does not need langchain."""
    code = (
        "import sys\n"
        "from destination_qdrant.chunking import Splitter\n"
        "from destination_qdrant.config import SeparatorSplitter\n"
        "heavy = lambda: [name in sys.modules for name in ('tiktoken', 'langchain_text_splitters')]\n"
        "s = Splitter(SeparatorSplitter(), chunk_size=20)\n"
        "s.split('x' * 20); first = heavy(); s.split('a b ' * 8); second = heavy(); s.split('a b ' * 20)\n"
        "print(first, second, heavy())"
    )
    root = Path(chunking.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert run.stdout.strip() == "[False, False] [True, False] [True, True]"


# --- the three rules that hold for every text ---------------------------------------------------------------


@settings(deadline=None)
@given(text=TEXTS, how=KEEPING, size=st.integers(4, 40), overlap=st.integers(0, 3))
def test_no_chunk_exceeds_chunk_size_and_nothing_is_lost(text: str, how: TextSplitter, size: int, overlap: int) -> None:
    chunks = texts_of(Splitter(how, chunk_size=size, chunk_overlap=overlap).split(text))

    assert [chunk for chunk in chunks if not chunk.strip() or (cl100k().count(chunk) > size and len(chunk) > 1)] == []
    assert uncovered(text, chunks) == ""


@settings(deadline=None)
@given(text=TEXTS, how=KEEPING, size=st.integers(4, 40), limit=st.integers(6, 40), overlap=st.integers(0, 3))
def test_no_chunk_exceeds_what_the_model_takes_by_its_own_tokenizer(
    text: str, how: TextSplitter, size: int, limit: int, overlap: int
) -> None:
    own = TextLimit(limit, word_pieces)
    chunks = texts_of(Splitter(how, chunk_size=size, chunk_overlap=overlap, limit=own).split(text))

    assert [chunk for chunk in chunks if word_pieces(chunk) > limit or cl100k().count(chunk) > size] == []
    assert uncovered(text, chunks) == ""


@settings(deadline=None)
@given(text=TEXTS, size=st.integers(4, 40), overlap=st.integers(0, 3))
def test_dropped_separators_are_all_that_is_lost(text: str, size: int, overlap: int) -> None:
    chunks = texts_of(Splitter(separators("#", ", "), chunk_size=size, chunk_overlap=overlap).split(text))
    without = str.maketrans("", "", "#,")

    assert [chunk for chunk in chunks if cl100k().count(chunk) > size] == []
    if not overlap:
        assert solid("".join(chunks)).translate(without) == solid(text).translate(without)


@settings(deadline=None)
@given(text=TEXTS, how=KEEPING)
def test_chunk_size_1_leaves_single_characters_that_are_several_tokens(text: str, how: TextSplitter) -> None:
    chunks = texts_of(Splitter(how, chunk_size=1).split(text))

    assert [chunk for chunk in chunks if cl100k().count(chunk) > 1 and len(chunk) > 1] == []
    assert solid("".join(chunks)) == solid(text)


@pytest.mark.parametrize("count", [lambda text: 1000 + len(text), lambda _: 7, lambda text: len(text) % 3 * 9])
def test_an_absurd_tokenizer_ends_in_single_characters(count: Callable[[str], int]) -> None:
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=4, limit=TextLimit(5, count)).split("some words here"))

    assert solid("".join(chunks)) == "somewordshere"
    assert [chunk for chunk in chunks if count(chunk) > 5 and len(chunk) > 1] == []


# --- limits -------------------------------------------------------------------------------------------------


def test_real_prose_keeps_the_limit_and_fills_the_chunks() -> None:
    """Words are counted with the blank before them; counted apart, chunks of one long line are half empty."""
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=200).split(" ".join(PROSE.split())))
    counts = [cl100k().count(chunk) for chunk in chunks]

    assert max(counts) <= 200
    assert sum(counts) / len(counts) > 180


def test_a_model_without_its_own_tokenizer_is_measured_by_cl100k() -> None:
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=500, limit=TextLimit(60)).split(PROSE))

    assert max(map(cl100k().count, chunks)) <= 60


def test_a_model_that_takes_more_than_chunk_size_changes_nothing() -> None:
    free = Splitter(SeparatorSplitter(), chunk_size=100).split(PROSE)

    assert Splitter(SeparatorSplitter(), chunk_size=100, limit=TextLimit(8191)).split(PROSE) == free
    assert Splitter(SeparatorSplitter(), chunk_size=100, limit=TextLimit(8191, len)).split(PROSE) == free


def test_chunks_fill_a_model_whose_tokenizer_frames_every_text() -> None:
    """The two tokens around a text count once a chunk, not once a word."""
    text = " ".join(["abc"] * 1000)
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=500, limit=TextLimit(102, word_pieces)).split(text))

    assert {word_pieces(chunk) for chunk in chunks} == {102}


def test_a_few_tokens_too_many_are_cut_at_a_separator_not_into_a_crumb() -> None:
    """Joined pieces can be more tokens than their sum; such a chunk is cut in the middle, between words."""
    how = separators("\n\n", " ")
    text = "\n\n".join("(x" * 3 + f" don't {n}" for n in range(400))
    chunks = texts_of(Splitter(how, chunk_size=37).split(text))

    assert max(map(cl100k().count, chunks)) <= 37
    assert {word for chunk in chunks for word in chunk.split()} == set(text.split())


# --- text without separators --------------------------------------------------------------------------------


def test_text_without_separators_is_cut_into_full_windows() -> None:
    text = "0123456789abcdef" * 500
    counts = [cl100k().count(chunk) for chunk in texts_of(Splitter(SeparatorSplitter(), chunk_size=100).split(text))]

    assert set(counts[:-1]) == {100}


@pytest.mark.parametrize("overlap", [0, 10, 49])
def test_windows_overlap_by_that_many_tokens(overlap: int) -> None:
    text = "".join(f"{n:06d}x" for n in range(600))
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=50, chunk_overlap=overlap).split(text))
    begins = [text.index(chunk) for chunk in chunks]
    shared = [
        text[begin : previous + len(chunk)] for previous, chunk, begin in zip(begins, chunks, begins[1:], strict=False)
    ]

    assert {cl100k().count(part) for part in shared} == {overlap}
    assert uncovered(text, chunks) == ""


def test_blocks_of_a_long_text_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tokenised block by block comes out as if tokenised at once."""
    text = "".join(f"{n:x}." for n in range(20_000))
    whole = Splitter(SeparatorSplitter(), chunk_size=64, chunk_overlap=8).split(text)
    monkeypatch.setattr(chunking, "_BLOCK", 2_048)
    blocks = Splitter(SeparatorSplitter(), chunk_size=64, chunk_overlap=8).split(text)

    assert uncovered(text, texts_of(blocks)) == ""
    assert abs(len(blocks) - len(whole)) <= 2


def test_a_block_of_fewer_tokens_than_a_window_is_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "_BLOCK", 64)
    monkeypatch.setattr(chunking, "_BLOCK_PER_TOKEN", 1)
    text = "-" * 5_000
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=40, chunk_overlap=5).split(text))

    assert max(map(cl100k().count, chunks)) <= 40
    assert uncovered(text, chunks) == ""


def test_emoji_are_never_cut_inside_a_character() -> None:
    text = "🧑‍🚀🎉🇩🇪👍🏽" * 40
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=7).split(text))

    assert "".join(chunks) == text
    assert max(map(cl100k().count, chunks)) <= 7


def test_whitespace_in_the_middle_makes_no_empty_chunk() -> None:
    text = "a" + " " * 3_000 + "b" + "\n" * 3_000 + "c"

    assert solid("".join(texts_of(Splitter(separators(""), chunk_size=3).split(text)))) == "abc"
    assert "" not in texts_of(Splitter(separators(""), chunk_size=3).split(text))


@pytest.mark.parametrize("run", [" ", "\n"])
@pytest.mark.parametrize("how", [SeparatorSplitter(), separators(""), MarkdownSplitter()])
def test_a_million_blanks_in_a_row_are_survived(how: TextSplitter, run: str) -> None:
    """Tiktoken panics when it gets them at once."""
    text = "a" + run * 1_100_000 + "bc"

    assert solid("".join(texts_of(Splitter(how, chunk_size=8191).split(text)))) == "abc"


def test_lone_surrogates_do_not_crash() -> None:
    text = "ab\ud800 \udfff\ud83d\ude00" * 50

    assert solid("".join(texts_of(Splitter(SeparatorSplitter(), chunk_size=5).split(text)))) == solid(text)
    assert solid("".join(texts_of(Splitter(separators(""), chunk_size=5).split(text)))) == solid(text)


# --- separators ---------------------------------------------------------------------------------------------


def test_paragraphs_stay_whole_where_they_fit() -> None:
    text = "one two three\n\nfour five six\n\nseven eight nine"

    assert texts_of(Splitter(SeparatorSplitter(), chunk_size=5).split(text)) == text.split("\n\n")


def test_a_separator_that_is_not_kept_goes_where_the_text_is_cut_only() -> None:
    text = "one two---three four---five six"

    assert texts_of(Splitter(separators("---"), chunk_size=6).split(text)) == ["one two---three four", "five six"]


def test_a_separator_that_is_kept_begins_the_next_chunk() -> None:
    text = "one two---three four---five six"
    chunks = texts_of(Splitter(separators("---", keep=True), chunk_size=6).split(text))

    assert chunks == ["one two---three four", "---five six"]


def test_a_separator_is_a_string_not_a_pattern() -> None:
    text = "aa.bb|cc" * 10

    assert texts_of(Splitter(separators("|", keep=False), chunk_size=8).split(text))[0].endswith("bb")


def test_separators_that_do_not_suffice_are_followed_by_lines_and_words() -> None:
    text = "the quick brown fox jumps over the lazy dog"

    assert set(" ".join(texts_of(Splitter(separators("###"), chunk_size=4).split(text))).split()) == set(text.split())


def test_no_separators_mean_those_of_airbyte() -> None:
    text = "one two three\n\nfour five six"

    assert texts_of(Splitter(SeparatorSplitter(separators=[]), chunk_size=4).split(text)) == text.split("\n\n")


def test_windows_line_ends_are_handled() -> None:
    text = "one two three\r\n\r\nfour five six\r\nseven eight nine"
    expected = ["one two three", "four five six", "seven eight nine"]

    assert texts_of(Splitter(SeparatorSplitter(), chunk_size=5).split(text)) == expected
    assert texts_of(Splitter(MarkdownSplitter(), chunk_size=5).split(text)) == expected


def test_chunks_at_separators_overlap() -> None:
    text = " ".join(f"word{n}" for n in range(200))
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=40, chunk_overlap=10).split(text))

    for previous, chunk in pairwise(chunks):
        shared = [word for word in chunk.split() if word in previous.split()]
        assert shared == chunk.split()[: len(shared)]
        assert 6 <= cl100k().count(" " + " ".join(shared)) <= 10


# --- Markdown -----------------------------------------------------------------------------------------------

MARKDOWN = "\n\n".join(f"{head}\n{'word ' * 14}end" for head in ("# One", "## Two", "### Three", "# Four"))


@pytest.mark.parametrize(
    ("level", "size", "heads"),
    [
        (1, 65, ["# One", "# Four"]),
        (2, 42, ["# One", "## Two", "# Four"]),
        (3, 25, ["# One", "## Two", "### Three", "# Four"]),
    ],
)
def test_markdown_is_cut_at_headings_down_to_the_level(level: int, size: int, heads: list[str]) -> None:
    chunks = texts_of(Splitter(MarkdownSplitter(split_level=level), chunk_size=size).split(MARKDOWN))

    assert [chunk.splitlines()[0] for chunk in chunks] == heads


def test_headings_below_the_level_are_ordinary_lines() -> None:
    """A section that is a token too large is cut at its blank line, not at the deeper heading."""
    text = f"# A\n{'word ' * 9}\n### B\n{'word ' * 9}\n\nthe end of it"
    chunks = texts_of(Splitter(MarkdownSplitter(split_level=2), chunk_size=cl100k().count(text) - 2).split(text))

    assert [chunk.splitlines()[0] for chunk in chunks] == ["# A", "the end of it"]


def test_a_huge_markdown_section_is_cut_at_paragraphs_lines_and_words() -> None:
    text = f"# Small\nfine\n\n# Huge\n{PROSE}\n\n# End\nfine"
    chunks = texts_of(Splitter(MarkdownSplitter(split_level=2), chunk_size=128).split(text))

    assert max(map(cl100k().count, chunks)) <= 128
    assert uncovered(text, chunks) == ""
    assert chunks[0] == "# Small\nfine"
    assert chunks[-1] == "# End\nfine"


# --- languages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_of_the_configuration_splits(language: str) -> None:
    line = (
        "\nclass A { public void f(int x) { return <p>x $y$</p>; } }\n\ndef g(x):\n    pass\n\\section{x}\n.. z\n====\n"
    )
    text = line * 30
    chunks = texts_of(Splitter(CodeSplitter(language=language), chunk_size=48).split(text))  # type: ignore[arg-type]

    assert max(map(cl100k().count, chunks)) <= 48
    assert uncovered(text, chunks) == ""


def test_code_is_cut_before_definitions() -> None:
    text = "".join(f"\nclass A{n}:\n    def f(self):\n        return {n}\n" for n in range(9))
    chunks = texts_of(Splitter(CodeSplitter(language="python"), chunk_size=18).split(text))

    assert [chunk.split(":")[0] for chunk in chunks] == [f"class A{n}" for n in range(9)]


def test_separators_of_a_language_are_patterns() -> None:
    """Airbyte took them literally, so that Markdown and LaTeX were never cut at their headings."""
    text = "\n# A\none two\n\nthree four\n## B\nfive six\n\nseven eight"
    chunks = texts_of(Splitter(CodeSplitter(language="markdown"), chunk_size=12).split(text))

    assert [chunk.splitlines()[0] for chunk in chunks] == ["# A", "## B"]


# --- special tokens, threads --------------------------------------------------------------------------------


@pytest.mark.parametrize("special", ["<|endoftext|>", "<|fim_prefix|>", "<|endofprompt|>"])
def test_special_tokens_survive_as_text(special: str) -> None:
    text = f"before {special} after " * 40
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=20).split(text))

    assert sum(chunk.count(special) for chunk in chunks) == 40


def test_many_threads_may_split_at_once() -> None:
    splitter = Splitter(SeparatorSplitter(), chunk_size=60, chunk_overlap=5)
    texts = [PROSE[n * 1000 :] for n in range(12)]
    expected = [Splitter(SeparatorSplitter(), chunk_size=60, chunk_overlap=5).split(text) for text in texts]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(splitter.split, texts))

    assert found == expected
