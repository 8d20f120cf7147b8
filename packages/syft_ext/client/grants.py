"""Grants at a Domain: what was allowed to whom, with conditions (``domain.grants``)."""

from __future__ import annotations

from typing import Any

from syft_ext.client.listing import Listing
from syft_ext.client.people import Users
from syft_ext.display.table import Table, short_ids, when
from syft_ext.messages.grants import CreateGrant, GrantList, GrantView, ListGrants, RevokeGrant
from syft_ext.messages.vocabulary import Scope

__all__ = ["Grants"]

_PAGE = 1000


class Grants(Listing[GrantView]):
    """The grants that you have, or may decide on, newest first."""

    title = "Grants"
    headings = ("scope", "object", "user", "state", "uses left", "expires", "most bytes", "id")
    shortened = ("object", "user")

    def _fetch(self) -> list[GrantView]:
        return self.on("")

    def on(self, object_id: str) -> list[GrantView]:
        """Those on one object."""
        grants: list[GrantView] = []
        while True:
            message = ListGrants(object_id=object_id, limit=_PAGE, offset=len(grants))
            page: GrantList = self.client.call(message)
            grants += page.grants
            if len(page.grants) < _PAGE:
                return grants

    def create(
        self,
        object_id: str,
        user_id: str,
        scope: Scope,
        *,
        expires_in: float | None = None,
        uses: int | None = None,
        max_output_bytes: int | None = None,
    ) -> GrantView:
        """Allow a user to read an object of yours, or to have statistics of it.

        Args:
            user_id: their id; whoever may list users can name them by e-mail address.
            expires_in: seconds. uses: downloads, or analyses. max_output_bytes: of one download.
        """
        message = CreateGrant(
            object_id=object_id,
            user_id=Users(self.client).id_of(user_id),
            scope=scope,
            expires_in=expires_in,
            uses=uses,
            max_output_bytes=max_output_bytes,
        )
        grant: GrantView = self.client.call(message)
        return grant

    def revoke(self, grant_id: str) -> GrantView:
        """End it: the very next operation that rests on it is refused."""
        grant: GrantView = self.client.call(RevokeGrant(grant_id=self.id_of(grant_id)))
        return grant

    def key(self, item: GrantView) -> tuple[str, ...]:
        return (item.id,)

    def table(self, items: list[GrantView] | None = None) -> Table:
        """With e-mail addresses in the place of ids, as far as you may know them."""
        found = self.all() if items is None else items
        known = Users(self.client).addresses() if found else {}
        rows = [
            [
                known.get(cell, short_ids(cell)) if heading in self.shortened else cell
                for heading, cell in cells
            ]
            for cells in (zip(self.headings, self.row(item), strict=True) for item in found)
        ]
        return Table(f"{self.title} at {self.client.name}", self.headings, rows)

    def row(self, item: GrantView) -> tuple[Any, ...]:
        expires = "" if item.expires_at is None else when(item.expires_at)
        uses = "" if item.uses_left is None else item.uses_left
        most = "" if item.max_output_bytes is None else item.max_output_bytes
        return (item.scope, item.object_id, item.user_id, item.state, uses, expires, most, item.id)
