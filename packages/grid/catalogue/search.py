"""Search: one question to every source that this node has, answered with what is published only.

A service that has things to be found registers a source when it starts::

    self.node.service(SearchService).add(ModelSource(...))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from grid.catalogue.access import NETWORK, Viewer, listed, viewer_of
from grid.node import Context, Node, Service, handles
from grid.storage.object_rows import infos_of, matching
from syft_ext.messages.datasets import SearchEntry, SearchPublished, SearchQuery, SearchResults
from syft_ext.store.objects import fold

__all__ = ["ObjectSource", "Query", "SearchService", "SearchSource"]


@dataclass(frozen=True, slots=True)
class Query:
    """A search, ready to be compared.

    Attributes:
        text: words that all must occur, whatever their case and accents.
        tags: tags that all must be there, letter by letter.
        name: the exact name, or "".
        limit: how many entries at most.
    """

    text: str
    tags: tuple[str, ...]
    name: str
    limit: int

    def matches(self, entry: SearchEntry, more: str = "") -> bool:
        """Whether an entry fits; ``more`` is published text that the entry does not show as such."""
        text = fold("\n".join((entry.name, entry.description, more, *entry.tags)))
        return (
            all(word in text for word in fold(self.text).split())
            and set(self.tags) <= set(entry.tags)
            and self.name in ("", entry.name)
        )


class SearchSource(Protocol):
    """Finds things of one kind."""

    kind: str

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        """What fits and may be found by ``viewer``, newest first, at most ``query.limit``."""


class SearchService(Service):
    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._sources: list[SearchSource] = []

    def add(self, source: SearchSource) -> None:
        self._sources.append(source)

    @handles(SearchQuery)
    def query(self, ctx: Context, message: SearchQuery) -> SearchResults:
        with self.node.db.read() as session:
            viewer = viewer_of(session, ctx.principal)
        return self._search(message, viewer)

    @handles(SearchPublished)
    def published(self, ctx: Context, message: SearchPublished) -> SearchResults:
        return self._search(message, NETWORK)

    def _search(self, message: SearchQuery | SearchPublished, viewer: Viewer) -> SearchResults:
        query = Query(message.text, tuple(message.tags), message.name, message.limit)
        entries = [
            entry
            for source in self._sources
            if message.kind in ("", source.kind)
            for entry in source.search(query, viewer)
        ]
        entries.sort(key=lambda entry: entry.created_at, reverse=True)
        return SearchResults(entries=entries[: message.limit])


class ObjectSource:
    """Objects that stand for themselves. They have no names, so a search for a name finds none."""

    kind = "object"

    def __init__(self, node: Node) -> None:
        self._node = node

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        if query.name:
            return []
        statement = matching(query.text, query.tags, None, None).where(listed(viewer, "search"))
        with self._node.db.read() as session:
            infos = infos_of(session, session.scalars(statement.limit(query.limit)).all())
        return [
            SearchEntry(
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
            for info in infos
        ]
