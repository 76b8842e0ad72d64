"""Chunks: never too large, nothing lost, cut where the user asked."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_qdrant import chunking, gauge
from destination_qdrant.chunking import Chunk, Splitter, TextTooLongError
from destination_qdrant.config import CodeSplitter, MarkdownSplitter, SeparatorSplitter, TextSplitter, WholeText
from destination_qdrant.cutting import separators_of
from destination_qdrant.embedding.base import TextLimit
from destination_qdrant.frames import Frame
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
    done = 0
    for chunk in chunks:
        end = end_of_slice(text, chunk, done)
        if end is None:
            return text[done:]
        done = end
    return text[done:].strip()


def end_of_slice(text: str, chunk: str, done: int) -> int | None:
    """How far the text is covered with one more chunk; None where that is no slice which leaves nothing out."""
    while done < len(text) and text[done].isspace():
        done += 1
    begin = text.rfind(chunk, 0, done + len(chunk))
    return None if begin < 0 else max(done, begin + len(chunk))


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


@settings(deadline=None)
@given(text=TEXTS, size=st.integers(1, 40), limit=st.none() | st.just(TextLimit(30, word_pieces)))
def test_whoever_joins_pieces_is_told_the_size_of_those_that_are_smaller_than_a_chunk(
    text: str, size: int, limit: TextLimit | None
) -> None:
    measure = gauge.Gauge(size, limit)

    assert min(measure.length(text), size) == min(measure.size(text), size)


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
    monkeypatch.setattr(gauge, "_BLOCK", 2_048)
    blocks = Splitter(SeparatorSplitter(), chunk_size=64, chunk_overlap=8).split(text)

    assert uncovered(text, texts_of(blocks)) == ""
    assert abs(len(blocks) - len(whole)) <= 2


def test_a_block_of_fewer_tokens_than_a_window_is_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "_BLOCK", 64)
    monkeypatch.setattr(gauge, "_BLOCK_PER_TOKEN", 1)
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


def test_no_chunk_is_a_blank_that_fills_it_to_the_token() -> None:
    assert texts_of(Splitter(SeparatorSplitter(), chunk_size=1).split("< \n#")) == ["<", "#"]


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


@given(text=st.lists(st.sampled_from(["\r\n", "\n", "\r", " ", "\t", "x"]), max_size=30).map("".join))
def test_patterns_that_are_found_fast_find_what_the_plain_ones_do(text: str) -> None:
    """`re` takes ten times as long to find a pattern that begins with a repetition, which these say in other words."""
    lines = separators_of(MarkdownSplitter(split_level=1)).values[1:]
    own = separators_of(separators("\n\n", "\n", " ", "\t \r")).values[:4]
    plain = [r"(?:\r?\n){2,}", r"(?:\r?\n)+", " +", r"(?:\n\n)+", r"\n+", " +", r"(?:\t \r)+"]

    found, expected = ([re.split(f"({pattern})", text) for pattern in patterns] for patterns in ((*lines, *own), plain))
    assert found == expected


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


# --- headings above a chunk ---------------------------------------------------------------------------------

GUIDE = f"""# Guide
{"intro " * 12}
## Install
{"before " * 12}
### Linux
{"linux " * 12}

