"""Two other ways to load the same points into a real server: what `server.py` compares the connector with.

    python benchmarks/loaders.py raw|client URL FILE

FILE holds upserts that the connector has sent (`null_sink.py --keep`). `raw` sends these bytes again over gRPC, several at
once, and does nothing else: nobody can load them faster from Python. `client` has qdrant-client's own `upload_points` load
the same points, with as many of them in a request. Both print the seconds that it took, from the first request to the last
answer.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import grpc
from kept import kept
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages

IN_FLIGHT = 4
POINTS = 512
_NO_LIMIT = [("grpc.max_send_message_length", -1)]


def raw(url: str, path: str) -> float:
    """Send the bytes."""
    bodies = list(kept(path))
    parts = urlsplit(url)
    with grpc.insecure_channel(f"{parts.hostname}:{(parts.port or 6333) + 1}", options=_NO_LIMIT) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        call = channel.unary_unary(
            "/qdrant.Points/Upsert", response_deserializer=messages.PointsOperationResponse.FromString
        )
        with ThreadPoolExecutor(IN_FLIGHT) as workers:
            began = time.monotonic()
            answers = list(workers.map(lambda body: call(body, timeout=600), bodies))
            seconds = time.monotonic() - began
    if any(answer.result.status != messages.UpdateStatus.Completed for answer in answers):
        sys.exit("the server did not complete every upsert")
    return seconds


def client(url: str, path: str) -> float:
    """Have the client upload the points."""
    points = [point for body in kept(path) for point in map(_model, messages.UpsertPoints.FromString(body).points)]
    uploader = QdrantClient(
        url=url, grpc_port=(urlsplit(url).port or 6333) + 1, prefer_grpc=True, timeout=600, check_compatibility=False
    )
    began = time.monotonic()
    uploader.upload_points("bench", points, batch_size=POINTS, wait=True)
    return time.monotonic() - began


def _model(point: messages.PointStruct) -> models.PointStruct:
    payload = {name: _value(value) for name, value in point.payload.items()}
    return models.PointStruct(id=point.id.uuid, vector=list(point.vectors.vector.dense.data), payload=payload)


def _value(value: messages.Value) -> object:
    return getattr(value, value.WhichOneof("kind")) if value.WhichOneof("kind") != "null_value" else None


if __name__ == "__main__":
    sys.stdout.write(f"{ {'raw': raw, 'client': client}[sys.argv[1]](*sys.argv[2:]) }\n")
