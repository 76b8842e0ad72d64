"""PyAirbyte, Airbyte's own client, drives the installed connector; what arrives is read back from Qdrant.

PyAirbyte cannot look into a Qdrant: to it a sync is good when the connector exits with 0. So every record is compared
here, with what the source emits when it is run by itself (the smoke test), or with a copy of what PyAirbyte sent.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import Json
from contained import TAG, missing
from readme import SERVER_URL, blocks
from targets import EmbeddedTarget, ServerTarget, Target

CLIENTS = Path(__file__).parents[2] / ".venv-clients"
DRIVE = Path(__file__).with_name("drive.py")
CONNECTOR = Path(sys.executable).with_name("destination-qdrant")

pytestmark = [
    pytest.mark.skipif(not (CLIENTS / ".complete").exists(), reason="PyAirbyte is not installed: `make test-clients`"),
    pytest.mark.timeout(600),  # a client or a source takes many seconds to start, and each test starts several
]

Contents = dict[str, Counter[str]]
"""Stream -> its records as canonical JSON, with how often each is there."""


# ----------------------------------------------------------------------------------------------------------
# The programs


@pytest.fixture(name="qdrant", params=["embedded", "server"])
def _qdrant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    if request.param == "embedded":
        yield EmbeddedTarget(tmp_path)
        return
    url = request.getfixturevalue("server_url")
    server = ServerTarget(url, prefer_grpc=True)
    yield server
    if server.points() is not None:
        server.remove()


def program(environment: str, name: str) -> Path:
    """A program of one of the clients' environments."""
    return CLIENTS / environment / "bin" / name


