"""Answers that never end."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import httpx2
import pytest

from destination_qdrant.embedding import cohere, openai
from destination_qdrant.embedding.deadline import parts_within


def test_the_parts_of_an_answer_pass_until_its_time_is_over() -> None:
    clock = iter([0.0, 1.0, 5.0, 5.1])
    parts = parts_within([b"a", b"b", b"c", b"d"], 5, TimeoutError("late"), lambda: next(clock))

    assert (next(parts), next(parts)) == (b"a", b"b")
    with pytest.raises(TimeoutError, match="late"):
        next(parts)


class _Drops(httpx.SyncByteStream, httpx2.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"{}"


def test_both_libraries_hear_of_it_as_a_timeout_of_their_own() -> None:
    ours = {httpx: cohere, httpx2: openai}
    for library, module in ours.items():
        late, in_time = (library.Response(200, stream=_Drops()) for _ in range(2))
        module._end_after(-1.0)(late)  # noqa: SLF001 -- what the client calls when an answer begins
        module._end_after(60.0)(in_time)  # noqa: SLF001 -- same

        assert in_time.read() == b"{}"
        with pytest.raises(library.ReadTimeout):
            late.read()