{"penguin " * 12}
## Use
{"using " * 12}
# Notes
{"note " * 12}""".strip()
HEADED = MarkdownSplitter(split_level=3, heading_path=True)


def test_chunks_begin_with_the_headings_above_them_but_not_with_their_own() -> None:
    chunks = texts_of(Splitter(HEADED, chunk_size=32).split(GUIDE))

    assert [chunk.rsplit("\n", 1)[0] for chunk in chunks] == [
        "# Guide",
        "Guide\n\n## Install",
        "Guide > Install\n\n### Linux",
        "Guide > Install > Linux\n",
        "Guide\n\n## Use",
        "# Notes",
    ]


def test_a_text_that_fits_gets_no_path() -> None:
    assert texts_of(Splitter(HEADED, chunk_size=1000).split(GUIDE)) == [GUIDE]


def test_a_text_without_headings_is_cut_as_ever() -> None:
    plain = Splitter(MarkdownSplitter(), chunk_size=100, chunk_overlap=10).split(PROSE)

    assert Splitter(MarkdownSplitter(heading_path=True), chunk_size=100, chunk_overlap=10).split(PROSE) == plain


def test_headings_deeper_than_the_cuts_are_in_the_path() -> None:
    text = f"# A\n#### Deep\n{'one ' * 40}"

    *_, last = texts_of(Splitter(MarkdownSplitter(heading_path=True), chunk_size=24).split(text))

    assert last.startswith("A > Deep\n\none")


def test_the_first_heading_of_a_field_stands_behind_its_name() -> None:
    text = f"title: T\nbody: # Guide\n{'word ' * 40}"
    splitter = Splitter(HEADED, chunk_size=24, labelled=True)

    assert texts_of(splitter.split(text))[-1].startswith("Guide\n\nword")
    assert texts_of(Splitter(HEADED, chunk_size=24).split(text))[-1].startswith("word")


def test_repeated_paragraphs_get_the_headings_of_their_own_place() -> None:
    paragraph = "the same words " * 8
    text = "\n\n".join(f"# Part {number}\n\n{paragraph}\n\n{paragraph}" for number in range(5))
    chunks = texts_of(Splitter(HEADED, chunk_size=36).split(text))

    assert [chunk.splitlines()[0] for chunk in chunks] == [
        line for number in range(5) for line in (f"# Part {number}", f"Part {number}")
    ]


def test_a_long_path_loses_its_beginning_and_never_the_chunk() -> None:
    text = f"# {'very ' * 12}long\n## {'rather ' * 4}long\n### Short\n{'word ' * 40}"
    chunks = texts_of(Splitter(HEADED, chunk_size=24).split(text))

    assert chunks[-1].startswith(f"{'rather ' * 4}long > Short\n\nword")
    assert sum(chunk.count("word") for chunk in chunks) == 40


def test_a_path_of_fewer_letters_may_be_of_more_tokens() -> None:
    """Room is left for the longest path by bytes; one that needs more gives way to the chunk."""
    text = f"# {'internationalization ' * 4}\n# {'x1🎉' * 5} tail\n{'word ' * 200}"
    chunks = texts_of(Splitter(HEADED, chunk_size=60).split(text))

    assert max(map(cl100k().count, chunks)) <= 60
    assert sum(chunk.count("word") for chunk in chunks) == 200
    assert {chunk.splitlines()[0].partition(" ")[0] for chunk in chunks} == {"#", "tail"}


def test_a_heading_that_is_too_long_alone_loses_its_first_words() -> None:
    text = f"# {' '.join(f'w{number}' for number in range(12))}\n{'word ' * 40}"

    assert re.match(r"w\d+( w\d+)* w11\n\nword", texts_of(Splitter(HEADED, chunk_size=24).split(text))[-1])


# --- what stands around every chunk -------------------------------------------------------------------------


def frame(before: str, after: str = "", *, title: str = "", kind: str = "") -> Frame:
    """`{title}` before `{chunk}` before `{kind}`, with these words between."""
    return Frame(("", before, after, ""), (title, "", kind), 1)


def test_each_chunk_stands_in_the_frame() -> None:
    text = " ".join(f"w{number}" for number in range(60))
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=30).split(text, frame(": ", " #", title="T", kind="k")))

    assert len(chunks) > 2
    assert all(chunk.startswith("T: w") and chunk.endswith(" #k") for chunk in chunks)
    assert " ".join(chunk[3:-3] for chunk in chunks) == text


def test_a_long_value_that_is_there_often_is_cut_before_it_is_put_around_a_text() -> None:
    said = Frame(("",) * 50, ("word " * 200_000,) * 48 + ("",), 48)
    splitter = Splitter(SeparatorSplitter(), chunk_size=30)
    splitter.split("x" * 1000)  # what is loaded once
    tracemalloc.start()
    chunks = splitter.split("x", said)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert [chunk.text[-1] for chunk in chunks] == ["x"]
    assert most < 20_000_000  # whole, they are 48 MB


def test_a_frame_without_text_is_the_text() -> None:
    splitter = Splitter(SeparatorSplitter(), chunk_size=8)
    said = frame(": ", title="one two three four five six seven eight nine")

    assert texts_of(splitter.split(" ", frame(": ", title="T"))) == ["T:"]
    assert " ".join(texts_of(splitter.split("", said))) == f"{said.values[0]}:"
    assert splitter.split(" ", frame(": ")) == ()


def test_a_frame_too_large_is_cut_to_half_of_a_chunk_its_values_to_one_length() -> None:
    said = frame("\n", "\n", title=" ".join(["title"] * 100), kind=" ".join(["kinds"] * 100))
    text = " ".join(["word"] * 200)
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=40).split(text, said))
    titles, bodies, kinds = zip(*(chunk.split("\n") for chunk in chunks), strict=True)

    assert " ".join(bodies) == text
    assert {cl100k().count(f"{title}\n\n{kind}") for title, kind in zip(titles, kinds, strict=True)} == {20}
    assert {abs(len(title) - len(kind)) for title, kind in zip(titles, kinds, strict=True)} == {0}


def test_a_long_frame_around_a_text_that_fits_with_it_is_not_cut() -> None:
    said = frame(": ", title="a title of several words")

    assert texts_of(Splitter(SeparatorSplitter(), chunk_size=8).split("x y", said)) == [f"{said.values[0]}: x y"]


@pytest.mark.parametrize(("size", "shown"), [(5, "one:🧑"), (4, ":🧑"), (3, "🧑")])
def test_a_chunk_with_room_for_a_character_only_has_less_of_its_frame(size: int, shown: str) -> None:
    """That character is three tokens, a word or a sign is one."""
    chunks = texts_of(Splitter(SeparatorSplitter(), chunk_size=size).split("🧑🧑", frame(":", title="one two three")))

    assert chunks == [shown, shown]


@pytest.mark.parametrize(("words", "fits"), [("x", True), (" the words of a template ", False)])
def test_the_words_of_a_template_leave_half_of_a_chunk(words: str, *, fits: bool) -> None:
    splitter = Splitter(SeparatorSplitter(), chunk_size=8)

    assert splitter.leaves_room_for_text(frame(words, title="of no matter here " * 9)) == fits
    assert Splitter(SeparatorSplitter(), chunk_size=80).leaves_room_for_text(frame(words))


def test_a_path_of_headings_stands_in_the_frame() -> None:
    chunks = texts_of(Splitter(HEADED, chunk_size=40).split(GUIDE, frame("\n\n", title="Title")))

    assert chunks[3].startswith("Title\n\nGuide > Install > Linux\n\npenguin")
    assert max(map(cl100k().count, chunks)) <= 40


FRAMES = st.none() | st.builds(
    lambda words, values, place: Frame(words, (*values[:place], "", *values[place + 1 :]), place),
    st.tuples(*[st.sampled_from(["", " ", ": ", "\n\n", "\n# ", "🎉"])] * 4),
    st.tuples(*[TEXTS | st.sampled_from(["", "T", "word " * 50, "🎉" * 30])] * 3),
    st.integers(0, 2),
)
MARKED = st.lists(
    st.one_of(WORDS, GLUE, st.sampled_from(["\n# Über uns ", "\n## 🎉🎉🎉\n", "\n```\n", "\n~~~~\n"])), max_size=60
).map("".join)
HEADING_PATHS = st.builds(MarkdownSplitter, split_level=st.integers(1, 6), heading_path=st.just(True))


@settings(deadline=None)
@given(
    text=MARKED,
    how=KEEPING | HEADING_PATHS | st.just(WholeText()),
    said=FRAMES,
    size=st.integers(1, 40),
    limit=st.none() | st.builds(TextLimit, st.integers(4, 40), st.none() | st.just(word_pieces)),
    overlap=st.integers(0, 3),
)
def test_no_chunk_exceeds_its_size_with_all_that_stands_around_its_text(
    text: str, how: TextSplitter, said: Frame | None, size: int, limit: TextLimit | None, overlap: int
) -> None:
    splitter = Splitter(how, chunk_size=size, chunk_overlap=min(overlap, size - 1), limit=limit)
    chunks = texts_of(splitter.split(text, said))
    tokenizers = [(cl100k().count, size)]
    if limit:
        tokenizers.append((limit.count or cl100k().count, limit.tokens))

    assert [chunk for chunk in chunks for count, most in tokenizers if count(chunk) > most and len(chunk) > 1] == []
    assert [chunk for chunk in chunks if not chunk.strip()] == []


@settings(deadline=None)
@given(text=MARKED, how=HEADING_PATHS, size=st.integers(12, 40), overlap=st.integers(0, 3))
def test_paths_take_nothing_from_the_text(text: str, how: MarkdownSplitter, size: int, overlap: int) -> None:
    """A chunk is a path and a slice of the text; without the path, the slices cover it."""
    done = 0
    for chunk in texts_of(Splitter(how, chunk_size=size, chunk_overlap=overlap).split(text)):
        # With its path a chunk may happen to be a slice as well, so that the reading counts that leads further.
        readings = {chunk, chunk.partition("\n\n")[2] or chunk}
        ends = [end_of_slice(text, each, done) for each in readings]
        assert any(end is not None for end in ends)
        done = max(end or 0 for end in ends)

    assert text[done:].strip() == ""


# --- whole texts --------------------------------------------------------------------------------------------


def test_a_whole_text_that_fits_is_one_chunk() -> None:
    text = " a\n\nb " * 50

    assert Splitter(WholeText(), chunk_size=500).split(text) == (Chunk(0, text.strip()),)


@pytest.mark.parametrize("text", [PROSE, "0123456789abcdef" * 500, "🧑‍🚀🎉🇩🇪👍🏽" * 40, "漢字かな交じり文" * 90])
def test_a_whole_text_is_cut_to_the_token_and_not_inside_a_character(text: str) -> None:
    (chunk,) = Splitter(WholeText(), chunk_size=101).split(text)
    longer = text[: len(chunk.text) + 1]

    assert (chunk.index, chunk.truncated) == (0, True)
    assert text.startswith(chunk.text)
    assert cl100k().count(chunk.text) <= 101
    assert cl100k().count(longer) > 101 or cl100k().count(chunk.text) == 101


def test_a_whole_text_fills_a_model_of_another_tokenizer_and_a_frame() -> None:
    said = frame(": ", title="T")
    (own,) = Splitter(WholeText(), chunk_size=500, limit=TextLimit(60, word_pieces)).split(PROSE)
    (framed,) = Splitter(WholeText(), chunk_size=51).split(PROSE, said)

    assert (word_pieces(own.text), own.truncated) == (60, True)
    assert framed.text.startswith("T: ")
    assert PROSE.startswith(framed.text[3:])
    assert (cl100k().count(framed.text), framed.truncated) == (51, True)


@pytest.mark.parametrize("limit", [None, TextLimit(8191, lambda text: 9000 * (len(text) > 1))])
def test_a_whole_text_that_fits_nowhere_is_its_first_character(limit: TextLimit | None) -> None:
    assert Splitter(WholeText(), chunk_size=1, limit=limit).split("🧑‍🚀🎉") == (Chunk(0, "🧑", truncated=True),)


def test_a_text_that_is_too_long_is_refused_where_it_must_be_whole() -> None:
    splitter = Splitter(WholeText(when_too_long="fail"), chunk_size=3)

    assert texts_of(splitter.split("one two three")) == ["one two three"]
    with pytest.raises(TextTooLongError):
        splitter.split("one two three four")


@pytest.mark.parametrize("how", [WholeText(), MarkdownSplitter(heading_path=True), SeparatorSplitter()])
@pytest.mark.parametrize(
    "text",
    ["# A\na" + " " * 1_100_000 + "bc", "# A\n" + "x" * 300_000, "# A\n" * 50_000, "```\n#" + "🎉" * 20_000],
    ids=["blanks", "one line", "headings", "emoji"],
)
def test_hostile_texts_are_survived_in_a_frame_of_the_same_kind(how: TextSplitter, text: str) -> None:
    chunks = texts_of(Splitter(how, chunk_size=500).split(text, frame(" ", title=text)))

    assert max(map(cl100k().count, chunks)) <= 500


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
