"""The Qdrant server as embedder: texts travel with the points, and its inference service makes vectors of them.

So nothing is asked for here: an embedded text is a `ServerText`, and only the store can find out whether the server
has such a service (`Store.require_inference`). Keys of other providers are headers of the requests to the server
(https://qdrant.tech/documentation/inference/external-inference-providers).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import ConfigError
from ..vectors import Dense, ServerText
from .base import TextLimit, Usage
from .counting import count_cl100k
from .models import Model, known_model

#: Models of other providers are called PROVIDER/MODEL; theirs is the key by which the table of models knows the provider.
_PROVIDERS: Final = {"openai": "openai", "cohere": "cohere", "jinaai": "jina", "jina": "jina"}

#: Of the models that every cluster has, those whose vectors are none that this connector writes.
_OTHER_VECTORS: Final = {
    "bm25": "sparse",
    "qdrant/bm25": "sparse",
    "prithivida/splade_pp_en_v1": "sparse",
    "answerdotai/answerai-colbert-small-v1": "several",
}


class QdrantInferenceEmbedder:
    """The embedder of mode `qdrant`."""

    usage = Usage()

    def __init__(self, model_name: str, dimensions: int | None = None, document_prefix: str = "") -> None:
        """`dimensions`: as the user says; they are only to be said of models that are not known.

        Raises:
            ConfigError: the model has other dimensions, or makes no dense vectors.
        """
        self._name = model_name
        self._prefix = document_prefix
        self._known = _known(model_name)
        if kind := _OTHER_VECTORS.get(model_name.lower()):
            raise ConfigError(
                f"The model in embedding.model_name makes {kind} vectors of a text, and the connector writes one dense"
                " vector a text: choose a model for dense vectors."
            )
        if self._known and dimensions not in {None, self._known.default}:
            raise ConfigError(
                f"The model in embedding.model_name gives {self._known.default} dimensions, not {dimensions}: leave"
                " embedding.dimensions empty, or choose another model."
            )
        self._dimensions = self._known.default if self._known else dimensions

    @property
    def model(self) -> str:
        """Its name at the server."""
        return f"qdrant/{self._name}"

    @property
    def fingerprint(self) -> str:
        """The model, and what stands before each text."""
        return f"{self.model} {self._prefix!r}" if self._prefix else self.model

    @property
    def dimensions(self) -> int | None:
        """As known or said; the server never says it."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit | None:
        """That of the model, if it is known; the service may cut what is longer without a word."""
        return self._known.limit if self._known else None

    def count_tokens(self, text: str) -> int:
        """As the connector counts: the server's own count stays there, and is about the same."""
        return count_cl100k(self._prefix + text)

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[ServerText]:
        """What the server is to embed. What is no Unicode becomes question marks, as in every request."""
        del tokens
        return [ServerText(_unicode(self._prefix + text), self._name) for text in texts]

    def embed_query(self, text: str) -> Dense:
        """Refused: vectors never come here.

        Raises:
            ConfigError: always.
        """
        del text
        raise ConfigError(
            "Text cannot be embedded here: with embedding.mode qdrant the server embeds it. Search with the text itself"
            " (a Document of Qdrant's API), or choose another embedding.mode."
        )

    def close(self) -> None:
        """Nothing is held."""


def _known(name: str) -> Model | None:
    provider, _, model = name.partition("/")
    table = _PROVIDERS.get(provider.lower())
    return known_model(table, model) if table else known_model("qdrant", name.lower())


def _unicode(text: str) -> str:
    return text.encode(errors="replace").decode()
