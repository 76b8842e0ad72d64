"""The collections behind the wire double: qdrant-client's in-memory engine under a server's rules.

The engine is laxer than a server, so this module and those it uses add what a server refuses, with the status codes
and texts that were recorded from a real one (1.18.3).

Two of its habits are kept on purpose: a batch that holds an unknown vector name is refused and yet stored in part
(here always every other good point), and a write that does not wait is acknowledged although it fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import orjson
from inference_server import InferenceService
from qdrant_client.http import models
from qdrant_client.local.json_path_parser import parse_json_path
from qdrant_client.local.payload_filters import check_is_empty
from qdrant_client.local.qdrant_local import QdrantLocal
from qdrant_client.local.utils import normalize_point_id
from wire_inference import Inference
from wire_rates import Clock, RateLimits, cost_of_filter, cost_of_reading
from wire_requests import BAD, NOT_JSON, WRONG, Json, RefusalError, Request
from wire_settings import Settings, check_name, read_creation
from wire_strict import StrictMode, leaves, serving_types

#: What can be said of an index of each type, beside what can be said of all, and what GET shows when it was not said.
_INDEX_OPTIONS: Mapping[str, Json] = {
    "keyword": {"is_tenant": ...},
    "integer": {"lookup": None, "range": None, "is_principal": None},
    "float": {"is_principal": None},
    "bool": {},
    "geo": {},
    "datetime": {"is_principal": None},
    "text": {
        "tokenizer": "word",
        **dict.fromkeys(["lowercase", "ascii_folding", "min_token_len", "max_token_len"], ...),
        **dict.fromkeys(["phrase_matching", "stopwords", "stemmer"], ...),
    },
    "uuid": {"is_tenant": ...},
}
_OPTIONS_OF_ALL: Json = {"type": ..., "on_disk": ..., "enable_hnsw": ..., "memory": ..., "prefix": ...}
_DEFAULT_LIMIT = 10
_NO_CONDITION = (
    'Expected some form of condition, which can be a field condition (like {"key": ..., "match": ... }), or some other'
    " mentioned in the documentation: https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions"
)


# ------------------------------------------------------------------------------------------------------------
# What a server checks and the engine does not.


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        try:
            normalize_point_id(value, validate=True)
        except ValueError:
            return False
        return True
    return type(value) is int and value >= 0  # orjson reads what exceeds 64 bits as a float, like the server


def _check_id(value: Any) -> None:
    if _is_id(value):
        return
    shown = format(Decimal(repr(value)), "f") if isinstance(value, float) else orjson.dumps(value).decode()
    shown = shown.strip('"')
    why = "is not a valid point ID, valid values are either an unsigned integer or a UUID"
    raise RefusalError(400, f"{NOT_JSON}value {shown} {why}")


def _type_of(index: str | Json) -> str:
    return index if isinstance(index, str) else index["type"]


def _index_params(given: Json) -> Json:
    """As GET shows them: without what an index of this type cannot have."""
    options = _OPTIONS_OF_ALL | _INDEX_OPTIONS[given["type"]]
    shown = {name: given.get(name, default) for name, default in options.items()}
    return {name: value for name, value in shown.items() if value is not ...}


def _check_path(key: str) -> None:
    try:
        parse_json_path(key)
    except ValueError as error:
        raise RefusalError(400, f"{NOT_JSON}Invalid json path: '{key}'") from error


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
    if "id" in raw:
        _check_id(raw["id"])
    for needed in ("id", "vector"):
        if needed not in raw:
            raise RefusalError(400, f"{NOT_JSON}missing field `{needed}`")
    point = models.PointStruct(id=raw["id"], vector=raw["vector"], payload=raw.get("payload"))
    for vector in _vectors_of(point).values():
        if why := _flaw(vector):
            raise RefusalError(422, f"Validation error in JSON body: [points[{position}].vector.?.{why}]")
    return point


def _flaw(vector: Any) -> str:
    if vector == []:
        return "vector: dense vector must not be empty"
    if isinstance(vector, models.SparseVector):
        if len(vector.indices) != len(vector.values):
            return "values: Validation error: must be the same length as indices [{}]"
        if len(set(vector.indices)) != len(vector.indices):
            return "indices: Validation error: must be unique [{}]"
    return ""


def _vectors_of(point: models.PointStruct) -> Json:
    return point.vector if isinstance(point.vector, dict) else {"": point.vector}


def _kind(vector: Any) -> str:
    if isinstance(vector, list):
        return "multi" if vector and isinstance(vector[0], list) else "dense"
    if isinstance(vector, models.SparseVector):
        return "sparse"
    raise RefusalError(400, f"{NOT_JSON}data did not match any variant of untagged enum Vector")


Schema = Mapping[str, tuple[str, int]]


def _check_dimension(schema: Schema, name: str, vector: Any, tail: str | None = None) -> None:
    """Refuse what the server refuses before it writes anything."""
    kind, size = schema.get(name, ("", 0))
    if kind != _kind(vector) or kind == "sparse":
        return
    for row in vector if kind == "multi" else [vector]:
        if len(row) != size:
            if tail is None:
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


@dataclass(slots=True)
class Rules:
    """What the server knows of a collection and the engine does not."""

    settings: Settings
    strict: StrictMode
    rates: RateLimits
    indexes: dict[str, str | Json] = field(default_factory=dict)
    """A type, or the parameters that came with it."""
    shard_keys: list[str | int] = field(default_factory=list)

    @property
    def index_types(self) -> Mapping[str, str]:
        return {key: _type_of(params) for key, params in self.indexes.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a write that was found in order: what it costs and what it does."""

    cost: int
    apply: Callable[[], None]


