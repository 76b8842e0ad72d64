"""Standard input as lines."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from destination_qdrant import lines
from destination_qdrant.lines import LineTooLong, StdinLines


@dataclass
class _Pipe:
    """A pipe, the reading end of which is our standard input."""

    reader: int
    writer: int

    def write(self, data: bytes) -> None:
        os.write(self.writer, data)

    def end(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@pytest.fixture
def pipe() -> Iterator[_Pipe]:
    ends = _Pipe(*os.pipe())
    yield ends
    ends.end()
    os.close(ends.reader)


class Stop(Exception):  # noqa: N818 -- a signal
    """What `on_wait` raises in these tests."""


def test_lines_come_one_by_one_the_last_one_also_without_a_newline(pipe: _Pipe) -> None:
    pipe.write(b"one\n\ntwo\r\nthree")
    pipe.end()

    assert list(StdinLines(pipe.reader)) == [b"one\n", b"\n", b"two\r\n", b"three"]


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b"x" * 3_000_000 + b"\nlast\n")
    with path.open("rb") as file:
        found = list(StdinLines(file.fileno()))

    assert [len(line) for line in found] == [3_000_001, 5]


def test_no_input_at_all_is_no_line() -> None:
    with Path(os.devnull).open("rb") as nothing:
        assert list(StdinLines(nothing.fileno())) == []


def test_a_line_that_comes_in_pieces_is_one_line(pipe: _Pipe) -> None:
    pieces = iter([b"in ", b"pieces\n"])
    source = StdinLines(pipe.reader)

    def on_wait() -> float | None:
        for piece in pieces:
            pipe.write(piece)
            return None
        pipe.end()
        return None

    source.on_wait = on_wait

    assert list(source) == [b"in pieces\n"]


def test_a_silent_input_is_interrupted_when_something_is_due(pipe: _Pipe) -> None:
    asked = iter([0.0, 0.001, None])
    source = StdinLines(pipe.reader)

    def on_wait() -> float | None:
        timeout = next(asked)
        if timeout is None:
            pipe.end()
        return timeout

    source.on_wait = on_wait

    assert list(source) == []
    assert next(asked, "all were asked for") == "all were asked for"


def test_what_is_due_may_end_the_reading(pipe: _Pipe) -> None:
    source = StdinLines(pipe.reader)
    source.on_wait = _raising(Stop())

    with pytest.raises(Stop):
        next(iter(source))


def _raising(error: Exception) -> Callable[[], float | None]:
    def on_wait() -> float | None:
        raise error

    return on_wait


def test_a_waiting_reader_can_be_woken_from_another_thread(pipe: _Pipe) -> None:
    source = StdinLines(pipe.reader)
    asked: list[int] = []

    def on_wait() -> float | None:
        asked.append(1)
        if len(asked) == 1:
            threading.Thread(target=source.wake).start()
            return None  # without the call this waits until there is input, that is forever
        raise Stop

    source.on_wait = on_wait

    with pytest.raises(Stop):
        next(iter(source))


def test_waking_a_reader_a_hundred_thousand_times_blocks_nobody(pipe: _Pipe) -> None:
    source = StdinLines(pipe.reader)
    for _ in range(100_000):  # more than a pipe holds
        source.wake()
    pipe.write(b"still there\n")
    pipe.end()

    assert list(source) == [b"still there\n"]


def test_waking_after_the_end_writes_into_nobody_elses_file(pipe: _Pipe, tmp_path: Path) -> None:
    """The numbers of closed descriptors are given out again at once."""
    source = StdinLines(pipe.reader)
    pipe.end()
    assert list(source) == []
    paths = [tmp_path / str(number) for number in range(8)]
    files = [path.open("wb") for path in paths]
    source.wake()
    for file in files:
        file.close()

    assert [path.read_bytes() for path in paths] == [b""] * 8


class TestLongestLine:
    LONGEST = 16

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "LONGEST_LINE", self.LONGEST)

    def test_a_line_of_exactly_that_length_passes(self, pipe: _Pipe) -> None:
        whole = b"x" * (self.LONGEST - 1) + b"\n"
        pipe.write(whole + whole)
        pipe.end()

        assert list(StdinLines(pipe.reader)) == [whole, whole]

    def test_a_longer_one_ends_the_reading_after_the_lines_before_it(self, pipe: _Pipe) -> None:
        pipe.write(b"fine\n" + b"x" * self.LONGEST + b"\n")
        pipe.end()
        found = iter(StdinLines(pipe.reader))

        assert next(found) == b"fine\n"
        with pytest.raises(LineTooLong):
            next(found)


def test_a_line_may_have_64_mebibytes() -> None:
    """The platform passes records of about 20 MB."""
    assert lines.LONGEST_LINE == 64 * 1024 * 1024
