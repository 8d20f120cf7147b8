"""What associated Networks may find, ready in memory: a search over many Domains asks each of them every time.

Everybody who asks for a Network is told the same. The index is good as long as the catalogue's revision and the
site's policy are those that it was read at; both are looked up for each search, in the database, so that it holds
for several replicas and what is no longer published is gone with the commit. Large catalogues have no index: the
database answers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from grid.access.tables import PolicyRow
from grid.access.viewer import NETWORK
from grid.catalogue.column_statistics import published_statistics, with_statistics
from grid.catalogue.search import Entries, Query
from grid.catalogue.tables import CatalogueRevision, DatasetColumn, DatasetRow
from grid.catalogue.visibility import findable
from grid.storage.sql.cache import CommitScopedCache
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.messages.datasets import SearchEntry

__all__ = ["Hits", "PublishedIndex", "changed"]

MAX_DATASETS = 5_000
_ANSWERS = 256  # searches that are remembered until something changes

_STATE = PreparedStatement(
    select(
        CatalogueRevision.revision,
        select(PolicyRow.document).where(PolicyRow.id == 1).scalar_subquery().label("policy"),
    ).where(CatalogueRevision.id == 1)
)
_decode = msgspec.msgpack.Decoder(SearchEntry).decode
State = tuple[Any, ...]  # the revision, and the policy as the driver gives it


@dataclass(frozen=True, slots=True)
class _Indexed:
    row: Any
    text: str
    entry: SearchEntry
    tags: frozenset[str]
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hits:
    """Rows (owner_id, published) and their entries, with statistics and without owners, newest first."""

    rows: list[Any]
    entries: Entries


class _Index:
    """Datasets, newest first, and which of them have which word.

    A word of a search fits wherever it is part of a word: it is looked for in all different words at once, which
    are far fewer than the words of all texts.
    """

    def __init__(self, datasets: Sequence[_Indexed]) -> None:
        self.datasets = datasets
        having: dict[str, list[int]] = {}
        for number, each in enumerate(datasets):
            for word in set(each.text.split()):
                having.setdefault(word, []).append(number)
        self._having = list(having.values())
        self._words = "\n".join(having)
        self._starts = [0, *accumulate(len(word) + 1 for word in having)]

    def with_word(self, word: str) -> list[_Indexed]:
        """The datasets in whose text ``word``, which has no white space, occurs; in their order."""
        numbers: set[int] = set()
        at = self._words.find(word)
        while at >= 0:
            place = bisect_right(self._starts, at)
            numbers.update(self._having[place - 1])
            at = self._words.find(word, self._starts[place])
        return [self.datasets[number] for number in sorted(numbers)]


def changed(session: Session) -> None:
    """Say that something of the catalogue changed, in the transaction that changes it."""
    session.execute(
        update(CatalogueRevision)
        .where(CatalogueRevision.id == 1)
        .values(revision=CatalogueRevision.revision + 1)
    )


class PublishedIndex:
    """Answers searches of Networks from memory; what it holds is valid until something of it is committed."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known = CommitScopedCache(db)
        self._state: State | None = None
        self._indexed: _Index | None = None
        self._answers: OrderedDict[Query, Hits] = OrderedDict()

    def search(self, query: Query) -> Hits | None:
        """What fits; None when there is no index, and the database has to be asked."""
        if self._known.get(_STATE, self._now) != self._state:
            self._load()
        indexed, answers = self._indexed, self._answers
        if indexed is None:
            return None
        found = answers.get(query)
        if found is None:
            found = answers[query] = _select(indexed, query)
            if len(answers) > _ANSWERS:
                answers.popitem(last=False)
        return found

    def _now(self) -> State:
        return tuple(self._db.query(_STATE).first())

    def _load(self) -> None:
        """One snapshot of the database, with the state that it was read at."""
        with self._db.read() as session:
            state = tuple(_STATE.run(session.connection()).first())
            public = select(func.count()).select_from(DatasetRow).where(findable(NETWORK))
            few = (session.scalar(public) or 0) <= MAX_DATASETS
            indexed = _Index(_read(session)) if few else None
        self._indexed, self._answers = indexed, OrderedDict()
        self._state = state


def _read(session: Session) -> list[_Indexed]:
    statement = (
        select(
            DatasetRow.id,
            DatasetRow.owner_id,
            DatasetRow.name,
            DatasetRow.search_text,
            DatasetRow.entry,
            DatasetRow.published,
            DatasetRow.published_bytes,
            DatasetRow.published_rows,
        )
        .where(findable(NETWORK))
        .order_by(DatasetRow.created_at.desc(), DatasetRow.id)
    )
    numbers = published_statistics(session, None)
    columns: dict[str, set[str]] = {}
    for dataset_id, name in session.execute(select(DatasetColumn.dataset_id, DatasetColumn.name)):
        columns.setdefault(dataset_id, set()).add(name)
    found = []
    for row in session.execute(statement):
        entry = with_statistics(_decode(row.entry), numbers.get(row.id))
        tags, names = frozenset(entry.tags), frozenset(columns.get(row.id, ()))
        found.append(_Indexed(row, row.search_text, entry, tags, names))
    return found


def _select(index: _Index, query: Query) -> Hits:
    """One condition after the other, each over what the ones before have left: most searches end with few."""
    words = query.words
    found: Sequence[_Indexed] = index.with_word(words.pop(0)) if words else index.datasets
    for tag in query.tags:
        found = [each for each in found if tag in each.tags]
    for column in query.columns:
        found = [each for each in found if column in each.columns]
    for word in words:
        found = [each for each in found if word in each.text]
    if query.name:
        found = [each for each in found if each.row.name == query.name]
    if not query.fits(None, None):  # it has bounds
        found = [each for each in found if query.fits(each.row.published_bytes, each.row.published_rows)]
    found = found[: query.limit]
    return Hits([each.row for each in found], Entries(each.entry for each in found))
