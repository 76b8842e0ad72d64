"""The tokenizer counts as cl100k_base does, and needs no network to do so."""

from __future__ import annotations

import gzip
import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tiktoken_ext.openai_public
from hypothesis import given
from hypothesis import strategies as st

from destination_qdrant import tokens
from destination_qdrant.errors import SystemFault
from destination_qdrant.tokens import certainly_fits, cl100k

TEXTS = st.text(alphabet=st.one_of(st.sampled_from("ab \n\r\t'1é漢🎉"), st.characters(codec="utf-8")), max_size=60)


@pytest.fixture
def unloaded() -> Iterator[None]:
    """As in a fresh process; what a test loaded from elsewhere is forgotten."""
    tokens._load.cache_clear()  # noqa: SLF001 -- nobody but a test forgets the tokenizer
    yield
    tokens._load.cache_clear()  # noqa: SLF001 -- same


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the vocabulary is looked for: a real installed distribution in an otherwise empty folder."""
    info = tmp_path / f"{tokens.PACKAGE}-0.2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {tokens.PACKAGE}\nVersion: 0.2.1\n")
    file = tmp_path / tokens.VOCABULARY
    file.parent.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("hello world", 2),
        ("tiktoken is great!", 6),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 9),
    ],
)
def test_counts_are_the_published_ones(text: str, count: int) -> None:
    """The figures are those of OpenAI's cookbook, "How to count tokens with tiktoken"."""
    assert cl100k().count(text) == count


def test_pattern_is_the_one_of_the_installed_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    expected: list[str] = []

    def no_download(_url: str, *, expected_hash: str) -> dict[bytes, int]:
        expected.append(expected_hash)
        return {}

    monkeypatch.setattr(tiktoken_ext.openai_public, "load_tiktoken_bpe", no_download)
    published: dict[str, Any] = tiktoken_ext.openai_public.cl100k_base()

    assert published["pat_str"] == tokens.PATTERN
    assert expected == [tokens.SHA256]


def test_what_looks_like_a_special_token_is_text() -> None:
    assert cl100k().count("<|endoftext|>") == 7


def test_a_lone_surrogate_is_counted_and_does_not_crash() -> None:
    assert cl100k().count("a\ud800b") == cl100k().count("a\ufffdb")
    assert cl100k().fits("\ud800" * 100, 2) is False


@given(text=TEXTS, limit=st.integers(0, 40))
def test_fits_is_exact(text: str, limit: int) -> None:
    assert cl100k().fits(text, limit) == (cl100k().count(text) <= limit)


@given(text=TEXTS)
def test_bounds_known_without_tokenising_hold(text: str) -> None:
    count = cl100k().count(text)

    assert cl100k().at_least(text) <= count
    assert cl100k().certainly_exceeds(text, count) is False
    assert certainly_fits(text, count - 1) is False
    assert certainly_fits(text, len(text.encode())) is True


def test_no_token_has_characters_of_two_words() -> None:
    """So there are at least as many tokens as words. Half a character counts as one, which is the worse case."""
    vocabulary = tokens._parse(tokens._read())  # noqa: SLF001 -- what the tokenizer is made of

    assert [token for token in vocabulary if len(token.decode(errors="replace").split()) > 1] == []


@given(text=TEXTS)
def test_words_never_outnumber_tokens(text: str) -> None:
    """With a long word behind it, a text is one whose words are looked at, whatever the limit."""
    long = f"{text} {'x' * 400}"

    assert cl100k().certainly_exceeds(long, cl100k().count(long)) is False
    assert len(long.split()) <= cl100k().count(long)


def test_a_text_of_more_words_than_tokens_allowed_exceeds_for_certain() -> None:
    text = "considerable " * 50

    assert [cl100k().certainly_exceeds(text, limit) for limit in (0, 1, 49, 50)] == [True, True, True, False]
    assert cl100k().certainly_exceeds("a " * 50, 49) is False  # which it does, but short words are not worth a look


def test_a_text_of_the_longest_tokens_is_not_underrated() -> None:
    """cl100k_base has tokens of 128 blanks, the longest there are."""
    text = " " * 128 * 4

    assert cl100k().count(text) == cl100k().at_least(text) == 4


@given(text=TEXTS)
def test_offsets_are_the_characters_at_which_tokens_begin(text: str) -> None:
    encoding = cl100k()._encoding  # noqa: SLF001 -- tiktoken's own answer, slow, is the oracle
    _, expected = encoding.decode_with_offsets(encoding.encode_ordinary(text))

    assert list(cl100k().offsets(text)) == expected


@pytest.mark.usefixtures("unloaded")
def test_loading_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> NoReturn:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)

    assert cl100k().count("hello world") == 2


@pytest.mark.usefixtures("unloaded")
def test_threads_that_ask_at_once_share_one_tokenizer() -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: cl100k(), range(8)))

    assert {id(one) for one in loaded} == {id(loaded[0])}


def test_only_the_data_file_of_the_package_is_used() -> None:
    code = (
        "import sys; from destination_qdrant.tokens import cl100k; early = 'tiktoken' in sys.modules;"
        f"print(cl100k().count('hello world'), early, {tokens.PACKAGE!r} in sys.modules)"
    )
    root = Path(tokens.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert run.stdout.split() == ["2", "False", "False"]


@pytest.mark.usefixtures("unloaded")
def test_the_vocabulary_is_read_from_the_installed_package(installed: Path) -> None:
    for distribution in metadata.distributions(name=tokens.PACKAGE):
        original = Path(str(distribution.locate_file(tokens.VOCABULARY)))
        if original.exists():
            installed.write_bytes(original.read_bytes())

    assert hashlib.sha256(gzip.decompress(installed.read_bytes())).hexdigest() == tokens.SHA256
    assert cl100k().count("hello world") == 2


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"aGVsbG8= 0\n"), b"no gzip", gzip.compress(b"cut short")[:-4], b""],
    ids=["other vocabulary", "no gzip", "cut short", "empty"],
)
def test_a_damaged_vocabulary_is_refused(installed: Path, content: bytes) -> None:
    installed.write_bytes(content)

    with pytest.raises(SystemFault, match="is not the published cl100k_base"):
        cl100k()


@pytest.mark.usefixtures("unloaded", "installed")
def test_a_missing_file_is_reported() -> None:
    with pytest.raises(SystemFault, match="vocabulary is missing"):
        cl100k()


@pytest.mark.usefixtures("unloaded")
def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PACKAGE", "no-such-distribution")

    with pytest.raises(SystemFault, match="no-such-distribution should hold it"):
        cl100k()
