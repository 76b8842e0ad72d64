"""No model at all: every record brings its vector along (`given` reads it), and no text can be embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..errors import ConfigError
from ..vectors import Dense
from .base import TextLimit, Usage


class FromField:
    """The embedder of mode `from_field`: knows how long the vectors are and makes none."""

    usage = Usage()

    def __init__(self, field_name: str, dimensions: int) -> None:
        self._field_name = field_name
        self._dimensions = dimensions

    @property
    def model(self) -> str:
        """Nobody knows which model made the vectors; the same field is the best there is."""
        return f"from_field/{self._field_name}@{self._dimensions}"

    @property
    def fingerprint(self) -> str:
        """The same: the vectors depend on the records alone."""
        return self.model

    @property
    def dimensions(self) -> int:
        """As configured."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit | None:
        """No text is embedded, so none is too long."""
        return None

    def count_tokens(self, text: str) -> int:
        """Nobody is paid."""
        del text
        return 0

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        """Nothing for nothing.

        Raises:
            ConfigError: there is a text.
        """
        del tokens
        if texts:
            self._refuse()
        return []

    def embed_query(self, text: str) -> Dense:
        """Always refused.

        Raises:
            ConfigError: always.
        """
        del text
        self._refuse()

    def close(self) -> None:
        """There is nothing to let go of."""

    def _refuse(self) -> NoReturn:
        raise ConfigError(
            f"Text cannot be embedded: embedding.mode 'from_field' takes ready vectors from the field "
            f"'{self._field_name}'; choose another embedding.mode to embed text."
        )
