"""What strict mode allows, and filters cut to it."""

from __future__ import annotations

from typing import Any

import pytest

from destination_qdrant.qdrant.base import AnyOf, Equals, Where
from destination_qdrant.qdrant.server.limits import Limits, in_allowed_filters, in_allowed_groups


@pytest.mark.parametrize(
    ("strict_mode", "limits"),
    [
        ({}, Limits()),
        ({"enabled": False, "upsert_max_batchsize": 5, "write_rate_limit": 7, "search_allow_exact": False}, Limits()),
        ({"enabled": True}, Limits()),
        ({"enabled": True, "upsert_max_batchsize": None, "max_query_limit": None}, Limits()),
        ({"enabled": True, "upsert_max_batchsize": 5}, Limits(points=5)),
        ({"enabled": True, "upsert_max_batchsize": 10**6}, Limits()),
        ({"enabled": True, "max_query_limit": 7}, Limits(page=7)),
        ({"enabled": True, "condition_max_size": 10}, Limits(values=10)),
        ({"enabled": True, "filter_max_conditions": 5}, Limits(conditions=5)),
        ({"enabled": True, "search_allow_exact": False}, Limits(exact_counts=False)),
        ({"enabled": True, "search_allow_exact": True}, Limits()),
        # a request larger than the bucket never passes, whatever it is
        ({"enabled": True, "write_rate_limit": 60}, Limits(points=60, ids=60, by_filter=60, rated=True)),
        (
            {"enabled": True, "write_rate_limit": 60, "upsert_max_batchsize": 20},
            Limits(points=20, ids=60, by_filter=60, rated=True),
        ),
    ],
)
def test_only_limits_that_act_make_requests_smaller(strict_mode: dict[str, Any], limits: Limits) -> None:
    assert Limits.of(strict_mode) == limits


IN_STREAM = Equals("_ab_stream", "users")


@pytest.mark.parametrize(
    ("count", "most", "sizes"), [(0, 3, [0]), (3, 3, [3]), (4, 3, [3, 1]), (7, 3, [3, 3, 1]), (2, 1, [1, 1])]
)
def test_a_filter_with_too_many_values_becomes_several(count: int, most: int, sizes: list[int]) -> None:
    values = tuple(map(str, range(count)))
    where = Where((IN_STREAM, AnyOf("_ab_record_key", values)), (Equals("_ab_run_id", "r"),))
    parts = list(in_allowed_filters(where, most))

    assert [len(part.must[1].values) for part in parts if isinstance(part.must[1], AnyOf)] == sizes
    assert sum((part.must[1].values for part in parts if isinstance(part.must[1], AnyOf)), ()) == values
    assert {(part.must[0], part.must_not) for part in parts} == {(IN_STREAM, where.must_not)}


def test_a_filter_without_values_stays_as_it_is() -> None:
    where = Where((IN_STREAM,))

    assert list(in_allowed_filters(where, 1)) == [where]


@pytest.mark.parametrize(
    ("most_values", "most_ids", "groups"),
    [
        (9, 9, [{"a": [1, 2], "b": [], "c": [3], "d": [4, 5, 6]}]),
        (2, 9, [{"a": [1, 2], "b": []}, {"c": [3], "d": [4, 5, 6]}]),
        (9, 3, [{"a": [1, 2], "b": [], "c": [3]}, {"d": [4, 5, 6]}]),
        (9, 2, [{"a": [1, 2], "b": []}, {"c": [3]}]),
        (9, 0, [{"b": []}]),
    ],
)
def test_keywords_and_what_is_kept_for_them_stay_together(
    most_values: int, most_ids: int, groups: list[dict[str, list[int]]]
) -> None:
    kept = {"a": [1, 2], "b": [], "c": [3], "d": [4, 5, 6]}

    assert list(in_allowed_groups(kept, most_values, most_ids)) == groups
