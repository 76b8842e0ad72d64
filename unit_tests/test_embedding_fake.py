"""Mode `fake`: vectors that mean nothing and never change."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import pytest

from destination_qdrant.embedding.fake import DIMENSIONS, Fake

#: Written down once; a change would make every text of an existing collection look changed.
GOLDEN = {
    "": "a8d25dee1c0305b0d3ad410c2821a54c1fea4bfa2c76d5e49ed02cb6ef732ffa",
    "hello": "310d8d44f16cbd487018446974d9ed76b9595fc7be1217118c1dcfed99bf5d24",
    "Grüße \U0001f600": "7a76f5745e1a36e83ae10effa2496ee220d2eabdf12082019e045431029da034",
}


def _digest(text: str) -> str:
    return hashlib.sha256(Fake().embed_documents([text])[0].packed).hexdigest()


@pytest.mark.parametrize("text", GOLDEN)
def test_a_text_has_the_vector_it_always_had(text: str) -> None:
    assert GOLDEN[text] == _digest(text)


def test_another_process_makes_the_same_vector() -> None:
    code = (
        "import hashlib; from destination_qdrant.embedding.fake import Fake;"
        "print(hashlib.sha256(Fake().embed_query('hello').packed).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)

    assert GOLDEN["hello"] == printed.stdout.strip()


def test_vectors_are_of_length_one_and_1536_dimensions() -> None:
    (vector,) = Fake().embed_documents(["some text"])

    assert DIMENSIONS == 1536 == vector.dimensions
    assert math.hypot(*vector.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_text_finds_itself_and_other_texts_are_unlike_it() -> None:
    fake = Fake()
    one, other = fake.embed_documents(["one", "other"])

    assert one == fake.embed_query("one")
    assert abs(sum(a * b for a, b in zip(one.values(), other.values(), strict=True))) < 0.2


def test_a_lone_surrogate_is_no_reason_to_fail() -> None:
    assert Fake().embed_query("\ud800").dimensions == DIMENSIONS


def test_it_costs_nothing_and_depends_on_the_text_alone() -> None:
    fake = Fake()

    assert (fake.fingerprint, fake.count_tokens("some text"), fake.usage.requests) == ("fake", 0, 0)
    assert fake.embed_documents(["some text"], [2]) == fake.embed_documents(["some text"])
    fake.close()