class Collections:
    """Qdrant's collections with a server's rules; not safe for threads by itself.

    Args:
        strict: strict mode of new collections.
        clock: what the rate limits go by.
        distributed: whether it is the only node of a cluster, and so can be given shard keys.
        inference: what embeds texts; without one they are refused.
    """

    def __init__(
        self,
        strict: Json | None = None,
        *,
        clock: Clock = time.monotonic,
        distributed: bool = False,
        inference: InferenceService | None = None,
    ) -> None:
        self.engine = QdrantLocal(":memory:")
        self._default_strict = strict or {}
        self._clock = clock
        self._distributed = distributed
        self._inference = Inference(inference)
        self._rules: dict[str, Rules] = {}
        self._operations = 0

    def has(self, name: str) -> bool:
        """Whether there is a collection or an alias of this name."""
        return self.engine.aliases.get(name, name) in self.engine.collections

    def _real(self, name: str) -> str:
        if not self.has(name):
            raise RefusalError(404, f"Not found: Collection `{name}` doesn't exist!")
        return self.engine.aliases.get(name, name)

    def _rules_of(self, name: str) -> Rules:
        return self._rules[self._real(name)]

    def _schema(self, name: str) -> dict[str, tuple[str, int]]:
        stored = self.engine.collections[self._real(name)]
        dense = {key: ("dense", params.size) for key, params in stored.vectors_config.items()}
        multi = {key: ("multi", params.size) for key, params in stored.multivectors_config.items()}
        return dense | multi | dict.fromkeys(stored.sparse_vectors, ("sparse", 0))

    def _filter(self, name: str, where: Json | None, *, updates: bool = False) -> models.Filter | None:
        """Read a filter, refused where strict mode does not allow it."""
        for key, condition in leaves(where):
            _check_path(key or "_")
            for point_id in condition.get("has_id") or []:
                if not _is_id(point_id):
                    raise RefusalError(400, f"{NOT_JSON}{_NO_CONDITION}")
        rules = self._rules_of(name)
        rules.strict.check_filter(where, rules.index_types, updates=updates)
        return models.Filter(**where) if where else None

    # Collections and aliases

    def list_all(self, _: Request) -> Json:
        return {"collections": [{"name": name} for name in self.engine.collections]}

    def exists(self, _: Request, name: str) -> Json:
        return {"exists": self.has(name)}

    def create(self, request: Request, name: str) -> bool:
        if name in self.engine.collections:
            raise RefusalError(409, f"{WRONG}Collection `{name}` already exists!")
        if name in self.engine.aliases:
            why = f"Can't create collection with name {name}. Alias with the same name already exists"
            raise RefusalError(400, WRONG + why)
        check_name(name)
        body = request.body or {}
        parsed = read_creation(body)
        strict = StrictMode(self._default_strict | (body.get("strict_mode_config") or {}))
        self._engine_create(name, parsed)
        self._rules[name] = Rules(Settings(body), strict, RateLimits(strict.acting, self._clock))
        return True

    def _engine_create(self, name: str, parsed: models.CreateCollection) -> None:
        try:
            self.engine.create_collection(name, parsed.vectors, parsed.sparse_vectors)
        except ValueError as error:
            why = "data did not match any variant of untagged enum VectorsConfig"
            raise RefusalError(400, NOT_JSON + why) from error

    def info(self, _: Request, name: str) -> Json:
        real = self._real(name)
        rules = self._rules[real]
        content: Json = self.engine.get_collection(real).model_dump(mode="json", exclude_none=True)
        return content | {
            "config": rules.settings.shown(rules.strict.settings),
            "payload_schema": {key: self._index_info(real, key) for key in rules.indexes},
            "segments_count": 2,
            "update_queue": {"length": 0},
        }

    def _index_info(self, name: str, key: str) -> Json:
        params = self._rules[name].indexes[key]
        stored = self.engine.collections[name]
        held = (payload for payload, gone in zip(stored.payload, stored.deleted, strict=True) if not gone)
        points = sum(not check_is_empty(payload, key) for payload in held)
        detail = {} if isinstance(params, str) else {"params": params}
        return {"data_type": _type_of(params), "points": points, **detail}

    def update(self, request: Request, name: str) -> bool:
        rules = self._rules_of(name)
        body = request.body or {}
        if body.get("strict_mode_config"):
            rules.strict.change(body["strict_mode_config"])
            rules.rates.change(rules.strict.acting)
        rules.settings.change(body)
        return True

    def delete_collection(self, _: Request, name: str) -> bool:
        self._rules.pop(name, None)
        return bool(self.engine.delete_collection(name))

    def aliases(self, _: Request, name: str | None = None) -> Json:
        pairs = self.engine.aliases.items()
        rows = [{"alias_name": alias, "collection_name": real} for alias, real in pairs if name in {None, real}]
        return {"aliases": rows}

    def change_aliases(self, request: Request) -> bool:
        actions = models.ChangeAliasesOperation(**request.body).actions
        for action in actions:
            if isinstance(action, models.CreateAliasOperation):
                self._check_new_alias(action.create_alias)
            elif isinstance(action, models.RenameAliasOperation):
                old = action.rename_alias.old_alias_name
                if old not in self.engine.aliases:
                    raise RefusalError(404, f"Not found: Alias {old} does not exists!")
        return bool(self.engine.update_collection_aliases(actions))

    def _check_new_alias(self, new: models.CreateAlias) -> None:
        if new.collection_name not in self.engine.collections:  # an alias of an alias is none either
            raise RefusalError(404, f"Not found: Collection `{new.collection_name}` doesn't exist!")
        if new.alias_name in self.engine.collections:
            raise RefusalError(409, f"{WRONG}Collection `{new.alias_name}` already exists!")

    def create_shard_key(self, request: Request, name: str) -> bool:
        if not self._distributed:  # a server says that first, also of a collection that is missing
            raise RefusalError(400, f"{BAD}Distributed mode disabled")
        rules = self._rules_of(name)
        key = request.body["shard_key"]
        if not rules.settings.is_custom_sharded:
            raise RefusalError(400, f"{BAD}Shard Key cannot be created with Auto sharding method")
        if key in rules.shard_keys:
            why = f"Sharding key {orjson.dumps(key).decode()} already exists for collection {self._real(name)}"
            raise RefusalError(400, BAD + why)
        rules.shard_keys.append(key)
        return True

    def _check_shard_key(self, name: str, body: Any, prefix: str) -> None:
        """Which points a shard holds is not modelled: a key has to be one that was created, that is all."""
        rules = self._rules_of(name)
        chosen = body.get("shard_key") if isinstance(body, dict) else None
        if chosen is None and prefix == WRONG and rules.settings.is_custom_sharded:
            raise RefusalError(400, f"{WRONG}Shard key not specified")
        for key in chosen if isinstance(chosen, list) else [] if chosen is None else [chosen]:
            if key not in rules.shard_keys:
                raise RefusalError(400, f"{prefix}Shard key {orjson.dumps(key).decode()} not found")

    # Payload indexes

    def create_index(self, request: Request, name: str) -> Json:
        rules = self._rules_of(name)
        key, schema = request.body["field_name"], request.body.get("field_schema")
        params = dict(schema) if isinstance(schema, dict) else {"type": schema}
        _check_path(key)
        if schema is None:
            why = "Can't auto-detect field type, please specify `field_schema` in the request"
            raise RefusalError(400, BAD + why)
        if params.get("type") not in _INDEX_OPTIONS:
            raise RefusalError(400, f"{NOT_JSON}data did not match any variant of untagged enum PayloadFieldSchema")
        rules.strict.check_index_count(len(rules.indexes))
        for _ in range(2):  # the server makes two operations of it, and charges each
            rules.rates.write(1)
        rules.indexes[key] = _index_params(params) if isinstance(schema, dict) else schema
        return self._done(request)

    def delete_index(self, request: Request, name: str, key: str) -> Json:
        self._rules_of(name).indexes.pop(key, None)
        return self._done(request)

    # Reading points

    def scroll(self, request: Request, name: str) -> Json:
        body = request.body or {}
        rules = self._check_read(request, name, body)
        limit = _DEFAULT_LIMIT if body.get("limit") is None else body["limit"]
        if limit < 1:
            raise RefusalError(
                422, f"Validation error in JSON body: [limit: value {limit} invalid, must be 1 or larger]"
            )
        rules.strict.check("max_query_limit", body.get("limit"), "limit")
        if body.get("offset") is not None:
            _check_id(body["offset"])
        where = self._filter(name, body.get("filter"))
        read = models.ScrollRequest(**{key: body.get(key) for key in ("offset", "with_payload", "with_vector")})
        payload = True if read.with_payload is None else read.with_payload
        vectors = read.with_vector or False
        rules.rates.read(cost_of_reading(body.get("filter")))
        points, following = self.engine.scroll(name, where, limit, None, read.offset, payload, vectors)
        return {"points": points, "next_page_offset": following}

    def count(self, request: Request, name: str) -> Json:
        body = request.body or {}
        rules = self._check_read(request, name, body)
        where = self._filter(name, body.get("filter"))
        rules.strict.check_exact(exact=body.get("exact", True))
        rules.rates.read(cost_of_reading(body.get("filter")))
        return {"count": self.engine.count(name, where).count}

    def retrieve(self, request: Request, name: str) -> list[Any]:
        rules = self._check_read(request, name, request.body)
        for point_id in request.body["ids"]:
            _check_id(point_id)
        read = models.PointRequest(**{k: request.body.get(k) for k in ("ids", "with_payload", "with_vector")})
        rules.rates.read(len(read.ids))
        return list(self.engine.retrieve(name, read.ids, read.with_payload or False, read.with_vector or False))

    def get_point(self, request: Request, name: str, point_id: str) -> Any:
        rules = self._check_read(request, name, {})
        key = int(point_id) if point_id.isdecimal() else point_id
        _check_id(key)
        rules.rates.read(1)
        found = self.engine.retrieve(name, [key], with_payload=True, with_vectors=True)
        if not found:
            raise RefusalError(404, f"Not found: Point with id {point_id} does not exists!")
        return found[0]

    def query(self, request: Request, name: str) -> Json:
        body = self._inference.in_query(request)
        rules = self._check_read(request, name, body)
        self._check_query(name, body)
        rules.rates.read(cost_of_reading(body.get("filter")))
        return self._query(name, body)

    def query_batch(self, request: Request, name: str) -> list[Json]:
        searches = request.body["searches"]
        rules = self._check_read(request, name, {})
        rules.strict.check("search_max_batchsize", len(searches), "search batch size")
        for each in searches:
            self._check_query(name, each)
        rules.rates.read(sum(cost_of_reading(each.get("filter")) for each in searches))
        return [self._query(name, each) for each in searches]

    def _check_read(self, request: Request, name: str, body: Any) -> Rules:
        rules = self._rules_of(name)
        _check_timeout(request, rules.strict)
        self._check_shard_key(name, body, BAD)
        return rules

    def _check_query(self, name: str, body: Json) -> None:
        """Refuse it for its limit or a filter, its own or that of something it fetches before."""
        strict = self._rules_of(name).strict
        strict.check("max_query_limit", body.get("limit") or _DEFAULT_LIMIT, "limit")
        self._filter(name, body.get("filter"))
        strict.check_exact(exact=bool((body.get("params") or {}).get("exact")))
        earlier = body.get("prefetch") or []
        for each in earlier if isinstance(earlier, list) else [earlier]:
            self._check_query(name, each)

    def _query(self, name: str, body: Json) -> Json:
        schema = self._schema(name)
        wanted, using = body.get("query"), body.get("using") or ""
        vector = wanted.get("nearest") if isinstance(wanted, dict) else wanted
        if isinstance(vector, list):
            if using not in schema:
                raise RefusalError(400, f"{WRONG}Not existing vector name error: {using}")
            _check_dimension(schema, using, vector, tail="")
        if isinstance(vector, dict) and "indices" in vector and schema.get(using, ("",))[0] == "dense":
            raise RefusalError(400, f"{WRONG}Conversion between sparse and regular vectors failed")
        read = models.QueryRequest(**{k: v for k, v in body.items() if k in models.QueryRequest.model_fields})
        found = self.engine.query_points(
            name,
            cast("Any", read.query),  # the engine reads the shorthands, too
            read.using,
            read.prefetch,
            read.filter,
            None,  # the engine is always exact, and would warn
            read.limit or _DEFAULT_LIMIT,
            read.offset,
            read.with_payload or False,
            read.with_vector or False,
            read.score_threshold,
            read.lookup_from,
        )
        return {"points": found.points}

    # Writing points

    def write(self, request: Request, name: str, kind: str) -> Json:
        body = self._inference.in_points(request) if kind == "upsert" else request.body or {}
        self._write(request, name, [(kind, body)])
        return self._done(request)

    def batch(self, request: Request, name: str) -> list[Json]:
        operations = [pair for operation in request.body["operations"] for pair in operation.items()]
        self._write(request, name, operations)
        return [self._done(request) for _ in operations]

    def _write(self, request: Request, name: str, operations: Sequence[tuple[str, Any]]) -> None:
        """Check all operations, then charge and apply one after another: the first failure ends a batch that waits.

        A batch beyond the rate limit ends there in any case.
        """
        rules = self._rules_of(name)
        _check_timeout(request, rules.strict)
        steps = [self._prepare(self._real(name), kind, body) for kind, body in operations]
        for step in steps:
            rules.rates.write(step.cost)
            try:
                step.apply()
            except RefusalError:
                if request.waits:
                    raise

    def _prepare(self, name: str, kind: str, body: Any) -> Step:
        self._check_shard_key(name, body, WRONG)
        if kind == "upsert":
            return self._prepare_upsert(name, body)
        known = {key: value for key, value in body.items() if key in _FIELDS} if isinstance(body, dict) else body
        cost = self._check_selector_of(name, kind, known)
        if kind == "update_vectors":
            self._rules[name].strict.check("upsert_max_batchsize", cost, "update limit")
            self._check_points_count(name)
        operation = _OPERATIONS[kind](**{kind: known})

        def apply() -> None:
            try:
                self.engine.batch_update_points(name, [operation])
            except KeyError as error:
                raise RefusalError(404, f"Not found: No point with id {error.args[0]} found") from error
            except ValueError as error:
                raise RefusalError(400, WRONG + str(error).removeprefix(WRONG)) from error

        return Step(cost, apply)

    def _check_selector_of(self, name: str, kind: str, selector: Any) -> int:
        try:
            return self._check_selector(name, selector)
        except RefusalError as refusal:
            if kind in {"delete", "clear_payload"} and refusal.text.startswith(NOT_JSON):  # what is wrong gets lost
                why = "data did not match any variant of untagged enum PointsSelector"
                raise RefusalError(400, NOT_JSON + why) from refusal
            raise

    def _check_selector(self, name: str, selector: Any) -> int:
        """Refuse a bad one; what it costs to write to the points that are selected."""
        points = selector.get("points") if isinstance(selector, dict) else selector
        if points == []:
            raise RefusalError(400, f"{BAD}Empty update request")
        for point in points or []:
            _check_id(point["id"] if isinstance(point, dict) else point)
        if points is not None:
            return len(points)
        where = selector.get("filter") or {}
        self._filter(name, where, updates=True)
        total = self.engine.count(name).count
        return cost_of_filter(where, total, lambda condition: self._share(name, condition, total))

    def _share(self, name: str, condition: Json, total: int) -> float | None:
        """The share of the points that matches, where the server can know it without looking at them."""
        ((key, leaf),) = leaves({"must": [condition]})
        if total and key and self._rules[name].index_types.get(key) not in serving_types(leaf):
            return None
        return self.engine.count(name, models.Filter(must=[condition])).count / max(total, 1)

    def _prepare_upsert(self, name: str, body: Json) -> Step:
        raw = _raw_points(body)
        if not raw:
            raise RefusalError(400, f"{BAD}Empty update request")
        self._rules[name].strict.check("upsert_max_batchsize", len(raw), "upsert limit")
        self._check_points_count(name)
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

        return Step(len(raw), apply)

    def _check_points_count(self, name: str) -> None:
        self._rules[name].strict.check_points_count(lambda: self.engine.count(name).count)

    def _done(self, request: Request) -> Json:
        self._operations += 1
        return {"operation_id": self._operations, "status": "completed" if request.waits else "acknowledged"}


def _check_timeout(request: Request, strict: StrictMode) -> None:
    if request.query.get("timeout", "").isdecimal():
        strict.check("max_timeout", int(request.query["timeout"]), "timeout")
