"""The wire double over gRPC: every call becomes the request that REST would have made, its answer the twin's message.

What a call is refused with was recorded from a real server (1.18.3): mostly REST's text, see `_text`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote
from uuid import UUID

import grpc
import orjson
from fault_proxy import FaultProxy
from google.protobuf.message import Message
from loopback import HOST
from pydantic import BaseModel
from qdrant_client import grpc as protocol
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http import models
from wire_requests import NOT_JSON, Json, RefusalError, Request, key_in
from wire_settings import LARGEST_VECTOR

if TYPE_CHECKING:
    from wire_double import Answer

_WORKERS = 32  # a held call keeps one
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]
_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ALREADY_EXISTS,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
    507: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A gRPC method: the REST route that it is the twin of, and how bodies become messages and messages bodies."""

    message: type[Message]
    method: str
    path: str
    body: Callable[[Any], Any]
    answer: Callable[[Json], Message]


class _Front(FaultProxy):
    """What clients connect to: grpcio itself can neither cut one connection nor vanish like a server that is killed."""

    def __init__(self, port: int, upstream: tuple[str, int]) -> None:
        super().__init__(upstream)
        self._held.close()  # the double has a port for it
        self.port = port
        self.accept()

    def cut_that_of(self, peer: str) -> None:
        """Drop the connection whose other end gRPC calls `peer`."""
        with self._changed:
            found = [each for each in self._open if peer.endswith(f":{each.server.getsockname()[1]}")]
        for connection in found:
            connection.cut()


class GrpcCalls(grpc.GenericRpcHandler):
    """Has `receive` answer the calls; for one without an answer `cut` drops the connection, by what gRPC calls its peer."""

    def __init__(self, receive: Callable[[Request], Answer | None], cut: Callable[[str], object]) -> None:
        self._receive = receive
        self._cut = cut

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """What grpcio asks for."""
        call = _CALLS.get(handler_call_details.method)
        if call is None:
            return grpc.unary_unary_rpc_method_handler(_refuse_unknown)
        return grpc.unary_unary_rpc_method_handler(
            lambda message, context: self._serve(call, message, context),
            request_deserializer=call.message.FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )

    def _serve(self, call: Call, message: Any, context: grpc.ServicerContext) -> Message:
        answer = self._receive(_request(call, message, context))
        if answer is None:
            self._cut(context.peer())
            _abort(context, grpc.StatusCode.CANCELLED, "nobody hears this")
        if answer.status >= 400:
            _refuse(answer, context)
        return call.answer(orjson.loads(answer.body))


class GrpcServer:
    """Takes calls on a port of the loopback interface and has `receive` answer them."""

    def __init__(self, port: int, receive: Callable[[Request], Answer | None]) -> None:
        calls = GrpcCalls(receive, lambda peer: self._front.cut_that_of(peer))  # noqa: PLW0108 -- the front comes later
        self._server = grpc.server(ThreadPoolExecutor(_WORKERS), handlers=[calls], options=_OPTIONS)
        behind = self._server.add_insecure_port(f"{HOST}:0")
        self._server.start()
        self._front = _Front(port, (HOST, behind))

    def stop(self) -> None:
        """Refuse connections and cut those that are open."""
        self._front.refuse()
        self._server.stop(None)


# ------------------------------------------------------------------------------------------------------------
# Refusals


def _refuse(answer: Answer, context: grpc.ServicerContext) -> NoReturn:
    seconds = {name.lower(): value for name, value in answer.headers.items()}.get("retry-after")
    if seconds is not None:
        context.set_trailing_metadata([("retry-after", seconds)])
    if (answer.status, answer.body) == (404, b""):  # a route that this version does not have
        _abort(context, grpc.StatusCode.UNIMPLEMENTED, "")
    _abort(context, _CODES.get(answer.status, grpc.StatusCode.UNKNOWN), _text(answer.body))


