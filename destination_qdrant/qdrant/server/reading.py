"""Stored vectors from a server, packed as they are written: no number of a vector becomes an object over gRPC.

qdrant-client builds a model of every point and an object of every number; what it reads is asked for in bytes instead.
A vector and the payload fields beside it come in one answer, and so are of one state of their point.

Points are named in a filter: that takes as long as to get them by id, and costs two tokens of a read rate limit where
each id would cost one (measured on a server 1.18).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import grpc_to_payload
from qdrant_client.http.exceptions import ResponseHandlingException

from ...vectors import FLOAT32_BYTES, UNNAMED, Dense, is_finite
from ..base import PointId, StoredVector, VectorSchema
from .calls import Calls
from .collection import ServerCollection
from .errors import TooLargeError
from .models import path, point_id

T = TypeVar("T")

#: Bytes of vectors in one answer.
_PAGE_BYTES: Final = 4_000_000
#: Bytes of a number as JSON: at most 15 with its comma, of an embedding about 12.
_JSON_BYTES: Final = 12

Found = Mapping[PointId, StoredVector]
Fetch = Callable[[Sequence[PointId], str, Sequence[str]], Iterable[tuple[PointId, StoredVector]]]
Part = Callable[[Sequence[PointId]], Mapping[PointId, T]]


class VectorReader:
    """Reads vectors of one collection by id; safe to call from several threads."""

    def __init__(
        self,
        client: QdrantClient,
        calls: Calls,
        collection: ServerCollection,
        fetch: Fetch,
        *,
        number_bytes: int,
        shard_key: str | None,
    ) -> None:
        """`fetch` asks once; `number_bytes` is what a number of its answer takes."""
        self._client = client
        self._calls = calls
        self._collection = collection
        self._fetch = fetch
        self._number_bytes = number_bytes
        self._shard_key = shard_key

    def retrieve(self, ids: Sequence[PointId], name: str, fields: Sequence[str]) -> Found:
        """See `base.Store`."""
        schema = self._dense(name)
        if schema is None:
            return {}
        most = max(1, _PAGE_BYTES // (self._number_bytes * (schema.dimensions or 1)))
        return self._all(ids, lambda page: dict(self._fetch(page, name, fields)), most)

    def having(self, ids: Sequence[PointId], name: str) -> frozenset[PointId]:
        """See `base.Store.with_vector`; for servers that filter by it."""
        if self._dense(name) is None:
            return frozenset()
        return frozenset(self._all(ids, lambda page: dict.fromkeys(self._having(page, name)), len(ids)))

    def _having(self, ids: Sequence[PointId], name: str) -> Iterator[PointId]:
        conditions: list[Any] = [models.HasIdCondition(has_id=list(ids)), models.HasVectorCondition(has_vector=name)]
        found, _ = self._client.scroll(
            self._calls.collection,
            models.Filter(must=conditions),
            limit=len(ids),
            with_payload=False,
            shard_key_selector=self._shard_key,
        )
        return (point_id(record.id) for record in found)

    def _dense(self, name: str) -> VectorSchema | None:
        schema = self._collection.shape().vectors.get(name)
        return schema if schema is not None and schema.kind == "dense" else None

    def _all(self, ids: Sequence[PointId], part: Part[T], most: int) -> dict[PointId, T]:
        """What `part` finds for the ids, of which it is given at most so many, and as many as are allowed."""
        limits = self._collection.limits
        step = max(1, min(limits.page, limits.values, most))
        wanted = list(dict.fromkeys(ids))
        found: dict[PointId, T] = {}
        for start in range(0, len(wanted), step):
            found.update(self._page(wanted[start : start + step], part))
        return found

    def _page(self, ids: Sequence[PointId], part: Part[T]) -> Mapping[PointId, T]:
        """A limit that came in meanwhile refuses a page, and takes smaller ones."""
        call = self._calls.about("read points of", "read access")
        try:
            return self._calls.run(call, lambda: part(ids))
        except TooLargeError:
            if len(ids) == 1:
                raise
        half = (len(ids) + 1) // 2
        return {**self._page(ids[:half], part), **self._page(ids[half:], part)}


def vector_reader(
    client: QdrantClient,
    calls: Calls,
    collection: ServerCollection,
    *,
    shard_key: str | None,
    grpc_seconds: int | None,
) -> VectorReader:
    """Over gRPC with this deadline, or over REST, whose connections have one."""
    if grpc_seconds is not None:
        fetch, number_bytes = _over_grpc(client, calls.collection, shard_key, grpc_seconds), FLOAT32_BYTES
    else:
        fetch, number_bytes = _over_rest(client, calls.collection, shard_key), _JSON_BYTES
    return VectorReader(client, calls, collection, fetch, number_bytes=number_bytes, shard_key=shard_key)


# ----------------------------------------------------------------------------------------------------------
# gRPC


def _over_grpc(client: QdrantClient, collection: str, shard_key: str | None, seconds: int) -> Fetch:
    def fetch(ids: Sequence[PointId], name: str, fields: Sequence[str]) -> Iterator[tuple[PointId, StoredVector]]:
        keys = [messages.PointId(num=key) if isinstance(key, int) else messages.PointId(uuid=key) for key in ids]
        request = messages.ScrollPoints(
            collection_name=collection,
            filter=messages.Filter(must=[messages.Condition(has_id=messages.HasIdCondition(has_id=keys))]),
            limit=len(keys),
            with_payload=_payload_selector(fields),
            with_vectors=messages.WithVectorsSelector(include=messages.VectorsSelector(names=[name])),
        )
        if shard_key is not None:
            request.shard_key_selector.shard_keys.add(keyword=shard_key)
        return of_message(client.grpc_points.Scroll(request, timeout=seconds), name)

    return fetch


def _payload_selector(fields: Sequence[str]) -> messages.WithPayloadSelector:
    if not fields:
        return messages.WithPayloadSelector(enable=False)
    return messages.WithPayloadSelector(include=messages.PayloadIncludeSelector(fields=map(path, fields)))


def of_message(answer: messages.ScrollResponse, name: str) -> Iterator[tuple[PointId, StoredVector]]:
    """The dense vectors of this name in an answer over gRPC, and the payload beside them."""
    for point in answer.result:
        vectors = point.vectors
        if name == UNNAMED and vectors.HasField("vector"):
            output = vectors.vector
        elif name in vectors.vectors.vectors:
            output = vectors.vectors.vectors[name]
        else:
            continue
        packed = _packed(output)
        if packed and is_finite(packed):
            key = point.id.num if point.id.WhichOneof("point_id_options") == "num" else point.id.uuid
            yield key, StoredVector(Dense(packed), grpc_to_payload(point.payload))


def _packed(output: messages.VectorOutput) -> bytes:
    """The numbers of a dense vector; servers before 1.17 have them a level higher, with more beside those that are not."""
    kind = output.WhichOneof("vector")
    if kind == "dense":
        return _last(output.dense.SerializeToString(), len(output.dense.data))
    if kind is None and not output.HasField("indices") and not output.HasField("vectors_count"):
        return _last(output.SerializeToString(), len(output.data))
    return b""


def _last(message: bytes, numbers: int) -> bytes:
    """What a message ends with whose only field is packed numbers: protobuf has no other way to their bytes."""
    return message[len(message) - numbers * FLOAT32_BYTES :]


# ----------------------------------------------------------------------------------------------------------
# REST


def _over_rest(client: QdrantClient, collection: str, shard_key: str | None) -> Fetch:
    sharded = {} if shard_key is None else {"shard_key": shard_key}

    def fetch(ids: Sequence[PointId], name: str, fields: Sequence[str]) -> list[tuple[PointId, StoredVector]]:
        wanted = {
            "filter": {"must": [{"has_id": list(ids)}]},
            "limit": len(ids),
            "with_payload": list(map(path, fields)) or False,
            "with_vector": [name],
            **sharded,
        }
        answer = client.http.client.request(
            type_=dict[str, Any],
            method="POST",
            url="/collections/{collection_name}/points/scroll",
            path_params={"collection_name": collection},
            headers={"Content-Type": "application/json"},
            content=orjson.dumps(wanted),
        )
        try:
            return list(of_json(answer["result"]["points"], name))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ResponseHandlingException(ValueError("no result")) from error

    return fetch


def of_json(points: Sequence[Mapping[str, Any]], name: str) -> Iterator[tuple[PointId, StoredVector]]:
    """The dense vectors of this name in an answer over REST, which writes null for what is no number."""
    for point in points:
        vectors = point.get("vector")
        vector = vectors.get(name) if isinstance(vectors, dict) else vectors if name == UNNAMED else None
        if isinstance(vector, list) and vector and not {list, type(None)}.intersection(map(type, vector)):
            found = Dense.of(vector)
            if is_finite(found.packed):
                yield point["id"], StoredVector(found, point.get("payload") or {})
