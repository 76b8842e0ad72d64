"""The collections behind the wire double: qdrant-client's in-memory engine under a server's rules.

The engine is laxer than a server, so this module adds what a server refuses, with the status codes and texts that
were recorded from a real one (1.18.3); the hints of strict mode's size limits are the only texts not recorded.

Two of its habits are kept on purpose: a batch that holds an unknown vector name is refused and yet stored in part
(here always every other good point), and a write that does not wait is acknowledged although it fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import orjson
from qdrant_client.http import models
from qdrant_client.local.json_path_parser import parse_json_path
from qdrant_client.local.payload_filters import check_is_empty
from qdrant_client.local.qdrant_local import QdrantLocal
from qdrant_client.local.utils import normalize_point_id

Json = dict[str, Any]

LARGEST_VECTOR = 65536
NOT_JSON = "Format error in JSON body: "
WRONG = "Wrong input: "
BAD = "Bad request: "
_INDEX_TYPES = ["keyword", "integer", "float", "bool", "geo", "datetime", "text", "uuid"]


class RefusalError(Exception):
    """What the server answers instead of a result."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; `body` is None when there was none or it could not be read (see `problem`)."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    key: str | None = field(default=None, repr=False)
    problem: RefusalError | None = None

    def is_like(self, pattern: str) -> bool:
        """Whether `pattern` is found in "METHOD /path"."""
        return re.search(pattern, f"{self.method} {self.path}") is not None


# ------------------------------------------------------------------------------------------------------------
# What a server checks and the engine does not.


def _check_id(value: Any) -> None:
    if isinstance(value, str):
        try:
            normalize_point_id(value, validate=True)
        except ValueError:
            pass
        else:
            return
    if type(value) is int and value >= 0:  # orjson reads what exceeds 64 bits as a float, like the server
        return
    shown = format(Decimal(repr(value)), "f") if isinstance(value, float) else orjson.dumps(value).decode()
    why = "is not a valid point ID, valid values are either an unsigned integer or a UUID"
    raise RefusalError(400, f"{NOT_JSON}value {shown} {why}")


def _check_path(key: str) -> None:
    try:
        parse_json_path(key)
    except ValueError as error:
        raise RefusalError(400, f"{NOT_JSON}Invalid json path: '{key}'") from error


