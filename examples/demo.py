"""Load real text into an embedded Qdrant through the command line, then ask it two questions.

The text is the help that ships inside Python (`help("with")` and so on). Nothing is downloaded, no key is needed.
Run it again: the same sync replaces what it wrote, and the number of points stays the same.

    python examples/demo.py [FOLDER]        (default: .demo)
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from destination_qdrant.config import parse_config
from destination_qdrant.embedding import create_embedder
from destination_qdrant.qdrant import open_store
from destination_qdrant.qdrant.base import Where

QUESTIONS = (
    "How does a function get a variable number of arguments?",
    "How do I stop a loop before it has run to its end?",
)
HITS = 3
STATE_EVERY = 20
STREAM = "python_help"


def main() -> int:
    """Run the demo in a folder; returns the exit code."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".demo").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "embedding": {"mode": "local"},
        "processing": {"chunk_size": 250, "text_fields": ["text"], "metadata_fields": ["topic"]},
        "indexing": {"url": folder.joinpath("qdrant").as_uri(), "collection": "python_help"},
    }
    catalog = {
        "streams": [
            {
                "stream": {
                    "name": STREAM,
                    "json_schema": {"properties": {"topic": {"type": "string"}, "text": {"type": "string"}}},
                    "supported_sync_modes": ["full_refresh"],
                },
                "sync_mode": "full_refresh",
                "destination_sync_mode": "overwrite",
            }
        ]
    }
    print(
        f"1. Write {len(topics)} help topics of Python {sys.version.split()[0]} as Airbyte records (one to three minutes)."
    )
    started = time.monotonic()
    code = write(folder, config, catalog)
    if code:
        return code
    print(f"   done in {time.monotonic() - started:.0f} s\n")
    print("2. Ask.")
    ask(config)
    return 0


def messages() -> Iterator[dict[str, Any]]:
    """One stream as a source would send it."""
    now = int(time.time() * 1000)
    descriptor = {"name": STREAM}
    for number, (topic, text) in enumerate(sorted(topics.items()), 1):
        record = {"stream": STREAM, "data": {"topic": topic, "text": text}, "emitted_at": now}
        yield {"type": "RECORD", "record": record}
        if number % STATE_EVERY == 0 or number == len(topics):
            state = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {"topics": number}}}
            yield {"type": "STATE", "state": state}
    status = {"stream_descriptor": descriptor, "status": "COMPLETE"}
    yield {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": now, "stream_status": status}}


def write(folder: Path, config: dict[str, Any], catalog: dict[str, Any]) -> int:
    """Run `destination-qdrant write`, showing what it says."""
    paths = {"--config": folder / "config.json", "--catalog": folder / "catalog.json"}
    for path, content in zip(paths.values(), (config, catalog), strict=True):
        path.write_text(json.dumps(content, indent=2))
    command = [str(Path(sys.executable).with_name("destination-qdrant")), "write"]
    for option, path in paths.items():
        command += [option, str(path)]
    source = folder / "messages.jsonl"
    source.write_text("".join(json.dumps(message) + "\n" for message in messages()))
    with source.open() as stdin, subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 -- our own program
        for line in process.stdout or ():
            show(json.loads(line))
    return process.returncode


def show(message: dict[str, Any]) -> None:
    """One line for a message of the connector."""
    match message:
        case {"type": "LOG", "log": {"level": level, "message": text}}:
            print(f"   {level}: {text}")
        case {"type": "STATE", "state": {"destinationStats": {"recordCount": count}}}:
            print(f"   STATE: {count:.0f} more records acknowledged")
        case {"type": "TRACE", "trace": {"error": {"message": text}}}:
            print(f"   ERROR: {text}")


def ask(raw_config: dict[str, Any]) -> None:
    """Answer the questions with the nearest chunks."""
    config = parse_config(raw_config)
    embedder = create_embedder(config.embedding)
    store = open_store(config.indexing, read_only=False)
    try:
        print(f"   {store.count(Where(())):,} points in {store.place}")
        for question in QUESTIONS:
            print(f"\n   {question}")
            for hit in store.search("", embedder.embed_query(question), HITS):
                text = textwrap.shorten(hit.payload["text"], 110, placeholder=" …")
                print(f"   {hit.score:.3f}  [{hit.payload['topic']}] {text}")
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
