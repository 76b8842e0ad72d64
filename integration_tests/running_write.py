"""A small `write` of one stream: its files and messages, and a running one that is talked to line by line."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any, Self

from command_line import Connector, Finished, Json
from targets import Target

FROM_FIELD = {
    "processing": {"chunk_size": 100},
    "embedding": {"mode": "from_field", "field_name": "v", "dimensions": 4},
}
APPEND = {"streams": [{"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": "append"}]}
OVERWRITE = {"streams": [{"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": "overwrite"}]}

OLD = {
    "streams": [
        {"stream": {"name": "docs", "json_schema": {}}, "destination_sync_mode": "append", "generation_id": 1},
    ]
}
REFRESH = {"streams": [{**OLD["streams"][0], "generation_id": 2, "minimum_generation_id": 2}]}
COMPLETE = {
    "type": "TRACE",
    "trace": {
        "type": "STREAM_STATUS",
        "emitted_at": 1,
        "stream_status": {"stream_descriptor": {"name": "docs"}, "status": "COMPLETE"},
    },
}


def with_config(indexing: Json) -> Json:
    return {**FROM_FIELD, "indexing": indexing}


def record(number: int, **data: Any) -> Json:
    return {"type": "RECORD", "record": {"stream": "docs", "data": {"id": number, "v": [1, 0, 0, 0], **data}}}


def state(number: int) -> Json:
    stream = {"stream_descriptor": {"name": "docs"}, "stream_state": {"at": number}}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}}


def jsonl(*messages: Json) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def ids(target: Target) -> list[int]:
    return sorted(point["payload"]["id"] for point in target.points() or [])


class Sync(AbstractContextManager["Sync"]):
    """A running `write` that is talked to line by line. What never comes ends in the timeout of the test."""

    def __init__(self, connector: Connector, target: Target, catalog: Json = APPEND) -> None:
        self.process = connector.start("write", config=with_config(target.indexing()), catalog=catalog)
        self.said = b""
        self.asked = 0

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        with self.process:  # closes the pipes and waits
            self.process.kill()

    def send(self, *messages: Json) -> Self:
        assert self.process.stdin
        self.process.stdin.write(jsonl(*messages))
        self.process.stdin.flush()
        return self

    def hear(self, kind: str, text: str = "") -> Json:
        """Read on until the next message of this kind that holds this text."""
        assert self.process.stdout
        while line := self.process.stdout.readline():
            self.said += line
            message: Json = json.loads(line)
            if message["type"] == kind and text.encode() in line:
                return message
        raise AssertionError((kind, self.said))

    def end(self) -> Finished:
        """Close its standard input, unless it is gone already, and read what is still said."""
        said, stderr = self.process.communicate()
        return Finished(self.process.returncode, self.said + said, stderr.decode())

    def states(self) -> list[int]:
        """The STATEs heard by now; asks for a log line first, so that nothing is still on its way."""
        self.asked += 1
        descriptor = {"name": f"nobody {self.asked}"}  # a stream that is unknown is warned about once
        status = {"stream_descriptor": descriptor, "status": "COMPLETE"}
        self.send({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": status}})
        self.hear("LOG", descriptor["name"])
        return state_ids(Finished(0, self.said, ""))


def state_ids(finished: Finished) -> list[int]:
    return [message["state"]["id"] for message in finished.of("STATE")]