def run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a client where it finds its own programs, reaches no registry and leaves everything in the folder."""
    environment = {
        "PATH": f"{program('pyairbyte', 'python').parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TMPDIR": tempfile.gettempdir(),
        "AIRBYTE_OFFLINE_MODE": "1",
        "AIRBYTE_PROJECT_DIR": str(folder),
        "AIRBYTE_LOGGING_ROOT": str(folder / "logs"),
        "DO_NOT_TRACK": "1",
    }
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)


def configuration(indexing: Json) -> Json:
    """All fields are embedded, with made-up vectors; long texts are split."""
    return {"processing": {"chunk_size": 500}, "embedding": {"mode": "fake"}, "indexing": indexing}


# ----------------------------------------------------------------------------------------------------------
# What is stored


def canonical(record: Mapping[str, Any]) -> str:
    return json.dumps(without_last_digits(record), sort_keys=True)


def without_last_digits(value: Any) -> Any:
    """Qdrant does not keep every double to its last digit."""
    if isinstance(value, float):
        return float(f"{value:.14g}")
    if isinstance(value, dict):
        return {name: without_last_digits(member) for name, member in value.items()}
    return [without_last_digits(member) for member in value] if isinstance(value, list) else value


def contents(records: Mapping[str, Iterable[Mapping[str, Any]]]) -> Contents:
    """The records of each stream that has any."""
    counted = {stream: Counter(map(canonical, of_stream)) for stream, of_stream in records.items()}
    return {stream: counts for stream, counts in counted.items() if counts}


def compare(qdrant: Target, expected: Mapping[str, Sequence[Mapping[str, Any]]], namespace: str = "") -> None:
    """Qdrant holds these records of these streams and nothing else, and the text of each says all that is in it."""
    texts = texts_by_record(qdrant.points() or [], namespace)
    found = {
        stream: Counter({record: len(each) for record, each in records.items()}) for stream, records in texts.items()
    }
    assert found == contents(expected)
    for stream, records in expected.items():
        for record in records:
            for text in texts[stream][canonical(record)]:
                assert [said for said in words(record) if said not in text] == []


def texts_by_record(points: Iterable[Json], namespace: str) -> dict[str, dict[str, list[str]]]:
    """Stream -> record as canonical JSON -> its text without blanks, once for each time that all its chunks are there."""
    chunks: dict[tuple[str, str, int], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        payload = point["payload"]
        assert len(point["vector"]) == 1536
        assert payload["_ab_namespace"] == namespace
        stream = payload["_ab_stream"].removeprefix(f"{namespace}_" if namespace else "")
        record = {name: value for name, value in payload.items() if name != "text" and not name.startswith("_ab_")}
        chunk = chunks[stream, canonical(record), payload["_ab_chunk_count"]]
        chunk[payload["_ab_chunk_index"]].append(squeezed(payload["text"]))
    texts: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for (stream, text_of, count), by_index in chunks.items():
        assert sorted(by_index) == list(range(count))
        texts[stream][text_of] = ["".join(parts) for parts in zip(*(by_index[n] for n in range(count)), strict=True)]
    return dict(texts)


def words(value: Any) -> Iterator[str]:
    """What the text of a record has to hold: the names of its fields that say something, and what they say."""
    if isinstance(value, dict):
        for name, member in value.items():
            said = list(words(member))
            yield from [squeezed(name), *said] if any(said) else ()
    elif isinstance(value, list):
        for member in value:
            yield from words(member)
    elif value is not None:
        yield squeezed(str(value))


def squeezed(text: str) -> str:
    """Without the blanks, some of which go where a text is split."""
    return "".join(text.split())


# ----------------------------------------------------------------------------------------------------------
# Airbyte's smoke test of destinations

NAMESPACE = "smoke"
PREFLIGHT = {
    "_preflight_basic_types": [
        {"id": 1, "name": "Alice", "amount": 100.50, "is_active": True},
        {"id": 2, "name": "Bob", "amount": 0.0, "is_active": False},
        {"id": 3, "name": "", "amount": -99.99, "is_active": True},
    ]
}


@pytest.fixture(name="scenarios", scope="module")
def _scenarios(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Json]]:
    """The streams of the smoke test and their records, of keyed ones the last of each key."""
    folder = tmp_path_factory.mktemp("scenarios")
    source, config, catalog = program("pyairbyte", "source-smoke-test"), folder / "config.json", folder / "catalog.json"
    config.write_text(json.dumps({"all_fast_streams": True, "all_slow_streams": True, "namespace": NAMESPACE}))
    (discovered,) = messages(run([source, "discover", "--config", config], folder).stdout, "CATALOG")
    streams = discovered["catalog"]["streams"]
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    catalog.write_text(json.dumps({"streams": [{"stream": stream, **modes} for stream in streams]}))
    emitted = run([source, "read", "--config", config, "--catalog", catalog], folder).stdout
    records = by_stream(messages(emitted, "RECORD"))
    return {
        stream["name"]: latest(records.get(stream["name"], []), stream.get("source_defined_primary_key") or [])
        for stream in streams
    }


def messages(lines: str, kind: str) -> list[Json]:
    return [message for message in map(json.loads, lines.splitlines()) if message["type"] == kind]


def by_stream(records: Iterable[Json]) -> dict[str, list[Json]]:
    gathered: dict[str, list[Json]] = defaultdict(list)
    for message in records:
        gathered[message["record"]["stream"]].append(message["record"]["data"])
    return dict(gathered)


def latest(records: Iterable[Json], key: Sequence[Sequence[str]]) -> list[Json]:
    """One record for each key, the last; all of them without a key. The keys here are columns, none is nested."""
    if not key:
        return list(records)
    return list({tuple(str(record[column]) for (column,) in key): record for record in records}.values())


def smoke_test(indexing: Json, folder: Path, *options: str, destination: str | Path = CONNECTOR) -> tuple[int, Json]:
    """Exit code and verdict of `pyab destination-smoke-test`."""
    config = folder / "config.json"
    config.write_text(json.dumps(configuration(indexing)))
    command = [program("pyairbyte", "pyab"), "destination-smoke-test", "--destination", destination, "--config", config]
    done = run([*command, "--scenarios", "all", "--reuse-namespace", NAMESPACE, *options], folder)
    assert "{" in done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout[done.stdout.index("{\n") :])


def test_every_scenario_of_the_smoke_test_arrives_and_comes_again_unchanged(
    scenarios: dict[str, list[Json]], qdrant: Target, tmp_path: Path
) -> None:
    assert len(scenarios) == 22
    code, verdict = smoke_test(qdrant.indexing(), tmp_path)
    assert (code, verdict["success"], verdict["preflight_passed"]) == (0, True, True), verdict
    assert verdict["records_delivered"] == 1059
    compare(qdrant, scenarios | PREFLIGHT, NAMESPACE)
    code, verdict = smoke_test(qdrant.indexing(), tmp_path, "--skip-preflight")
    assert (code, verdict["success"]) == (0, True), verdict
    compare(qdrant, scenarios | PREFLIGHT, NAMESPACE)


# ----------------------------------------------------------------------------------------------------------
# source-faker in every write strategy


class PyAirbyte:
    """Steps of one driver process, with a connector that keeps a copy of what it is sent."""

    def __init__(self, qdrant: Target, folder: Path) -> None:
        self._qdrant = qdrant
        self._folder = folder
        self._copies: list[Path] = []
        self._connector = folder / "destination-qdrant"
        connector = shlex.quote(str(CONNECTOR))
        self._connector.write_text(
            f'#!/bin/sh\nif [ "$1" = write ]; then tee "$SENT" | {connector} "$@"; else exec {connector} "$@"; fi\n'
        )
        self._connector.chmod(0o755)

    def write(self, strategy: str, *, users: int, cache: bool, updated: bool = True) -> Json:
        """A step that syncs source-faker; with `updated` it sends its records again whatever its state says."""
        self._copies.append(self._folder / f"sent-{len(self._copies)}.jsonl")
        return {
            "do": "write",
            "strategy": strategy,
            "source_config": {"count": users, "seed": 7, "parallelism": 1, "always_updated": updated},
            "cache": cache,
            "sent": str(self._copies[-1]),
        }

    def do(self, *steps: Json) -> list[Json]:
        """Take the steps; returns what came of each."""
        job, result = self._folder / "job.json", self._folder / "result.json"
        content = {
            "destination": str(self._connector),
            "config": configuration(self._qdrant.indexing()),
            "source": str(program("source-faker", "source-faker")),
            "steps": steps,
        }
        job.write_text(json.dumps(content))
        done = run([program("pyairbyte", "python"), DRIVE, job, result], self._folder)
        assert done.returncode == 0, done.stderr
        return json.loads(result.read_text())

    @property
    def logs(self) -> list[Path]:
        """What PyAirbyte logged of the connector."""
        return list((self._folder / "logs" / "destination-qdrant").glob("*.log"))

    @property
    def sent(self) -> list[dict[str, list[Json]]]:
        """The records of each sync, as PyAirbyte sent them."""
        return [by_stream(messages(copy.read_text(), "RECORD")) for copy in self._copies]


@pytest.fixture(name="client")
def _client(qdrant: Target, tmp_path: Path) -> PyAirbyte:
    return PyAirbyte(qdrant, tmp_path)


def sizes(records: Mapping[str, Sequence[Json]]) -> dict[str, int]:
    return {stream: len(of_stream) for stream, of_stream in records.items()}


def each(count: int) -> dict[str, int]:
    """So many users have as many purchases, and there are as many products."""
    return dict.fromkeys(("users", "products", "purchases"), count)


def joined(syncs: Iterable[Mapping[str, list[Json]]]) -> dict[str, list[Json]]:
    """What several syncs sent, one after the other."""
    records: dict[str, list[Json]] = defaultdict(list)
    for sync in syncs:
        for stream, of_stream in sync.items():
            records[stream] += of_stream
    return dict(records)


def by_id(records: Mapping[str, list[Json]]) -> dict[str, list[Json]]:
    return {stream: latest(of_stream, [["id"]]) for stream, of_stream in records.items()}


@pytest.mark.parametrize("cache", [False, True], ids=["direct", "cache"])
def test_append_keeps_every_record_of_every_sync(client: PyAirbyte, qdrant: Target, *, cache: bool) -> None:
    first = client.write("append", users=60, cache=cache)
    second = client.write("append", users=40, cache=cache)
    outcome = client.do({"do": "check"}, first, second)
    assert [step["error"] for step in outcome] == [None] * 3
    # The cache appends too, and PyAirbyte sends all that is in it.
    assert [sizes(sync) for sync in client.sent] == [each(60), each(100 if cache else 40)]
    compare(qdrant, joined(client.sent))


@pytest.mark.parametrize("strategy", ["merge", "auto"])
@pytest.mark.parametrize("cache", [False, True], ids=["direct", "cache"])
def test_merge_keeps_the_last_record_of_every_key(
    client: PyAirbyte, qdrant: Target, strategy: str, *, cache: bool
) -> None:
    """AUTO merges here: every stream of source-faker has a key."""
    first = client.write(strategy, users=60, cache=cache)
    second = client.write(strategy, users=40, cache=cache)
    outcome = client.do(first, second)
    assert [step["error"] for step in outcome] == [None] * 2
    assert [sizes(sync) for sync in client.sent] == [each(60), each(60 if cache else 40)]
    expected = by_id(joined(client.sent))
    assert sizes(expected) == each(60)
    compare(qdrant, expected)


@pytest.mark.parametrize("cache", [False, True], ids=["direct", "cache"])
def test_replace_keeps_the_last_sync_only(client: PyAirbyte, qdrant: Target, *, cache: bool) -> None:
    first = client.write("replace", users=60, cache=cache)
    second = client.write("replace", users=40, cache=cache)
    outcome = client.do(first, second)
    assert [step["error"] for step in outcome] == [None] * 2
    assert [sizes(sync) for sync in client.sent] == [each(60), each(40)]
    compare(qdrant, client.sent[-1])


@pytest.mark.parametrize("strategy", ["append", "merge"])
def test_a_sync_without_news_removes_nothing(client: PyAirbyte, qdrant: Target, strategy: str) -> None:
    """PyAirbyte kept the state that came back from the connector, so the source has nothing to send."""
    first = client.write(strategy, users=60, cache=False, updated=False)
    second = client.write(strategy, users=60, cache=False, updated=False)
    outcome = client.do(first, second)
    assert [step["error"] for step in outcome] == [None] * 2
    assert [step["processed"] for step in outcome] == [180, 0]
    assert [sizes(sync) for sync in client.sent] == [each(60), {}]
    compare(qdrant, client.sent[0])


# ----------------------------------------------------------------------------------------------------------
# The image


@pytest.fixture(name="mounted")
def _mounted(tmp_path: Path) -> EmbeddedTarget:
    """A Qdrant in the folder that PyAirbyte mounts as /local; the image's user may write there."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path / "destination-qdrant"
    folder.mkdir()
    folder.chmod(0o777)
    return EmbeddedTarget(folder)


