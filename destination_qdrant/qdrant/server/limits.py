"""What the strict mode of a collection allows, and how requests are cut to it (pure).

The numbers are those of `config.strict_mode_config` in the answer to GET collection; what each of them counts was
measured on a server 1.18. One that is 0 or absent does not act, and none acts while strict mode is not enabled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from ..base import AnyOf, PointId, Where

#: As many as `indexing.batch_size` may ask for; whoever wants fewer hands over fewer.
_MOST_POINTS: Final = 4_096
_MOST_IDS: Final = 5_000
_PAGE: Final = 1_000
#: A filter delete of so many points takes a second or two; of a million it would outlast any timeout.
_MOST_BY_FILTER: Final = 20_000
_MOST_VALUES: Final = 1_000
_MOST_CONDITIONS: Final = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may hold.

    `points`: of an upsert. `ids`: of a delete. `page`: of a scroll. `values`: of one condition. `conditions`: of a
    filter. `by_filter`: how many points a delete by filter may match. `exact_counts`: whether points may be counted one by one. `rated`: whether writes share a bucket of tokens.
    """

    points: int = _MOST_POINTS
    ids: int = _MOST_IDS
    page: int = _PAGE
    values: int = _MOST_VALUES
    conditions: int = _MOST_CONDITIONS
    by_filter: int = _MOST_BY_FILTER
    exact_counts: bool = True
    rated: bool = False

    @classmethod
    def of(cls, strict_mode: Mapping[str, Any]) -> Self:
        """The limits of a collection with this `strict_mode_config`.

        An upsert and a delete cost the write rate as many tokens as they have points, a delete by filter as many as it is
        estimated to match; what exceeds the bucket, which is full after a minute, can never pass.
        """
        if not strict_mode.get("enabled"):
            return cls()
        bucket = strict_mode.get("write_rate_limit")
        return cls(
            points=_smallest(_MOST_POINTS, strict_mode.get("upsert_max_batchsize"), bucket),
            ids=_smallest(_MOST_IDS, bucket),
            page=_smallest(_PAGE, strict_mode.get("max_query_limit")),
            values=_smallest(_MOST_VALUES, strict_mode.get("condition_max_size")),
            conditions=_smallest(_MOST_CONDITIONS, strict_mode.get("filter_max_conditions")),
            by_filter=_smallest(_MOST_BY_FILTER, bucket),
            exact_counts=strict_mode.get("search_allow_exact") is not False,
            rated=bool(bucket),
        )


def _smallest(ours: int, *theirs: int | None) -> int:
    return min(ours, *(each for each in theirs if each), ours)


def in_allowed_filters(where: Where, most_values: int) -> Iterator[Where]:
    """Filters that together match what `where` does, each point once, and none of which names too many values."""
    for place, condition in enumerate(where.must):
        if isinstance(condition, AnyOf) and len(condition.values) > most_values:
            for start in range(0, len(condition.values), most_values):
                part = AnyOf(condition.field, condition.values[start : start + most_values])
                narrowed = replace(where, must=(*where.must[:place], part, *where.must[place + 1 :]))
                yield from in_allowed_filters(narrowed, most_values)
            return
    yield where


def in_allowed_groups(
    kept: Mapping[str, Sequence[PointId]], most_values: int, most_ids: int
) -> Iterator[Mapping[str, Sequence[PointId]]]:
    """The same keywords in groups of at most so many, which together have at most so many ids.

    A keyword with more ids than that is left out: no filter can name them.
    """
    group: dict[str, Sequence[PointId]] = {}
    size = 0
    for value, ids in kept.items():
        if len(ids) > most_ids:
            continue
        if group and (len(group) == most_values or size + len(ids) > most_ids):
            yield group
            group, size = {}, 0
        group[value] = ids
        size += len(ids)
    if group:
        yield group
