"""Statistics of single columns that an owner lets everybody see who sees the schema.

They are computed by the machinery that answers scientists (:mod:`grid.statistics`), under the same policy and from
the same ledger, and the policy of the moment is looked at again whenever they are shown: what it no longer
allows is gone at once. Numbers of a guarded table carry noise, unless its owner gives their word for exact
ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.concurrency.offload import offload
from grid.statistics.first_round import FirstRound
from grid.statistics.guarded.desk import Asking, GuardedDesk
from grid.statistics.guarded.questions import question_of
from grid.statistics.guarded.schema import said_of
from grid.statistics.guarded.terms import Terms, terms_of
from grid.statistics.rules import check_policy
from grid.statistics.sweep import Opened
from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import GridError
from syft_ext.ids import new_id
from syft_ext.messages.datasets import Column, SearchEntry
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, ColumnPartial, Partials

__all__ = ["Computing", "compute", "published_statistics", "shown", "ticked", "with_statistics"]

Ticked = Mapping[str, list[str]]
_AT_ONCE = 256  # columns of one reading


def ticked(statistics: Mapping[str, Any]) -> dict[str, list[str]]:
    """What an asset's owner ticked: column → statistics."""
    return {column: list(names) for column, names in statistics.get("ticked", {}).items()}


@dataclass(frozen=True, slots=True)
class Computing:
    """The content that statistics are computed of, for its owner.

    Attributes:
        policy: the site's, which is looked at again before anything is kept.
        desk, authorise: who answers where the table is guarded, and what is looked at again when that is paid for.
    """

    blobs: BlobStore
    object_id: str
    digest: str
    kind: str
    policy: SitePolicy
    owner_id: str
    schemas: Sequence[Sequence[Column]]
    desk: GuardedDesk
    authorise: Callable[[Session], None]


def compute(computing: Computing, wanted: Ticked, *, exact: bool) -> dict[str, Any]:
    """The document of what is ticked: the numbers, by column; with them each column's count, as "rows".

    Reads the columns beside the event loop. Raises :class:`Forbidden` for what the policy does not allow,
    or what the table's ledger has too little left for, and :class:`BadRequest` for a column that is not
    there.

    Args:
        exact: exact numbers of a guarded table, on its owner's word.
    """
    names = sorted({name for column in wanted.values() for name in column})
    terms = terms_of(computing.policy)
    document: dict[str, Any] = {"ticked": dict(wanted), "found": {}}
    if not names:
        return document
    check_policy(computing.policy, _question(["x"], names), guarded=terms is not None)
    if terms is not None:
        document |= {"word": True} if exact else {"base": terms.base}
    with offload(Opened, computing.blobs, computing.digest, computing.kind) as opened:
        columns = [column for name in wanted for column in opened.table.take([name])]
        by_rows = defaultdict(list)
        for column in columns:
            by_rows[column.rows].append(column.name)
        for together in by_rows.values():
            for start in range(0, len(together), _AT_ONCE):
                message = _question(together[start : start + _AT_ONCE], ["count", *names])
                if terms is None or exact:
                    partials = FirstRound(opened, message).run()
                else:
                    partials = _guarded(computing, opened, message, terms)
                for each in partials.columns:
                    document["found"][each.name] = _numbers(each, wanted[each.name])
    return document


def _guarded(computing: Computing, opened: Opened, message: Begin, terms: Terms) -> Partials:
    """Charged to the table's ledger, and to no budget of its owner's."""
    said = said_of(computing.schemas, opened.table, opened.table.take(message.columns))
    return computing.desk.begin(
        Asking(
            object_id=computing.object_id,
            digest=computing.digest,
            user_id=computing.owner_id,
            question=question_of(message, opened.table, said),
            terms=replace(terms, epsilon=0.0),
            opened=opened,
            authorise=computing.authorise,
            spend=lambda session: None,
            what=f"published: {', '.join(message.statistics)} of {', '.join(message.columns)}",
        )
    )


def shown(statistics: Mapping[str, Any], policy: SitePolicy) -> dict[str, dict[str, float | None]]:
    """Of what is ticked and computed, what the policy lets be seen now.

    Where it guards tables, numbers are seen that carry at least the noise that it demands now, and exact ones that
    their owner published on their own word; those that were computed when it did not guard them are gone.
    """
    found: dict[str, dict[str, float | None]] = {}
    terms = terms_of(policy)
    if terms is not None and not _covers(statistics, terms):
        return found
    for column, numbers in statistics.get("found", {}).items():
        rows = numbers.get("rows")
        if rows is None or (terms is not None and rows < terms.fewest):
            continue
        allowed = [name for name in numbers if name != "rows" and _allowed(policy, name)]
        if allowed:
            found[column] = {name: numbers[name] for name in allowed}
    return found


def _covers(statistics: Mapping[str, Any], terms: Terms) -> bool:
    base = statistics.get("base")
    return bool(statistics.get("word")) or (base is not None and base >= terms.base)


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


def _allowed(policy: SitePolicy, name: str) -> bool:
    try:
        check_policy(policy, _question(["x"], [name]), guarded=terms_of(policy) is not None)
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
