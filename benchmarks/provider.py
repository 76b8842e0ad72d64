"""A provider of embeddings that costs next to nothing: OpenAI's interface, a fixed time to answer, vectors drawn beforehand.

    python benchmarks/provider.py --latency 0.15      prints its URL

`GET /_seen` tells what it was asked: requests, texts, and how many requests were in flight at most.
The one of the tests (`integration_tests/provider_server.py`) makes every vector from its text, which costs more than the
connector does.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import struct
import sys
import zlib

_POOL = 499
_SECTION_END = b"\r\n\r\n"


def pool(dimensions: int) -> list[bytes]:
    """Vectors as base64 of float32, in the form that OpenAI sends."""
    chance = random.Random(0)  # noqa: S311 -- repeatable, not secret
    drawn = (struct.pack(f"<{dimensions}f", *(chance.uniform(-1, 1) for _ in range(dimensions))) for _ in range(_POOL))
    return [base64.b64encode(each) for each in drawn]


class Provider:
    """Answers requests for embeddings; equal texts get equal vectors."""

    def __init__(self, dimensions: int, latency: float) -> None:
        self._vectors = pool(dimensions)
        self._latency = latency
        self._requests = self._texts = self._in_flight = self._most_in_flight = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept open for as long as the client likes."""
        try:
            while True:
                head = await reader.readuntil(_SECTION_END)
                body = await reader.readexactly(_length(head))
                answer = self._seen() if head.startswith(b"GET ") else await self._embed(body)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
                )
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _embed(self, body: bytes) -> bytes:
        texts = json.loads(body)["input"]
        self._requests += 1
        self._texts += len(texts)
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        if self._latency:
            await asyncio.sleep(self._latency)
        self._in_flight -= 1
        rows = (
            b'{"object":"embedding","index":%d,"embedding":"%b"}'
            % (index, self._vectors[zlib.crc32(text.encode()) % _POOL])
            for index, text in enumerate(texts)
        )
        return b'{"object":"list","model":"bench","data":[' + b",".join(rows) + b'],"usage":{"total_tokens":0}}'

    def _seen(self) -> bytes:
        seen = {"requests": self._requests, "texts": self._texts, "most_in_flight": self._most_in_flight}
        return json.dumps(seen).encode()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def run(dimensions: int, latency: float) -> None:
    """Serve until killed."""
    provider = Provider(dimensions, latency)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, limit=16_000_000)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, default=1536)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    options = parser.parse_args()
    asyncio.run(run(options.dimensions, options.latency))


if __name__ == "__main__":
    main()