IN_THE_IMAGE = {"url": "file:///local/qdrant", "collection": "docs"}


def test_every_scenario_of_the_smoke_test_arrives_through_the_image(
    scenarios: dict[str, list[Json]], mounted: EmbeddedTarget, tmp_path: Path
) -> None:
    code, verdict = smoke_test(IN_THE_IMAGE, tmp_path, destination=TAG)
    assert (code, verdict["success"], verdict["records_delivered"]) == (0, True, 1059), verdict
    compare(mounted, scenarios | PREFLIGHT, NAMESPACE)


def test_source_faker_arrives_through_the_image(mounted: EmbeddedTarget, tmp_path: Path) -> None:
    job, result = tmp_path / "job.json", tmp_path / "result.json"
    step = {
        "do": "write",
        "strategy": "merge",
        "source_config": {"count": 60, "seed": 7, "parallelism": 1, "always_updated": True},
        "cache": False,
        "sent": "",
    }
    content = {
        "image": TAG,
        "config": configuration(IN_THE_IMAGE),
        "source": str(program("source-faker", "source-faker")),
        "steps": [{"do": "check"}, step, step],
    }
    job.write_text(json.dumps(content))
    done = run([program("pyairbyte", "python"), DRIVE, job, result], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [step["error"] for step in json.loads(result.read_text())] == [None] * 3
    stored = texts_by_record(mounted.points() or [], "")
    assert {stream: sum(map(len, records.values())) for stream, records in stored.items()} == each(60)


# ----------------------------------------------------------------------------------------------------------
# The README


def test_the_readme_shows_a_program_that_works(qdrant: Target, tmp_path: Path) -> None:
    """With the image where there is one and its network is the machine's; else with the executable that the README names too."""
    if not isinstance(qdrant, ServerTarget):
        pytest.skip("the README writes to a server, which another run of this test does")
    (shown,) = blocks("python")
    image, executable = re.findall(r'docker_image="[^"]+"|local_executable="[^"]+"', shown)
    if missing():
        shown = shown.replace(image, f'local_executable="{CONNECTOR}"').replace("use_host_network=True,", "")
    else:
        shown = shown.replace(image, f'docker_image="{TAG}"')
    assert executable.endswith('.venv/bin/destination-qdrant"')
    shown = shown.replace(SERVER_URL, qdrant.url).replace('"people"', f'"{qdrant.collection}"')
    shown = shown.replace(
        '"source-faker",', f'"source-faker", local_executable="{program("source-faker", "source-faker")}",'
    )
    (tmp_path / "shown.py").write_text(shown, encoding="utf-8")
    done = run([program("pyairbyte", "python"), tmp_path / "shown.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(qdrant.points() or []) == 100


# ----------------------------------------------------------------------------------------------------------
# Failures

FOREIGN = {"id": "00000000-0000-0000-0000-000000000001", "vector": [1.0, 0.0, 0.0, 0.0], "payload": {}}


def test_a_failed_check_and_a_failed_write_tell_why(client: PyAirbyte, qdrant: Target) -> None:
    """Of a write PyAirbyte's exception names only the log file; what it shows meanwhile has our sentence."""
    qdrant.seed(4, [FOREIGN])
    before = qdrant.points()
    check, write = client.do({"do": "check"}, client.write("merge", users=1, cache=False))
    why = "stores 4-dimensional cos vectors (unnamed), but the embedding model gives 1536 dimensions"
    assert why in check["error"]
    assert "AirbyteConnectorWriteError" in write["error"]
    assert any(why in log.read_text() and str(log) in write["error"] for log in client.logs)
    assert qdrant.points() == before


def test_a_failed_smoke_test_tells_why(qdrant: Target, tmp_path: Path) -> None:
    qdrant.seed(4, [FOREIGN])
    code, verdict = smoke_test(qdrant.indexing(), tmp_path)
    assert (code, verdict["success"]) == (1, False)
    assert "stores 4-dimensional cos vectors (unnamed), but the embedding model gives 1536 dim" in verdict["error"]
