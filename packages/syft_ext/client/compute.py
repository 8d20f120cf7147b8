"""Your sessions of remote computation at a node (``domain.compute``)."""

from __future__ import annotations

from typing import Any

from syft_ext.client.listing import Listing
from syft_ext.display.table import size, when
from syft_ext.messages.compute import CloseSession, ListSessions, SessionList, SessionView

__all__ = ["ComputeSessions"]


class ComputeSessions(Listing[SessionView]):
    """ComputeSessions hold the values of remote objects; one opens by itself when you send or load something.

    Closing one frees what it holds; objects of the store stay.
    """

    title = "Sessions"
    headings = ("environment", "actions", "values", "memory", "limit", "opened", "id")

    def _fetch(self) -> list[SessionView]:
        reply: SessionList = self.client.call(ListSessions())
        return reply.sessions

    def close(self, session_id: str = "") -> None:
        """End one by its id, or without one all of them."""
        for view in self._fetch():
            if session_id in ("", view.session_id):
                self.client.call(CloseSession(session_id=view.session_id))

    def key(self, item: SessionView) -> tuple[str, ...]:
        return (item.session_id,)

    def row(self, item: SessionView) -> tuple[Any, ...]:
        held, limit = size(item.memory), size(item.limit)
        return (item.environment, item.done, item.values, held, limit, when(item.created_at), item.session_id)
