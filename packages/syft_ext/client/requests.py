"""Requests at a Domain (``domain.requests``): ask for access, and decide on what others ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from syft_ext.client.display import Table, fields_table, when
from syft_ext.client.listing import Listing
from syft_ext.errors import DeadlineExceeded
from syft_ext.messages import requests as m

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient

__all__ = ["DataRequest", "Requests"]

_PAGE = 1000
_WAIT = 30.0


class DataRequest:
    """One request: its author waits or withdraws, a reviewer approves, denies or revokes."""

    def __init__(self, client: NodeClient, view: m.RequestView) -> None:
        self.client, self.view = client, view

    @property
    def id(self) -> str:
        return self.view.id

    @property
    def state(self) -> str:
        """As of the last call; ``refresh()`` asks again."""
        return self.view.state

    def refresh(self) -> DataRequest:
        return self._call(m.GetRequest(request_id=self.id))

    def approve(
        self,
        reason: str = "",
        *,
        expires_in: float | None = None,
        uses: int | None = None,
        max_output_bytes: int | None = None,
    ) -> DataRequest:
        """Approve it under conditions: seconds, downloads or analyses, bytes of one download."""
        message = m.ApproveRequest(
            request_id=self.id,
            reason=reason,
            expires_in=expires_in,
            uses=uses,
            max_output_bytes=max_output_bytes,
        )
        return self._call(message)

    accept = approve

    def deny(self, reason: str = "") -> DataRequest:
        return self._call(m.DenyRequest(request_id=self.id, reason=reason))

    def revoke(self) -> DataRequest:
        """Take the approval back: the very next operation that rests on it is refused."""
        return self._call(m.RevokeRequest(request_id=self.id))

    def withdraw(self) -> DataRequest:
        return self._call(m.WithdrawRequest(request_id=self.id))

    def wait(self, timeout: float = 600.0) -> DataRequest:
        """Wait for a decision. Raises :class:`~syft_ext.errors.DeadlineExceeded` when none came in time."""
        left = timeout
        while left > 0:
            self._call(m.GetRequest(request_id=self.id, wait=min(left, _WAIT)), timeout=_WAIT + 30.0)
            if self.state != "pending":
                return self
            left -= _WAIT
        raise DeadlineExceeded(f"nobody decided within {timeout:g} s", seconds=timeout)

    def _call(self, message: Any, *, timeout: float | None = None) -> DataRequest:
        self.view = self.client.call(message, timeout=timeout)
        return self

    def table(self) -> Table:
        view = self.view
        said = [
            f"{'approved' if d.approved else 'denied'} by {d.name or d.reviewer}: {d.reason}"
            for d in view.decisions
        ]
        fields = [
            ("id", view.id),
            ("from", view.user),
            ("asks to", f"{view.scope} {view.object or view.object_id}"),
            ("reason", view.reason),
            ("state", view.state),
            ("reviewers needed", view.needed),
            ("decisions", said),
            ("made", when(view.created_at)),
        ]
        return fields_table(f"Request at {self.client.name}", fields)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Requests(Listing[DataRequest]):
    """Your requests, and those that you may decide on, newest first."""

    title = "Requests"
    headings = ("from", "scope", "object", "reason", "state", "made", "id")

    def _fetch(self) -> list[DataRequest]:
        return self.in_state("")

    def in_state(
        self, state: Literal["", "pending", "approved", "denied", "withdrawn", "revoked"]
    ) -> list[DataRequest]:
        found: list[DataRequest] = []
        while True:
            message = m.ListRequests(state=state, limit=_PAGE, offset=len(found))
            page: m.RequestList = self.client.call(message)
            found += [DataRequest(self.client, view) for view in page.requests]
            if len(page.requests) < _PAGE:
                return found

    def create(
        self, object_id: str, reason: str = "", scope: Literal["read", "compute", "statistics"] = "read"
    ) -> DataRequest:
        """Ask to read an object that you may find, or to have statistics of it."""
        message = m.CreateRequest(object_id=object_id, scope=scope, reason=reason)
        return DataRequest(self.client, self.client.call(message))

    def get(self, request_id: str) -> DataRequest:
        return DataRequest(self.client, self.client.call(m.GetRequest(request_id=request_id)))

    def key(self, item: DataRequest) -> tuple[str, ...]:
        return (item.id,)

    def row(self, item: DataRequest) -> tuple[Any, ...]:
        view = item.view
        what = view.object or view.object_id
        return (view.user, view.scope, what, view.reason, view.state, when(view.created_at), view.id)
