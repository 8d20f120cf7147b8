"""Search: one question to every source that this node has, answered with what is published only.

A service that has things to be found registers a source when it starts::

    offer(self.node, ModelSearch(...))
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

import blake3
import msgspec
from sqlalchemy import ColumnElement, Select

from grid.access.conditions import searchable
from grid.access.viewer import NETWORK, Viewer, viewer_of
from grid.node import Context, Node, Service, ServiceNode, handles
from grid.storage.objects.rows import infos_of, matching
from grid.storage.objects.tables import ObjectRow
from syft_ext.messages.datasets import (
    PublishedResults,
    SearchEntry,
    SearchPublished,
    SearchQuery,
    SearchResults,
)
from syft_ext.messages.vocabulary import SearchTerms, terms_of
from syft_ext.store.objects import ObjectInfo, fold

__all__ = ["Entries", "ObjectSearch", "Query", "SearchService", "SearchSource", "folded_column", "offer"]

_PAGE = 500
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search, ready to be compared.

    Attributes:
        text: words that all must occur, whatever their case and accents.
        tags: tags that all must be there, letter by letter.
        columns: folded names of columns that all must be there.
        name: the exact name, or "".
        min_bytes, max_bytes, min_rows, max_rows: bounds of what is published; what is not, fits none.
        limit: how many entries at most.
    """

    text: str = ""
    tags: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    name: str = ""
    min_bytes: int | None = None
    max_bytes: int | None = None
    min_rows: int | None = None
    max_rows: int | None = None
    limit: int = 100

    @property
    def words(self) -> list[str]:
        """The words of ``text``, folded as what they are compared with."""
        return fold(self.text).split()

    def matches(self, entry: SearchEntry, more: str = "") -> bool:
        """Whether an entry fits by text, tags and name; ``more`` is published text that it does not show."""
        text = fold("\n".join((entry.name, entry.description, more, *entry.tags)))
        return (
            all(word in text for word in self.words)
            and set(self.tags) <= set(entry.tags)
            and self.name in ("", entry.name)
        )

    def fits(self, size: int | None, rows: int | None) -> bool:
        """Whether something of so many bytes and rows fits; None is "not said"."""
        return _within(size, self.min_bytes, self.max_bytes) and _within(rows, self.min_rows, self.max_rows)


def _within(value: int | None, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or low <= value) and (high is None or value <= high)


def query_of(message: SearchTerms) -> Query:
    """The query that a message asks, with the names of columns folded."""
    terms = terms_of(message)
    folded = tuple(folded_column(name) for name in message.columns)
    return Query(**{**terms, "tags": tuple(message.tags), "columns": folded})


def folded_column(name: str) -> str:
    """The form in which names of columns are compared: as much of it as an index takes."""
    return fold(name)[:255]


class Entries(list[SearchEntry]):
    """What was found. It is not changed any more: searches share it."""

    @cached_property
    def digest(self) -> bytes:
        """BLAKE3 of the entries' msgpack."""
        return blake3.blake3(_encode(self)).digest()


class SearchSource(Protocol):
    """Finds things of one kind."""

    kind: str

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        """What fits and may be found by ``viewer``, newest first, at most ``query.limit``."""


class SearchService(Service):
    """Asks every source that was offered; what users find and what Networks find are two operations."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._sources: list[SearchSource] = []

    def add(self, source: SearchSource) -> None:
        """Ask this source too from now on; see :func:`offer`."""
        self._sources.append(source)

    @handles(SearchQuery)
    def query(self, ctx: Context, message: SearchQuery) -> SearchResults:
        with self.node.db.read() as session:
            viewer = viewer_of(session, ctx.principal)
        kinds = {message.kind} if message.kind else set()
        return SearchResults(entries=self._search(message, viewer, kinds))

    @handles(SearchPublished)
    def published(self, ctx: Context, message: SearchPublished) -> PublishedResults:
        entries = self._search(message, NETWORK, set(message.kinds))
        if entries.digest == message.known:
            return PublishedResults(entries=[], digest=entries.digest, unchanged=True)
        return PublishedResults(entries=entries, digest=entries.digest)

    def _search(
        self, message: SearchQuery | SearchPublished, viewer: Viewer, kinds: Collection[str]
    ) -> Entries:
        query = query_of(message)
        answers = [
            found
            for source in self._sources
            if (not kinds or source.kind in kinds) and (found := source.search(query, viewer))
        ]
        if len(answers) == 1:  # in order, and no longer than the limit
            return answers[0] if isinstance(answers[0], Entries) else Entries(answers[0])
        entries = sorted(chain.from_iterable(answers), key=lambda entry: entry.created_at, reverse=True)
        return Entries(entries[: message.limit])


def offer(node: ServiceNode, source: SearchSource) -> None:
    """Let the node's search find what ``source`` has. A node that offers no search has nobody to find it."""
    for service in node.services:
        if isinstance(service, SearchService):
            service.add(source)


class ObjectSearch:
    """Objects that stand for themselves. They have no names, so a search for a name finds none."""

    kind = "object"

    def __init__(self, node: ServiceNode) -> None:
        self._node = node

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        """Objects that fit, newest first. They have no name and no columns, and so none fits a query for these."""
        if query.name or query.columns:
            return []
        statement = matching(query.text, query.tags, None, None).where(
            searchable(viewer), *_sizes(query, ObjectRow.size)
        )
        by_rows = query.min_rows is not None or query.max_rows is not None
        if by_rows:  # which are a number in a list, in the database
            return self._by_rows(statement, query)
        with self._node.db.read() as session:
            infos = infos_of(session, session.scalars(statement.limit(query.limit)).all())
        return [_object_entry(info) for info in infos]

    def _by_rows(self, statement: Select[str], query: Query) -> list[SearchEntry]:
        found: list[SearchEntry] = []
        with self._node.db.read() as session:
            for page in session.scalars(statement.where(ObjectRow.shape.is_not(None))).partitions(_PAGE):
                infos = infos_of(session, page)
                found += [
                    _object_entry(info)
                    for info in infos
                    if info.shape and query.fits(info.size, info.shape[0])
                ]
                if len(found) >= query.limit:
                    break
        return found[: query.limit]


def _sizes(query: Query, size: Any) -> list[ColumnElement[bool]]:
    bounds = []
    if query.min_bytes is not None:
        bounds.append(size >= query.min_bytes)
    if query.max_bytes is not None:
        bounds.append(size <= query.max_bytes)
    return bounds


def _object_entry(info: ObjectInfo) -> SearchEntry:
    return SearchEntry(
        kind="object",
        id=info.id,
        name="",
        description=info.description,
        tags=list(info.tags),
        created_at=info.created_at,
        details={
            "kind": info.kind,
            "size": info.size,
            "dtype": info.dtype,
            "shape": None if info.shape is None else list(info.shape),
        },
    )
