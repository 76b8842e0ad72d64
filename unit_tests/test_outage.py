"""What the log says of a server that keeps calls waiting, with a clock that is moved by hand."""

from __future__ import annotations

from contextlib import suppress

import pytest

from destination_qdrant.errors import ConfigError, TransientError
from destination_qdrant.qdrant.server.outage import Outage
from destination_qdrant.retry import Retryable, RetryPolicy, Waiting, call

AWAY = TransientError("Qdrant at http://db:6333 is away.")
WARNING = ("WARN", "Qdrant at http://db:6333 is away. Trying again for up to 300 seconds.")
OVER = ("INFO", "Qdrant at http://db:6333 answers again.")


class Scene:
    """An outage, its clock and its log."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.log: list[tuple[str, str]] = []
        self.outage = Outage("http://db:6333", lambda level, text: self.log.append((level, text)), lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def lasts(self, seconds: float) -> None:
        """One call that fails until so much time has passed."""
        heals_at = self.now + seconds

        def attempt() -> None:
            if self.now < heals_at:
                raise Retryable(AWAY)

        with self.outage.watch() as on_wait:
            call(
                RetryPolicy(300, first_wait=1, longest_wait=4),
                attempt,
                clock=lambda: self.now,
                sleep=self.sleep,
                jitter=lambda: 1.0,
                on_wait=on_wait,
            )


def waiting(next_try: float) -> Waiting:
    return Waiting(AWAY, next_try, 300)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_call_that_succeeds_within_seconds_is_not_told_of(scene: Scene) -> None:
    scene.lasts(0)
    scene.lasts(7)

    assert scene.log == []


def test_an_outage_is_told_of_once_and_so_is_its_end(scene: Scene) -> None:
    scene.lasts(50)

    assert scene.log == [WARNING, OVER]


def test_a_long_outage_is_told_of_once_a_minute(scene: Scene) -> None:
    scene.lasts(200)

    assert scene.log == [WARNING] * 4 + [OVER]


def test_a_long_wait_is_told_of_before_it_begins(scene: Scene) -> None:
    with scene.outage.watch() as on_wait:
        on_wait(waiting(9.9))
        assert scene.log == []
        on_wait(waiting(10))
        assert scene.log == [WARNING]


def test_calls_that_wait_together_are_one_outage_which_ends_with_the_last_of_them(scene: Scene) -> None:
    with scene.outage.watch() as first:
        with scene.outage.watch() as second:
            first(waiting(20))
            second(waiting(20))
            second(waiting(40))
        assert scene.log == [WARNING]

    assert scene.log == [WARNING, OVER]


def test_a_call_that_never_waited_does_not_end_an_outage(scene: Scene) -> None:
    with scene.outage.watch() as on_wait:
        on_wait(waiting(20))
        scene.lasts(0)

        assert scene.log == [WARNING]


def test_a_call_that_fails_in_the_end_is_not_said_to_be_answered(scene: Scene) -> None:
    with suppress(ConfigError), scene.outage.watch() as on_wait:
        on_wait(waiting(20))
        raise ConfigError("The key was withdrawn.")

    assert scene.log == [WARNING]


def test_a_server_that_comes_and_goes_is_told_of_once_a_minute_as_well(scene: Scene) -> None:
    scene.lasts(15)
    scene.lasts(15)
    assert scene.log == [WARNING, OVER]
    scene.now += 60
    scene.lasts(15)

    assert scene.log == [WARNING, OVER] * 2
