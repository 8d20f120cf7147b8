"""Your sessions of remote computation at a node (``domain.compute``)."""

from __future__ import annotations

from typing import Any

from syft_ext.client.listing import Listing
from syft_ext.display.table import size, when
from syft_ext.messages.compute import (
    CloseComputeSession,
    ComputeSessionList,
    ComputeSessionView,
    ListComputeSessions,
)

__all__ = ["ComputeSessions"]


class ComputeSessions(Listing[ComputeSessionView]):
    """ComputeSessions hold the values of remote objects; one opens by itself when you send or load something.

    Closing one frees what it holds; objects of the store stay.
    """

    title = "Sessions"
    headings = ("environment", "actions", "values", "memory", "limit", "opened", "id")

    def _fetch(self) -> list[ComputeSessionView]:
        reply: ComputeSessionList = self.client.call(ListComputeSessions())
        return reply.sessions

    def close(self, session_id: str = "") -> None:
        """End one by its id, or without one all of them."""
        views = self._fetch()
        for view in [self.choose(views, session_id)] if session_id else views:
            self.client.call(CloseComputeSession(session_id=view.session_id))

    def key(self, item: ComputeSessionView) -> tuple[str, ...]:
        return (item.session_id,)

    def row(self, item: ComputeSessionView) -> tuple[Any, ...]:
        held, limit = size(item.memory), size(item.limit)
        return (item.environment, item.done, item.values, held, limit, when(item.created_at), item.session_id)
