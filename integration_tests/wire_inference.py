"""Texts that a server embeds before it looks at anything else in a request, and what it says when that fails.

Recorded from a real server (1.18.3) with and without an inference service. Not modelled: texts in a batch of
operations, and the model bm25, which a server has of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from inference_server import InferenceService
from wire_requests import BAD, Json, RefusalError, Request

_INTERNAL = "Service internal error: "
_PHRASES: Mapping[int, str] = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Inference:
    """The server's side of it; without a service every text is refused."""

    def __init__(self, service: InferenceService | None) -> None:
        self._service = service

    def in_points(self, request: Request) -> Json:
        """The body of an upsert with vectors in place of texts."""
        body: Json = request.body or {}
        found: list[Json] = []
        points = body.get("points")
        for point in points if isinstance(points, list) else []:
            vector = point.get("vector") if isinstance(point, dict) else None
            found += (each for each in (vector, *_members(vector)) if _is_text(each))
        if not found:
            return body
        made = dict(zip(map(_key, found), self._embed(request, found, "update"), strict=True))
        return {**body, "points": [_with_vectors(point, made) for point in points or []]}

    def in_query(self, request: Request) -> Json:
        """The body of a query with a vector in place of a text; over gRPC every failure is the server's own."""
        body: Json = request.body or {}
        query = body.get("query")
        text = query.get("nearest") if isinstance(query, dict) and "nearest" in query else query
        if not _is_text(text):
            return body
        try:
            (vector,) = self._embed(request, [text], "search")
        except RefusalError as refusal:
            if request.transport == "rest":
                raise
            raise RefusalError(500, f"Inference error: {refusal.text}") from refusal
        return {**body, "query": {"nearest": vector}}

    def _embed(self, request: Request, texts: list[Json], purpose: str) -> list[Any]:
        if self._service is None:
            why = "InferenceService URL not configured - please provide valid address in config"
            raise RefusalError(500, _INTERNAL + why)
        inputs = [
            {"data": each["text"], "data_type": "text", "model": each["model"], "options": each.get("options")}
            for each in texts
        ]
        reply = self._service.answer({"inputs": inputs, "inference": purpose, "token": None}, request.headers)
        if reply.status == 200:
            return list(reply.content["embeddings"])
        raise _refusal(reply.status, reply.content, reply.headers)


def _refusal(status: int, content: Json, headers: Mapping[str, str]) -> RefusalError:
    said = f"({status} {_PHRASES.get(status, '')}): {orjson.dumps(content).decode()}"
    if status == 400:
        return RefusalError(400, f"{BAD}Inference request validation failed: {content['error']}")
    if status in {401, 403}:
        return RefusalError(500, f"{_INTERNAL}Authentication failed for inference service {said}")
    if status == 429:
        return RefusalError(429, f"Rate limiting exceeded: Too many requests for inference service {said}", headers)
    if status >= 500:
        return RefusalError(500, f"{_INTERNAL}Inference service error {said}")
    return RefusalError(400, f"{BAD}Inference can't process request {said}")


def _with_vectors(point: Json, made: Mapping[bytes, Any]) -> Json:
    vector = point.get("vector") if isinstance(point, dict) else None
    if _is_text(vector):
        found = made[_key(vector)]
        if isinstance(found, dict):
            raise RefusalError(400, f"{BAD}Sparse vector from document inference should be named")
        return {**point, "vector": found}
    if not isinstance(vector, dict):
        return point
    named = {name: made[_key(each)] if _is_text(each) else each for name, each in vector.items()}
    return {**point, "vector": named}


def _members(vector: Any) -> list[Any]:
    return list(vector.values()) if isinstance(vector, dict) else []


def _is_text(vector: Any) -> bool:
    return isinstance(vector, dict) and isinstance(vector.get("text"), str) and isinstance(vector.get("model"), str)


def _key(text: Json) -> bytes:
    return orjson.dumps([text["text"], text["model"]])