def _refuse_unknown(_: bytes, context: grpc.ServicerContext) -> NoReturn:
    _abort(context, grpc.StatusCode.UNIMPLEMENTED, "")  # grpcio would say more


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, text: str) -> NoReturn:
    context.abort(code, text)
    raise AssertionError  # abort has raised


def _text(body: bytes) -> str:
    """REST's text, but for what it says about JSON."""
    try:
        text = str(orjson.loads(body)["status"]["error"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return body.decode(errors="replace")
    if found := re.fullmatch(r"Validation error in JSON body: \[(.*dense vector must not be empty)\]", text):
        return f"Wrong input: {found[1]}"
    text = re.sub(r"^Validation error in (JSON body|path parameters)", "Validation error in body", text)
    text = text.replace(".vector.?.", ".vectors.vectors_options.vectors.[].")
    return text.removeprefix(NOT_JSON)


# ------------------------------------------------------------------------------------------------------------
# Messages as requests


def _request(call: Call, message: Any, context: grpc.ServicerContext) -> Request:
    headers = {name: value for name, value in context.invocation_metadata() if isinstance(value, str)}
    path = re.sub(r"{(\w+)}", lambda found: quote(getattr(message, found[1]), safe=""), call.path)
    try:
        body, problem = call.body(message), None
    except RefusalError as refusal:
        body, problem = None, refusal
    except ValueError as error:  # what the client's converters do not know
        body, problem = None, RefusalError(400, str(error))
    return Request(call.method, path, dict(_query(message)), body, key_in(headers), problem, "grpc", headers)


def _has(message: Any, name: str) -> bool:
    field = message.DESCRIPTOR.fields_by_name.get(name)
    return field is not None and (bool(getattr(message, name)) if field.is_repeated else message.HasField(name))


def _query(message: Any) -> Iterator[tuple[str, str]]:
    """What REST has in its query."""
    if _has(message, "wait"):
        yield "wait", "true" if message.wait else "false"
    if _has(message, "ordering"):
        yield "ordering", GrpcToRest.convert_write_ordering(message.ordering).value
    if _has(message, "read_consistency"):
        consistency = GrpcToRest.convert_read_consistency(message.read_consistency)
        yield "consistency", str(getattr(consistency, "value", consistency))
    if _has(message, "timeout"):
        yield "timeout", str(message.timeout)


def _plain(value: Any) -> Any:
    """What the client's converters make, as the JSON that REST sends."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return (
        _without_empty_clauses(value.model_dump(mode="json", exclude_none=True))
        if isinstance(value, BaseModel)
        else value
    )


def _without_empty_clauses(value: Any) -> Any:
    """Over gRPC a clause that is absent and one that is empty are the same."""
    if isinstance(value, list):
        return [_without_empty_clauses(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_empty_clauses(each)
        for name, each in value.items()
        if each != [] or name not in {"must", "should", "must_not"}
    }


Converters = Mapping[str, Callable[[Any], Any]]


def _reader(converters: Converters) -> Callable[[Any], Json]:
    """Reads the fields that are set; they are called as in REST but for `_NAMES`."""

    def read(message: Any) -> Json:
        found = {name: _plain(to(getattr(message, name))) for name, to in converters.items() if _has(message, name)}
        return {_NAMES.get(name, name): value for name, value in found.items()}

    return read


_NAMES = {
    "shard_key_selector": "shard_key",
    "vectors_config": "vectors",
    "sparse_vectors_config": "sparse_vectors",
    "with_vectors": "with_vector",
}


def _same(value: Any) -> Any:
    return value


def _nothing(_: Any) -> None:
    return None


def _json(value: protocol.Value) -> Any:
    kind = value.WhichOneof("kind") or "null_value"
    if kind == "null_value":
        return None
    if kind == "list_value":
        return [_json(each) for each in value.list_value.values]
    if kind == "struct_value":
        return _payload(value.struct_value.fields)
    if kind == "double_value" and not math.isfinite(value.double_value):
        raise RefusalError(400, "cannot convert to json number")
    return getattr(value, kind)


def _payload(values: Mapping[str, protocol.Value]) -> Json:
    return {name: _json(values[name]) for name in values}


def _id(message: protocol.PointId) -> int | str:
    kind = message.WhichOneof("point_id_options")
    if kind is None:
        raise RefusalError(400, "No ID options provided")
    if kind == "num":
        return int(message.num)
    try:
        UUID(message.uuid)
    except ValueError as error:
        raise RefusalError(400, f"Unable to parse UUID: {message.uuid}") from error
    return str(message.uuid)


def _vectors(message: protocol.Vectors) -> Any:
    if message.WhichOneof("vectors_options") is None:
        raise RefusalError(400, "No Vector Provided")
    return _plain(GrpcToRest.convert_vectors(message))


def _points(messages: Sequence[Any]) -> list[Json]:
    """Those of an upsert and, where there is no payload to have, those of an update of vectors."""
    return [_point(message) for message in messages]


def _point(message: Any) -> Json:
    if not message.HasField("id"):
        raise RefusalError(400, "Empty ID is not allowed")
    key = _id(message.id)
    if not message.HasField("vectors"):
        raise RefusalError(400, "Expected some vectors")
    payload = {"payload": _payload(message.payload)} if _has(message, "payload") else {}
    return {"id": key, "vector": _vectors(message.vectors), **payload}


def _selected(message: Any) -> Json:
    """Points by their ids or by a filter, whichever of two names the field has."""
    name = "points_selector" if "points_selector" in message.DESCRIPTOR.fields_by_name else "points"
    selector = getattr(message, name)
    match selector.WhichOneof("points_selector_one_of"):
        case "points":
            return {"points": [_id(each) for each in selector.points.ids]}
        case "filter":
            return {"filter": _plain(GrpcToRest.convert_filter(selector.filter))}
    raise RefusalError(400, "PointSelector is missing")


def _selecting(converters: Converters | None = None) -> Callable[[Any], Json]:
    read = _reader({**(converters or {}), "shard_key_selector": GrpcToRest.convert_shard_key_selector})
    return lambda message: _selected(message) | read(message)


_UPSERT: Converters = {
    "shard_key_selector": GrpcToRest.convert_shard_key_selector,
    "update_filter": GrpcToRest.convert_filter,
    "update_mode": lambda mode: GrpcToRest.convert_update_mode(mode).value,
}


def _upsert(message: Any) -> Json:
    return {"points": _points(message.points)} | _reader(_UPSERT)(message)


def _delete_vectors(message: Any) -> Json:
    return {"vector": list(message.vectors.names)} | _selecting()(message)


_SET_PAYLOAD = _selecting({"payload": _payload, "key": _same})
_DELETE_PAYLOAD = _selecting({"keys": list})
_OPERATIONS: Mapping[str, tuple[str, Callable[[Any], Json]]] = {
    "upsert": ("upsert", _upsert),
    "delete_points": ("delete", _selecting()),
    "set_payload": ("set_payload", _SET_PAYLOAD),
    "overwrite_payload": ("overwrite_payload", _SET_PAYLOAD),
    "delete_payload": ("delete_payload", _DELETE_PAYLOAD),
    "clear_payload": ("clear_payload", _selecting()),
    "update_vectors": ("update_vectors", _upsert),
    "delete_vectors": ("delete_vectors", _delete_vectors),
}


def _operations(message: protocol.UpdateBatchPoints) -> Json:
    operations = []
    for each in message.operations:
        kind = each.WhichOneof("operation")
        name, read = _OPERATIONS[kind]
        operations.append({name: read(getattr(each, kind))})
    return {"operations": operations}


_READING: Converters = {
    "filter": GrpcToRest.convert_filter,
    "offset": lambda offset: offset if isinstance(offset, int) else _id(offset),
    "limit": _same,
    "with_payload": GrpcToRest.convert_with_payload_interface,
    "with_vectors": GrpcToRest.convert_with_vectors_selector,
    "shard_key_selector": GrpcToRest.convert_shard_key_selector,
    "order_by": GrpcToRest.convert_order_by,
    "exact": _same,
}


def _retrieve(message: protocol.GetPoints) -> Json:
    return {"ids": [_id(each) for each in message.ids]} | _reader(_READING)(message)


def _query_points(message: protocol.QueryPoints) -> Json:
    return dict(_plain(GrpcToRest.convert_query_points(message)))


def _vectors_config(message: protocol.VectorsConfig) -> Any:
    if message.HasField("params"):
        if not 0 < message.params.size <= LARGEST_VECTOR:
            why = f"value {message.params.size} invalid, must be from 1 to {LARGEST_VECTOR}"
            raise RefusalError(422, f"Validation error in body: [vectors_config.config.size: {why}]")
        if not message.params.distance:
            raise RefusalError(400, "Malformed distance parameter: UnknownDistance")
    return GrpcToRest.convert_vectors_config(message)


_CREATION: Converters = {
    "vectors_config": _vectors_config,
    "sparse_vectors_config": GrpcToRest.convert_sparse_vector_config,
    "hnsw_config": GrpcToRest.convert_hnsw_config_diff,
    "wal_config": GrpcToRest.convert_wal_config_diff,
    "optimizers_config": GrpcToRest.convert_optimizers_config_diff,
    "quantization_config": GrpcToRest.convert_quantization_config,
    "sharding_method": lambda method: GrpcToRest.convert_sharding_method(method).value,
    "strict_mode_config": GrpcToRest.convert_strict_mode_config,
    "metadata": _payload,
    "shard_number": _same,
    "replication_factor": _same,
    "write_consistency_factor": _same,
    "on_disk_payload": _same,
}


def _update_collection(message: protocol.UpdateCollection) -> Json:
    return dict(_plain(GrpcToRest.convert_update_collection(message)))


def _index(message: protocol.CreateFieldIndexCollection) -> Json:
    if not message.HasField("field_type"):
        raise RefusalError(400, "cannot convert field_type")
    schema: Any = protocol.FieldType.Name(message.field_type).removeprefix("FieldType").lower()
    if message.HasField("field_index_params"):
        schema = _plain(GrpcToRest.convert_payload_schema_params(message.field_index_params))
    return {"field_name": message.field_name, "field_schema": schema}


def _aliases(message: protocol.ChangeAliases) -> Json:
    return {"actions": [_plain(GrpcToRest.convert_alias_operations(action)) for action in message.actions]}


# ------------------------------------------------------------------------------------------------------------
# Answers as messages


def _point_id(key: int | str) -> protocol.PointId:
    return protocol.PointId(num=key) if isinstance(key, int) else protocol.PointId(uuid=key)


def _vector_output(vector: Any) -> protocol.VectorOutput:
    if isinstance(vector, dict):
        return protocol.VectorOutput(sparse=protocol.SparseVector(**vector))
    if vector and isinstance(vector[0], list):
        rows = [_dense(row) for row in vector]
        return protocol.VectorOutput(multi_dense=protocol.MultiDenseVector(vectors=rows))
    return protocol.VectorOutput(dense=_dense(vector))


def _dense(vector: Sequence[float | None]) -> protocol.DenseVector:
    return protocol.DenseVector(data=[math.nan if number is None else number for number in vector])


def _vectors_output(vectors: Any) -> protocol.VectorsOutput | None:
    if vectors is None:
        return None
    if isinstance(vectors, dict):
        named = {name: _vector_output(vector) for name, vector in vectors.items()}
        return protocol.VectorsOutput(vectors=protocol.NamedVectorsOutput(vectors=named))
    return protocol.VectorsOutput(vector=_vector_output(vectors))


def _found(point: Json) -> Json:
    return {
        "id": _point_id(point["id"]),
        "payload": RestToGrpc.convert_payload(_without_large_integers(point.get("payload") or {})),
        "vectors": _vectors_output(point.get("vector")),
    }


_LARGEST_INTEGER = 2**63 - 1


def _without_large_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_large_integers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_large_integers(each) for each in value]
    return float(value) if isinstance(value, int) and value > _LARGEST_INTEGER else value


def _retrieved(points: Sequence[Json]) -> list[protocol.RetrievedPoint]:
    return [protocol.RetrievedPoint(**_found(point)) for point in points]


def _scored(points: Sequence[Json]) -> list[protocol.ScoredPoint]:
    return [
        protocol.ScoredPoint(
            **_found(point),
            score=math.nan if point["score"] is None else point["score"],
            version=point.get("version") or 0,
        )
        for point in points
    ]


def _page(content: Json) -> protocol.ScrollResponse:
    following = content["result"].get("next_page_offset")
    return protocol.ScrollResponse(
        result=_retrieved(content["result"]["points"]),
        next_page_offset=None if following is None else _point_id(following),
    )


def _updated(result: Json) -> protocol.UpdateResult:
    status = "".join(word.capitalize() for word in result["status"].split("_"))
    number = protocol.UpdateStatus.Value(status)
    return protocol.UpdateResult(operation_id=result["operation_id"], status=number)


def _operation(content: Json) -> protocol.PointsOperationResponse:
    return protocol.PointsOperationResponse(result=_updated(content["result"]))


def _all_operations(content: Json) -> protocol.UpdateBatchResponse:
    return protocol.UpdateBatchResponse(result=[_updated(each) for each in content["result"]])


def _done(content: Json) -> protocol.CollectionOperationResponse:
    return protocol.CollectionOperationResponse(result=content["result"])


def _info(content: Json) -> protocol.GetCollectionInfoResponse:
    info = RestToGrpc.convert_collection_info(models.CollectionInfo(**content["result"]))
    return protocol.GetCollectionInfoResponse(result=info)


def _collections(content: Json) -> protocol.ListCollectionsResponse:
    names = [protocol.CollectionDescription(name=each["name"]) for each in content["result"]["collections"]]
    return protocol.ListCollectionsResponse(collections=names)


def _existing(content: Json) -> protocol.CollectionExistsResponse:
    return protocol.CollectionExistsResponse(result=protocol.CollectionExists(exists=content["result"]["exists"]))


def _alias_list(content: Json) -> protocol.ListAliasesResponse:
    return protocol.ListAliasesResponse(
        aliases=[protocol.AliasDescription(**each) for each in content["result"]["aliases"]]
    )


def _batch_of_hits(content: Json) -> protocol.QueryBatchResponse:
    results = [protocol.BatchResult(result=_scored(each["points"])) for each in content["result"]]
    return protocol.QueryBatchResponse(result=results)


_ONE = "/collections/{collection_name}"
_POINTS = f"{_ONE}/points"
_CALLS: Mapping[str, Call] = {
    "/qdrant.Qdrant/HealthCheck": Call(
        protocol.HealthCheckRequest, "GET", "/", _nothing, lambda content: protocol.HealthCheckReply(**content)
    ),
    "/qdrant.Collections/List": Call(protocol.ListCollectionsRequest, "GET", "/collections", _nothing, _collections),
    "/qdrant.Collections/Get": Call(protocol.GetCollectionInfoRequest, "GET", _ONE, _nothing, _info),
    "/qdrant.Collections/Create": Call(protocol.CreateCollection, "PUT", _ONE, _reader(_CREATION), _done),
    "/qdrant.Collections/Update": Call(protocol.UpdateCollection, "PATCH", _ONE, _update_collection, _done),
    "/qdrant.Collections/Delete": Call(protocol.DeleteCollection, "DELETE", _ONE, _nothing, _done),
    "/qdrant.Collections/CollectionExists": Call(
        protocol.CollectionExistsRequest, "GET", f"{_ONE}/exists", _nothing, _existing
    ),
    "/qdrant.Collections/CreateShardKey": Call(
        protocol.CreateShardKeyRequest,
        "PUT",
        f"{_ONE}/shards",
        lambda message: {"shard_key": GrpcToRest.convert_shard_key(message.request.shard_key)},
        lambda content: protocol.CreateShardKeyResponse(result=content["result"]),
    ),
    "/qdrant.Collections/UpdateAliases": Call(protocol.ChangeAliases, "POST", "/collections/aliases", _aliases, _done),
    "/qdrant.Collections/ListAliases": Call(protocol.ListAliasesRequest, "GET", "/aliases", _nothing, _alias_list),
    "/qdrant.Collections/ListCollectionAliases": Call(
        protocol.ListCollectionAliasesRequest, "GET", f"{_ONE}/aliases", _nothing, _alias_list
    ),
    "/qdrant.Points/CreateFieldIndex": Call(
        protocol.CreateFieldIndexCollection, "PUT", f"{_ONE}/index", _index, _operation
    ),
    "/qdrant.Points/DeleteFieldIndex": Call(
        protocol.DeleteFieldIndexCollection, "DELETE", f"{_ONE}/index/{{field_name}}", _nothing, _operation
    ),
    "/qdrant.Points/Upsert": Call(protocol.UpsertPoints, "PUT", _POINTS, _upsert, _operation),
    "/qdrant.Points/Delete": Call(protocol.DeletePoints, "POST", f"{_POINTS}/delete", _selecting(), _operation),
    "/qdrant.Points/SetPayload": Call(
        protocol.SetPayloadPoints, "POST", f"{_POINTS}/payload", _SET_PAYLOAD, _operation
    ),
    "/qdrant.Points/OverwritePayload": Call(
        protocol.SetPayloadPoints, "PUT", f"{_POINTS}/payload", _SET_PAYLOAD, _operation
    ),
    "/qdrant.Points/DeletePayload": Call(
        protocol.DeletePayloadPoints, "POST", f"{_POINTS}/payload/delete", _DELETE_PAYLOAD, _operation
    ),
    "/qdrant.Points/ClearPayload": Call(
        protocol.ClearPayloadPoints, "POST", f"{_POINTS}/payload/clear", _selecting(), _operation
    ),
    "/qdrant.Points/UpdateVectors": Call(protocol.UpdatePointVectors, "PUT", f"{_POINTS}/vectors", _upsert, _operation),
    "/qdrant.Points/DeleteVectors": Call(
        protocol.DeletePointVectors, "POST", f"{_POINTS}/vectors/delete", _delete_vectors, _operation
    ),
    "/qdrant.Points/UpdateBatch": Call(
        protocol.UpdateBatchPoints, "POST", f"{_POINTS}/batch", _operations, _all_operations
    ),
    "/qdrant.Points/Scroll": Call(protocol.ScrollPoints, "POST", f"{_POINTS}/scroll", _reader(_READING), _page),
    "/qdrant.Points/Count": Call(
        protocol.CountPoints,
        "POST",
        f"{_POINTS}/count",
        _reader(_READING),
        lambda content: protocol.CountResponse(result=protocol.CountResult(count=content["result"]["count"])),
    ),
    "/qdrant.Points/Get": Call(
        protocol.GetPoints,
        "POST",
        _POINTS,
        _retrieve,
        lambda content: protocol.GetResponse(result=_retrieved(content["result"])),
    ),
    "/qdrant.Points/Query": Call(
        protocol.QueryPoints,
        "POST",
        f"{_POINTS}/query",
        _query_points,
        lambda content: protocol.QueryResponse(result=_scored(content["result"]["points"])),
    ),
    "/qdrant.Points/QueryBatch": Call(
        protocol.QueryBatchPoints,
        "POST",
        f"{_POINTS}/query/batch",
        lambda message: {"searches": [_query_points(each) for each in message.query_points]},
        _batch_of_hits,
    ),
}
