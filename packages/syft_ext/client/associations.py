"""The associations of a node, in both directions (PyGrid 0.5: ``.association_requests``)."""

from __future__ import annotations

from typing import Any

from syft_ext.client.listing import Listing
from syft_ext.display.table import when
from syft_ext.messages.network import (
    AcceptAssociation,
    AssociationList,
    AssociationStatus,
    AssociationView,
    DeleteAssociation,
    DenyAssociation,
    GetAssociation,
    ListAssociations,
    RequestAssociation,
)

__all__ = ["Associations"]


class Associations(Listing[AssociationView]):
    """Who asked this node to associate, and whom it asked.

    ``which`` is an association's id, or the id, the name or the address of the other node.
    """

    title = "Associations"
    headings = ("name", "kind", "direction", "status", "address", "online", "since", "id")

    def _fetch(self) -> list[AssociationView]:
        return self.search()

    def search(self, status: AssociationStatus | None = None) -> list[AssociationView]:
        """Those in one state: pending, accepted, denied or revoked; the newest first."""
        reply: AssociationList = self.client.call(ListAssociations(status=status))
        return reply.associations

    def get(self, association_id: str) -> AssociationView:
        """By the whole id. Raises :class:`~syft_ext.errors.NotFound`."""
        view: AssociationView = self.client.call(GetAssociation(association_id=association_id))
        return view

    def request(self, address: str, *, verify_key: str = "", note: str = "") -> AssociationView:
        """Ask the node at ``address`` to associate with this one: a Domain a Network, for instance.

        ``verify_key`` is the key that must answer there, if you know it.
        """
        message = RequestAssociation(address=address, verify_key=verify_key, note=note)
        view: AssociationView = self.client.call(message, timeout=60.0)
        return view

    def accept(self, which: str) -> AssociationView:
        """Accept a node that asked."""
        found: AssociationView = self.client.call(AcceptAssociation(association_id=self._id(which)))
        return found

    def deny(self, which: str, reason: str = "") -> AssociationView:
        """Deny a node that asked; ``reason`` is what it is told."""
        message = DenyAssociation(association_id=self._id(which), reason=reason)
        found: AssociationView = self.client.call(message)
        return found

    def delete(self, which: str, reason: str = "") -> None:
        """End an association, or forget a request: from now on the other node is a stranger."""
        self.client.call(DeleteAssociation(association_id=self._id(which), reason=reason))

    def _id(self, which: str) -> str:
        return self[which].association_id

    def key(self, item: AssociationView) -> tuple[str, ...]:
        return (item.association_id, item.node_id, item.address, item.name)

    def row(self, item: AssociationView) -> tuple[Any, ...]:
        since = when(item.decided_at or item.created_at)
        return (
            item.name,
            item.kind,
            item.direction,
            item.status,
            item.address,
            item.online,
            since,
            item.association_id,
        )
