"""Statistics of single columns that an owner lets everybody see who sees the schema.

They are computed by the machinery that answers scientists (:mod:`grid.statistics`), under the same policy, and the
policy of the moment is looked at again whenever they are shown: what it no longer allows is gone at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.concurrency.offload import offload
from grid.statistics.first_round import FirstRound
from grid.statistics.rules import check_policy
from grid.statistics.sweep import Opened
from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import Forbidden, GridError
from syft_ext.ids import new_id
from syft_ext.messages.datasets import SearchEntry
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, ColumnPartial

__all__ = ["compute", "published_statistics", "shown", "ticked", "with_statistics"]

Ticked = Mapping[str, list[str]]
_AT_ONCE = 256  # columns of one reading


def ticked(statistics: Mapping[str, Any]) -> dict[str, list[str]]:
    """What an asset's owner ticked: column → statistics."""
    return {column: list(names) for column, names in statistics.get("ticked", {}).items()}


def compute(blobs: BlobStore, digest: str, kind: str, wanted: Ticked, policy: SitePolicy) -> dict[str, Any]:
    """The numbers, by column; with them each column's count, as "rows", whether it is ticked or not.

    Reads the columns beside the event loop. Raises :class:`Forbidden` for what the policy does not allow and
    :class:`BadRequest` for a column that is not there.
    """
    names = sorted({name for column in wanted.values() for name in column})
    found: dict[str, Any] = {}
    if not names:
        return found
    _check(policy, names)
    with offload(Opened, blobs, digest, kind) as opened:
        columns = [column for name in wanted for column in opened.table.take([name])]
        by_rows = defaultdict(list)
        for column in columns:
            by_rows[column.rows].append(column.name)
        for together in by_rows.values():
            for start in range(0, len(together), _AT_ONCE):
                message = _question(together[start : start + _AT_ONCE], ["count", *names])
                partials = FirstRound(opened, message, policy, {}).run()
                found.update({each.name: _numbers(each, wanted[each.name]) for each in partials.columns})
    return found


def shown(statistics: Mapping[str, Any], policy: SitePolicy) -> dict[str, dict[str, float | None]]:
    """Of what is ticked and computed, what the policy lets be seen now."""
    found: dict[str, dict[str, float | None]] = {}
    for column, numbers in statistics.get("found", {}).items():
        rows = numbers.get("rows")
        if rows is None or (policy.min_rows > 1 and rows < policy.min_rows):
            continue
        allowed = [name for name in numbers if name != "rows" and _allowed(policy, name)]
        if allowed:
            found[column] = {name: numbers[name] for name in allowed}
    return found


def published_statistics(session: Session, ids: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """What the policy lets be seen now of what is published, by dataset and asset; of these datasets, or (None) of
    all that have any."""
    if ids is not None and not ids:
        return {}
    policy = current_policy(session)
    statement = (
        select(DatasetAsset.dataset_id, DatasetAsset.name, DatasetAsset.statistics)
        .join(DatasetRow, DatasetRow.id == DatasetAsset.dataset_id)
        .where(DatasetRow.has_statistics)
    )
    if ids is not None:
        statement = statement.where(DatasetRow.id.in_(ids))
    found: dict[str, dict[str, Any]] = {}
    for row in session.execute(statement):
        found.setdefault(row.dataset_id, {})[row.name] = shown(row.statistics, policy)
    return found


def with_statistics(entry: SearchEntry, numbers: Mapping[str, Any] | None) -> SearchEntry:
    """A dataset's entry of a search, with the statistics of each asset."""
    for asset in entry.details.get("assets", ()) if numbers else ():
        asset["statistics"] = numbers.get(asset["name"], {}) if numbers else {}
    return entry


def _check(policy: SitePolicy, names: Iterable[str]) -> None:
    if policy.statistics_epsilon is not None:
        raise Forbidden(
            "the site's policy demands noise on every number that leaves: nothing exact is published"
        )
    check_policy(policy, _question(["x"], list(names)))


def _allowed(policy: SitePolicy, name: str) -> bool:
    try:
        _check(policy, [name])
    except GridError:
        return False
    return True


def _question(columns: list[str], names: list[str]) -> Begin:
    statistics: Any = list(dict.fromkeys(names))
    return Begin(object_id=new_id(), statistics=statistics, columns=columns)


def _numbers(partial: ColumnPartial, names: Iterable[str]) -> dict[str, Any]:
    """Of one column. Variance and deviation are those of a sample (divided by n - 1)."""
    count, mean, m2 = (_first(each) for each in (partial.count, partial.mean, partial.m2))
    variance = m2 / (count - 1) if m2 is not None and count is not None and count > 1 else None
    values = {
        "count": count,
        "missing": _first(partial.missing),
        "sum": _first(partial.sum),
        "mean": mean,
        "variance": variance,
        "std": math.sqrt(variance) if variance is not None and variance >= 0 else None,
        "min": _first(partial.min),
        "max": _first(partial.max),
    }
    numbers: dict[str, Any] = {name: _finite(values[name]) for name in names}
    return {**numbers, "rows": count}


def _first(values: list[Any]) -> Any:
    return values[0] if values else None


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return value if value is None or math.isfinite(value) else None
