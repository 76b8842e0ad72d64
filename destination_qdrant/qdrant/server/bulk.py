"""Upserts as bytes, over gRPC and over REST: the two ways in which `writer` sends points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from qdrant_client import QdrantClient, models
from qdrant_client import grpc as messages
from qdrant_client.conversions.conversion import GrpcToRest
from qdrant_client.http.exceptions import ResponseHandlingException

from .upserts import json_point, json_request, packed_head, packed_point, packed_request
from .writer import Routing

#: gRPC has no limit of its own; a server takes at most 32 MB of JSON.
_GRPC_BYTES: Final = 16_000_000
_REST_BYTES: Final = 4_000_000


class BulkOverGrpc:
    """Upserts as bytes over the client's own channel, which its generated stub would only take as models."""

    encode = staticmethod(packed_point)

    def __init__(
        self, client: QdrantClient, collection: str, routing: Routing, *, timeout: int, most_bytes: int | None
    ) -> None:
        self.most_bytes = most_bytes or _GRPC_BYTES
        self._head = packed_head(collection, routing.ordering, routing.shard_key)
        self._timeout = timeout
        client.grpc_points  # noqa: B018 -- opens the channel
        (channel, *_) = client._client._grpc_channel_pool  # type: ignore[attr-defined]  # noqa: SLF001 -- there is no other way to it
        self._call = channel.unary_unary(
            "/qdrant.Points/Upsert", response_deserializer=messages.PointsOperationResponse.FromString
        )

    def upsert(self, points: Sequence[bytes]) -> models.UpdateResult:
        """Send them; returns what became of them."""
        answer = self._call(packed_request(self._head, points), timeout=self._timeout)
        return GrpcToRest.convert_update_result(answer.result)


class BulkOverRest:
    """Upserts as bytes over the client's own connections."""

    encode = staticmethod(json_point)

    def __init__(self, client: QdrantClient, collection: str, routing: Routing, *, most_bytes: int | None) -> None:
        self.most_bytes = most_bytes or _REST_BYTES
        self._collection = collection
        self._shard_key = routing.shard_key
        self._parameters = {"wait": "true"} | ({} if routing.ordering == "weak" else {"ordering": routing.ordering})
        self._rest = client.http.client

    def upsert(self, points: Sequence[bytes]) -> models.UpdateResult:
        """Send them; returns what became of them."""
        answer = self._rest.request(
            type_=dict[str, Any],
            method="PUT",
            url="/collections/{collection_name}/points",
            path_params={"collection_name": self._collection},
            params=self._parameters,
            headers={"Content-Type": "application/json"},
            content=json_request(points, self._shard_key),
        )
        try:
            return models.UpdateResult(**answer["result"])
        except (LookupError, TypeError, ValueError) as error:
            raise ResponseHandlingException(ValueError("no result")) from error
