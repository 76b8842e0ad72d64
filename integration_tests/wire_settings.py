"""The settings of one collection: read from the request that creates it, changed by PATCH, shown by GET.

Defaults and texts are those of a real server (1.18.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from pydantic import ValidationError
from qdrant_client.http import models
from wire_requests import NOT_JSON, Json, RefusalError

LARGEST_VECTOR = 65536
_LONGEST_NAME = 255
_PARAMS: Json = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
_HNSW: Json = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}
_OPTIMIZERS: Json = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
    "prevent_unoptimized": None,
}
_WAL: Json = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}
_AT_LEAST_ONE = ("shard_number", "replication_factor", "write_consistency_factor")
_SMALLEST_EF_CONSTRUCT = 4
_ENUMS = {"vectors": "VectorsConfig", "quantization_config": "QuantizationConfig"}


def check_name(name: str) -> None:
    """Refuse what no new collection may be called."""
    where = "Validation error in path parameters: [collection_name: "
    if not 0 < len(name) <= _LONGEST_NAME:
        raise RefusalError(422, f'{where}value "{name}" invalid, must be from 1 to {_LONGEST_NAME} characters]')
    if found := re.search(r'[<>:"/\\|?*\0\x1f]', name):
        raise RefusalError(422, f'{where}collection name cannot contain "{found[0]}" char]')


def read_creation(body: Json) -> models.CreateCollection:
    """The request as a model, refused where a server refuses it."""
    for name in _AT_LEAST_ONE:
        _check_at_least(1, name, body.get(name))
    _check_at_least(_SMALLEST_EF_CONSTRUCT, "hnsw_config.ef_construct", _given(body, "hnsw_config").get("ef_construct"))
    _check_sizes(_given(body, "vectors"))
    known = {name: value for name, value in body.items() if name in models.CreateCollection.model_fields}
    try:
        return models.CreateCollection(**known)
    except ValidationError as error:
        enum = _ENUMS.get(str(error.errors()[0]["loc"][0]), "CreateCollection")
        raise RefusalError(400, f"{NOT_JSON}data did not match any variant of untagged enum {enum}") from error


def _check_at_least(least: int, name: str, value: Any) -> None:
    if isinstance(value, int) and value < least:
        why = f"{name}: value {value} invalid, must be {least} or larger"
        raise RefusalError(422, f"Validation error in JSON body: [{why}]")


def _check_sizes(vectors: Json) -> None:
    named = "size" not in vectors
    for each in vectors.values() if named else [vectors]:
        if isinstance(size := _size(each), int) and size > LARGEST_VECTOR:
            where = "vectors.?.size" if named else "vectors.size"
            why = f"{where}: value {size} invalid, must be from 1 to {LARGEST_VECTOR}"
            raise RefusalError(422, f"Validation error in JSON body: [{why}]")


def _size(params: Any) -> Any:
    return params.get("size") if isinstance(params, dict) else None


class Settings:
    """What GET shows under `config`, but for strict mode."""

    def __init__(self, body: Json) -> None:
        self._params = (
            _PARAMS | {"vectors": {}} | _chosen(body, [*_PARAMS, "vectors", "sparse_vectors", "sharding_method"])
        )
        self._hnsw = _HNSW | _given(body, "hnsw_config")
        self._optimizers = _OPTIMIZERS | _given(body, "optimizers_config")
        self._wal = _WAL | _given(body, "wal_config")
        self._quantization = body.get("quantization_config")
        self._metadata: Json | None = body.get("metadata")

    def change(self, body: Json) -> None:
        """Merge; of metadata only its uppermost keys, of which a null removes one."""
        self._params |= _given(body, "params")
        self._hnsw |= _given(body, "hnsw_config")
        self._optimizers |= _given(body, "optimizers_config")
        if quantization := body.get("quantization_config"):
            self._quantization = None if quantization == "Disabled" else quantization
        self._change_vectors(_given(body, "vectors"))
        if metadata := body.get("metadata"):
            merged = (self._metadata or {}) | metadata
            self._metadata = {name: value for name, value in merged.items() if metadata.get(name, ...) is not None}

    def _change_vectors(self, changes: Json) -> None:
        vectors = deepcopy(self._params["vectors"])
        for name, change in changes.items():
            (vectors if name == "" and "size" in vectors else vectors[name]).update(change)
        self._params["vectors"] = vectors

    @property
    def is_custom_sharded(self) -> bool:
        """Whether every write has to name a shard key."""
        return bool(self._params.get("sharding_method") == "custom")

    def shown(self, strict_mode: Json) -> Json:
        """The whole of `config`."""
        config: Json = {
            "params": self._params,
            "hnsw_config": self._hnsw,
            "optimizer_config": self._optimizers,
            "wal_config": self._wal,
            "quantization_config": self._quantization,
        }
        metadata = {} if self._metadata is None else {"metadata": self._metadata}
        return config | ({"strict_mode_config": strict_mode} if strict_mode else {}) | metadata


def _given(body: Json, name: str) -> Json:
    """The members of an object that are given."""
    value = body.get(name)
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else {}


def _chosen(body: Json, names: Iterable[str]) -> Json:
    return {name: body[name] for name in names if body.get(name) is not None}
