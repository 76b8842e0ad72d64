"""In which form vectors are asked for: base64 is read fifty times faster than numbers, and not every server has it.

What a server can is found out once and then kept, and a single broken answer proves nothing: gateways send one now and
then. So it takes two of them to do without base64, and a service that has given a good answer is asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from ..retry import Retryable
from .requests import Answer
from .service import BrokenAnswerError, InvalidRequestError, WrongDimensionsError

Format = Literal["base64", "float"]

#: So many broken answers, and base64 is to blame.
_PROOF: Final = 2

#: For so long a service that has answered well may answer badly.
_HICCUP_SECONDS: Final = 10.0


class Encoding:
    """One service's. The race of several first answers ends the same way, whoever is first."""

    def __init__(self, *, has_base64: bool = False) -> None:
        """Begin with what is documented."""
        self._format: Format | None = "base64" if has_base64 else None
        self._broken = 0
        self._has_answered = False

    def ask(self, ask_in: Callable[[Format], Answer], *, length_is_known: bool = True) -> Answer:
        """The answer to a request.

        Args:
            ask_in: sends it, for vectors in that form.
            length_is_known: whether it can be told when base64 holds only a part of a vector.

        Raises:
            Retryable: it is broken, and others were not.
        """
        try:
            answer = self._answer(ask_in, length_is_known=length_is_known)
        except BrokenAnswerError as failure:
            if not self._has_answered:
                raise
            signal = Retryable(failure, within=_HICCUP_SECONDS)
        else:
            self._has_answered = True
            return answer
        raise signal

    def _answer(self, ask_in: Callable[[Format], Answer], *, length_is_known: bool) -> Answer:
        if self._format is not None:
            return ask_in(self._format)
        if not length_is_known:
            # Plain numbers say how many there are; whether base64 decodes to as many can be told from the next answer.
            return ask_in("float")
        try:
            answer = ask_in("base64")
        except (InvalidRequestError, WrongDimensionsError):  # what older servers do with it, each time
            answer = ask_in("float")
            self._format = "float"
        except BrokenAnswerError:
            answer = ask_in("float")
            self._broken += 1
            if self._broken >= _PROOF:
                self._format = "float"
        else:
            self._format = "base64"
        return answer