def _leaves(where: Json | None, prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Every condition of a filter with the payload key it reads ('' for those that read none)."""
    where = where or {}
    clauses = [where.get(name) for name in ("must", "should", "must_not")]
    clauses.append((where.get("min_should") or {}).get("conditions"))
    for clause in clauses:
        for condition in clause if isinstance(clause, list) else [clause] if clause else []:
            yield from _leaf(condition, prefix)


def _leaf(condition: Json, prefix: str) -> Iterator[tuple[str, Json]]:
    empty_or_null = condition.get("is_empty") or condition.get("is_null")
    if "key" in condition:
        yield prefix + condition["key"], condition
    elif isinstance(empty_or_null, dict):
        yield prefix + empty_or_null["key"], condition
    elif "nested" in condition:
        nested = condition["nested"]
        yield from _leaves(nested["filter"], f"{prefix}{nested['key'].removesuffix('[]')}[].")
    elif condition.keys() & {"has_id", "has_vector"}:
        yield "", condition
    else:
        yield from _leaves(condition, prefix)


def _serving_types(condition: Json) -> list[str]:
    """The index types that can answer a condition."""
    match, bounds = condition.get("match"), condition.get("range")
    if match:
        if match.keys() & {"text", "text_any", "phrase"}:
            return ["text"]
        wanted = match.get("value", match.get("any", match.get("except")))
        sample = next(iter(wanted), "") if isinstance(wanted, list) else wanted
        return {bool: ["bool"], int: ["integer"]}.get(type(sample), ["keyword"])
    if bounds:
        return ["datetime"] if any(isinstance(bound, str) for bound in bounds.values()) else ["float", "integer"]
    return _INDEX_TYPES


def _size_of(condition: Json) -> int:
    match = condition.get("match") or {}
    return len(condition.get("has_id") or match.get("any") or match.get("except") or [])


def _raw_points(body: Json) -> list[Json]:
    """The points of an upsert, from either of its two forms."""
    if "batch" not in body:
        return cast("list[Json]", body.get("points") or [])
    batch = body["batch"]
    ids, vectors = batch["ids"], batch["vectors"]
    columns = vectors if isinstance(vectors, dict) else {"": vectors}
    payloads = batch.get("payloads") or [None] * len(ids)
    if any(len(column) != len(ids) for column in [*columns.values(), payloads]):
        raise RefusalError(422, "Validation error in JSON body: [batch: number of ids and vectors must be equal]")
    rows = [{name: column[row] for name, column in columns.items()} for row in range(len(ids))]
    return [
        {"id": key, "vector": row, "payload": payload} for key, row, payload in zip(ids, rows, payloads, strict=True)
    ]


def _parse_point(raw: Json, position: int) -> models.PointStruct:
    for needed in ("id", "vector"):
        if needed not in raw:
            raise RefusalError(400, f"{NOT_JSON}missing field `{needed}`")
    _check_id(raw["id"])
    point = models.PointStruct(id=raw["id"], vector=raw["vector"], payload=raw.get("payload"))
    where = f"Validation error in JSON body: [points[{position}].vector.?"
    for vector in _vectors_of(point).values():
        if vector == []:
            raise RefusalError(422, f"{where}.vector: dense vector must not be empty]")
        if isinstance(vector, models.SparseVector):
            if len(vector.indices) != len(vector.values):
                raise RefusalError(422, f"{where}.values: must be the same length as indices]")
            if len(set(vector.indices)) != len(vector.indices):
                raise RefusalError(422, f"{where}.indices: must be unique]")
    return point


def _vectors_of(point: models.PointStruct) -> Json:
    return point.vector if isinstance(point.vector, dict) else {"": point.vector}


def _kind(vector: Any) -> str:
    if isinstance(vector, list):
        return "multi" if vector and isinstance(vector[0], list) else "dense"
    if isinstance(vector, models.SparseVector):
        return "sparse"
    raise RefusalError(
        500, "Service internal error: InferenceService URL not configured - please provide valid address in config"
    )


Schema = Mapping[str, tuple[str, int]]


def _check_dimension(schema: Schema, name: str, vector: Any) -> None:
    """Refuse what the server refuses before it writes anything."""
    kind, size = schema.get(name, ("", 0))
    if kind != _kind(vector) or kind == "sparse":
        return
    for row in vector if kind == "multi" else [vector]:
        if len(row) != size:
            tail = f" for vector '{name}'" if name else ""
            raise RefusalError(400, f"{WRONG}Vector dimension error: expected dim: {size}, got {len(row)}{tail}")


def _misfit(schema: Schema, point: models.PointStruct) -> str:
    """What the server finds wrong with a point only while it is writing the batch; '' when nothing."""
    for name, vector in _vectors_of(point).items():
        if name not in schema:
            return f"Not existing vector name error: {name}"
        kinds = {schema[name][0], _kind(vector)}
        if len(kinds) > 1:
            return f"Conversion between {'sparse' if 'sparse' in kinds else 'multi'} and regular vectors failed"
    return ""


# ------------------------------------------------------------------------------------------------------------
# The collections behind the routes. Every public method is one route and returns its `result`.

_OPERATIONS: Mapping[str, Any] = {
    "delete": models.DeleteOperation,
    "set_payload": models.SetPayloadOperation,
    "overwrite_payload": models.OverwritePayloadOperation,
    "delete_payload": models.DeletePayloadOperation,
    "clear_payload": models.ClearPayloadOperation,
    "update_vectors": models.UpdateVectorsOperation,
    "delete_vectors": models.DeleteVectorsOperation,
}
_FIELDS = {"points", "filter", "payload", "key", "keys", "vector", "update_filter"}


class Collections:
    """Qdrant's collections with a server's rules; not safe for threads by itself."""

    def __init__(self, strict: Json | None = None) -> None:
        self.engine = QdrantLocal(":memory:")
        self._default_strict = {"enabled": False, **(strict or {})}
        self._strict: dict[str, Json] = {}
        self._indexes: dict[str, dict[str, Json]] = {}
        self._operations = 0

    def _real(self, name: str) -> str:
        real = self.engine.aliases.get(name, name)
        if real not in self.engine.collections:
            raise RefusalError(404, f"Not found: Collection `{name}` doesn't exist!")
        return real

    def _schema(self, name: str) -> dict[str, tuple[str, int]]:
        stored = self.engine.collections[self._real(name)]
        dense = {key: ("dense", params.size) for key, params in stored.vectors_config.items()}
        multi = {key: ("multi", params.size) for key, params in stored.multivectors_config.items()}
        return dense | multi | dict.fromkeys(stored.sparse_vectors, ("sparse", 0))

    def _limits(self, name: str) -> Json:
        """The strict mode settings that act on a collection."""
        strict = self._strict[self._real(name)]
        return strict if strict.get("enabled") else {}

    def _check_limit(self, name: str, limit: str, actual: int, label: str) -> None:
        allowed = self._limits(name).get(limit)
        if allowed is not None and actual > allowed:
            hint = f'Help: Reduce the "{label}" parameter to or below {allowed}.'
            raise RefusalError(400, f'{BAD}Limit exceeded {actual} > {allowed} for "{label}". {hint}')

    def _filter(self, name: str, where: Json | None, unindexed: str) -> models.Filter | None:
        """Read a filter, refused where strict mode does not allow it."""
        leaves = list(_leaves(where))
        for key, condition in leaves:
            _check_path(key or "_")
            for point_id in condition.get("has_id") or []:
                _check_id(point_id)
        limits = self._limits(name)
        if len(leaves) > (most := limits.get("filter_max_conditions") or len(leaves)):
            hint = "Help: Reduce the amount of conditions of your filter."
            raise RefusalError(400, f"{BAD}Filter condition limit reached ({len(leaves)} > {most}). {hint}")
        size = max((_size_of(condition) for _, condition in leaves), default=0)
        if size > (most := limits.get("condition_max_size") or size):
            hint = "Help: Reduce the size of your condition."
            raise RefusalError(400, f"{BAD}Condition size limit reached ({size} > {most}). {hint}")
        if limits.get(unindexed) is False:
            self._check_indexed(name, leaves)
        return models.Filter(**where) if where else None

    def _check_indexed(self, name: str, leaves: Sequence[tuple[str, Json]]) -> None:
        indexed = self._indexes[self._real(name)]
        for key, condition in leaves:
            types = _serving_types(condition)
            if key and indexed.get(key, {}).get("type") not in types:
                why = f'Index required but not found for "{key}" of one of the following types: [{", ".join(types)}].'
                hint = "Help: Create an index for this key or use a different filter."
                raise RefusalError(400, f"{BAD}{why} {hint}")

    # Collections and aliases

    def list_all(self, _: Request) -> Json:
        return {"collections": [{"name": name} for name in self.engine.collections]}

    def exists(self, _: Request, name: str) -> Json:
        return {"exists": self.engine.aliases.get(name, name) in self.engine.collections}

    def create(self, request: Request, name: str) -> bool:
        if name in self.engine.collections:
            raise RefusalError(409, f"{WRONG}Collection `{name}` already exists!")
        if name in self.engine.aliases:
            why = f"Can't create collection with name {name}. Alias with the same name already exists"
            raise RefusalError(400, WRONG + why)
        if re.search(r"[/*:]", name) or len(name) > 255:
            raise RefusalError(422, "Validation error in path parameters: [name: invalid collection name]")
        self._engine_create(name, request.body or {})
        self._strict[name] = self._default_strict | (request.body.get("strict_mode_config") or {})
        self._indexes[name] = {}
        return True

    def _engine_create(self, name: str, body: Json) -> None:
        vectors = body.get("vectors") or {}
        sizes = [each["size"] for each in ([vectors] if "size" in vectors else vectors.values())]
        if max(sizes, default=1) > LARGEST_VECTOR:
            raise RefusalError(422, f"Validation error in JSON body: [vectors.size: must be 1 to {LARGEST_VECTOR}]")
        known = {key: body[key] for key in ("vectors", "sparse_vectors", "metadata") if body.get(key)}
        try:
            parsed = models.CreateCollection(**known)
            self.engine.create_collection(name, parsed.vectors, parsed.sparse_vectors, parsed.metadata)
        except ValueError as error:
            why = "data did not match any variant of untagged enum VectorsConfig"
            raise RefusalError(400, NOT_JSON + why) from error

    def info(self, _: Request, name: str) -> Json:
        real = self._real(name)
        content: Json = self.engine.get_collection(real).model_dump(mode="json", exclude_none=True)
        params = content["config"]["params"]
        params |= {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
        content["config"]["strict_mode_config"] = self._strict[real]
        content["payload_schema"] = {key: self._index_info(real, key) for key in self._indexes[real]}
        return content | {"update_queue": {"length": 0}}

    def _index_info(self, name: str, key: str) -> Json:
        params = self._indexes[name][key]
        stored = self.engine.collections[name]
        held = (payload for payload, gone in zip(stored.payload, stored.deleted, strict=True) if not gone)
        points = sum(not check_is_empty(payload, key) for payload in held)
        detail = {"params": params} if len(params) > 1 else {}
        return {"data_type": params["type"], "points": points, **detail}

    def update(self, request: Request, name: str) -> bool:
        real = self._real(name)
        self._strict[real] = self._strict[real] | (request.body.get("strict_mode_config") or {})
        if request.body.get("metadata"):
            self.engine.update_collection(real, metadata=request.body["metadata"])
        return True

    def delete_collection(self, _: Request, name: str) -> bool:
        return bool(self.engine.delete_collection(name))

    def aliases(self, _: Request, name: str | None = None) -> Any:
        return self.engine.get_collection_aliases(name) if name else self.engine.get_aliases()

    def change_aliases(self, request: Request) -> bool:
        actions = models.ChangeAliasesOperation(**request.body).actions
        for action in actions:
            if isinstance(action, models.CreateAliasOperation):
                self._real(action.create_alias.collection_name)
                if (alias := action.create_alias.alias_name) in self.engine.collections:
                    raise RefusalError(409, f"{WRONG}Collection `{alias}` already exists!")
        return bool(self.engine.update_collection_aliases(actions))

    # Payload indexes

    def create_index(self, request: Request, name: str) -> Json:
        indexes = self._indexes[self._real(name)]
        key, schema = request.body["field_name"], request.body.get("field_schema")
        params = dict(schema) if isinstance(schema, dict) else {"type": schema}
        _check_path(key)
        if params.get("type") not in _INDEX_TYPES:
            raise RefusalError(400, f"{NOT_JSON}data did not match any variant of untagged enum PayloadFieldSchema")
        most = self._limits(name).get("max_payload_index_count")
        if most is not None and len(indexes) >= most:  # a server refuses the re-creation of an existing one, too
            why = f"Collection already has the maximum number of payload indices ({most})."
            hint = "Help: Please delete an existing index before creating a new one."
            raise RefusalError(400, f"{BAD}{why} {hint}")
        indexes[key] = params
        return self._done(request)

    def delete_index(self, request: Request, name: str, key: str) -> Json:
        self._indexes[self._real(name)].pop(key, None)
        return self._done(request)

    # Reading points

    def scroll(self, request: Request, name: str) -> Json:
        self._real(name)
        body = request.body or {}
        limit = 10 if body.get("limit") is None else body["limit"]
        if limit < 1:
            raise RefusalError(
                422, f"Validation error in JSON body: [limit: value {limit} invalid, must be 1 or larger]"
            )
        if body.get("limit"):
            self._check_limit(name, "max_query_limit", limit, "limit")
        if body.get("offset") is not None:
            _check_id(body["offset"])
        where = self._filter(name, body.get("filter"), "unindexed_filtering_retrieve")
        read = models.ScrollRequest(**{key: body.get(key) for key in ("offset", "with_payload", "with_vector")})
        payload = True if read.with_payload is None else read.with_payload
        vectors = read.with_vector or False
        points, following = self.engine.scroll(name, where, limit, None, read.offset, payload, vectors)
        return {"points": points, "next_page_offset": following}

    def count(self, request: Request, name: str) -> Json:
        self._real(name)
        body = request.body or {}
        where = self._filter(name, body.get("filter"), "unindexed_filtering_retrieve")
        if body.get("exact", True) and self._limits(name).get("search_allow_exact") is False:
            raise RefusalError(400, f"{BAD}Exact search disabled!. Help: Set exact=false.")
        return {"count": self.engine.count(name, where).count}

    def retrieve(self, request: Request, name: str) -> list[Any]:
        self._real(name)
        for point_id in request.body["ids"]:
            _check_id(point_id)
        read = models.PointRequest(**{k: request.body.get(k) for k in ("ids", "with_payload", "with_vector")})
        payload = True if read.with_payload is None else read.with_payload
        return list(self.engine.retrieve(name, read.ids, payload, read.with_vector or False))

    def get_point(self, _: Request, name: str, point_id: str) -> Any:
        self._real(name)
        key = int(point_id) if point_id.isdecimal() else point_id
        _check_id(key)
        found = self.engine.retrieve(name, [key], with_payload=True, with_vectors=True)
        if not found:
            raise RefusalError(404, f"Not found: Point with id {point_id} does not exists!")
        return found[0]

    def query(self, request: Request, name: str) -> Json:
        return self._query(name, request.body or {})

    def query_batch(self, request: Request, name: str) -> list[Json]:
        return [self._query(name, each) for each in request.body["searches"]]

    def _query(self, name: str, body: Json) -> Json:
        schema = self._schema(name)
        self._check_limit(name, "max_query_limit", body.get("limit") or 10, "limit")
        where = self._filter(name, body.get("filter"), "unindexed_filtering_retrieve")
        wanted, using = body.get("query"), body.get("using") or ""
        vector = wanted.get("nearest") if isinstance(wanted, dict) else wanted
        if isinstance(vector, list):
            if using not in schema:
                raise RefusalError(400, f"{WRONG}Not existing vector name error: {using}")
            _check_dimension(schema, using, vector)
        read = models.QueryRequest(**{k: v for k, v in body.items() if k in models.QueryRequest.model_fields})
        found = self.engine.query_points(
            name,
            cast("Any", read.query),  # the engine reads the shorthands, too
            read.using,
            read.prefetch,
            where,
            read.params,
            read.limit or 10,
            read.offset,
            read.with_payload or False,
            read.with_vector or False,
            read.score_threshold,
            read.lookup_from,
        )
        return {"points": found.points}

    # Writing points

    def write(self, request: Request, name: str, kind: str) -> Json:
        self._write(request, name, [(kind, request.body or {})])
        return self._done(request)

    def batch(self, request: Request, name: str) -> list[Json]:
        operations = [pair for operation in request.body["operations"] for pair in operation.items()]
        self._write(request, name, operations)
        return [self._done(request) for _ in operations]

    def _write(self, request: Request, name: str, operations: Sequence[tuple[str, Any]]) -> None:
        """Check all operations, then apply one after another: the first failure ends a batch that waits."""
        steps = [self._prepare(self._real(name), kind, body) for kind, body in operations]
        for step in steps:
            try:
                step()
            except RefusalError:
                if request.query.get("wait") == "true":
                    raise

    def _prepare(self, name: str, kind: str, body: Any) -> Callable[[], None]:
        if kind == "upsert":
            return self._prepare_upsert(name, body)
        known = {key: value for key, value in body.items() if key in _FIELDS} if isinstance(body, dict) else body
        self._check_selector(name, known)
        operation = _OPERATIONS[kind](**{kind: known})

        def apply() -> None:
            try:
                self.engine.batch_update_points(name, [operation])
            except KeyError as error:
                raise RefusalError(404, f"Not found: No point with id {error.args[0]} found") from error
            except ValueError as error:
                raise RefusalError(400, WRONG + str(error).removeprefix(WRONG)) from error

        return apply

    def _check_selector(self, name: str, selector: Any) -> None:
        points = selector.get("points") if isinstance(selector, dict) else selector
        if points == []:
            raise RefusalError(400, f"{BAD}Empty update request")
        for point in points or []:
            _check_id(point["id"] if isinstance(point, dict) else point)
        if isinstance(selector, dict):
            self._filter(name, selector.get("filter"), "unindexed_filtering_update")

    def _prepare_upsert(self, name: str, body: Json) -> Callable[[], None]:
        raw = _raw_points(body)
        if not raw:
            raise RefusalError(400, f"{BAD}Empty update request")
        self._check_limit(name, "upsert_max_batchsize", len(raw), "upsert limit")
        schema = self._schema(name)
        points = [_parse_point(each, position) for position, each in enumerate(raw)]
        for point in points:
            for vector_name, vector in _vectors_of(point).items():
                _check_dimension(schema, vector_name, vector)
        where = models.Filter(**body["update_filter"]) if body.get("update_filter") else None
        mode = models.UpdateMode(body["update_mode"]) if body.get("update_mode") else None

        def apply() -> None:
            misfits = [text for point in points if (text := _misfit(schema, point))]
            good = [point for point in points if not _misfit(schema, point)]
            stored = good[::2] if misfits else good  # a server stores a random part of a batch that it refuses
            if stored:
                self.engine.upsert(name, stored, update_filter=where, update_mode=mode)
            if misfits:
                raise RefusalError(400, WRONG + misfits[0])

        return apply

    def _done(self, request: Request) -> Json:
        self._operations += 1
        waited = request.query.get("wait") == "true"
        return {"operation_id": self._operations, "status": "completed" if waited else "acknowledged"}
