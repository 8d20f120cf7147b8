"""The associations of a node, in both directions (PyGrid 0.5: ``.association_requests``)."""

from __future__ import annotations

from typing import Any

from syft_ext.client.listing import Listing
from syft_ext.display.table import when
from syft_ext.errors import NotFound
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

    ``which`` is an association's id, or the id, the name or the address of the other node, or how an id begins.
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
        """Accept a node that asked. Where another one that waits, or was accepted, is called so too,
        :class:`~syft_ext.errors.Ambiguous` is raised, and none is accepted: names are for strangers to choose."""
        found: AssociationView = self.client.call(AcceptAssociation(association_id=self._waiting(which)))
        return found

    def deny(self, which: str, reason: str = "") -> AssociationView:
        """Deny a node that asked; ``reason`` is what it is told."""
        message = DenyAssociation(association_id=self._waiting(which), reason=reason)
        found: AssociationView = self.client.call(message)
        return found

    def delete(self, which: str, reason: str = "") -> None:
        """End an association, or forget a request: from now on the other node is a stranger."""
        self.client.call(DeleteAssociation(association_id=self[which].association_id, reason=reason))

    def _waiting(self, which: str) -> str:
        """The id of the one that asked and is called so: who was turned away is not in the way of who waits."""
        views = self.all()
        asked = [
            each for each in views if each.direction == "incoming" and each.status in ("pending", "accepted")
        ]
        try:
            return self.choose(asked, which).association_id
        except NotFound:
            return self.choose(views, which).association_id

    def key(self, item: AssociationView) -> tuple[str, ...]:
        return (item.association_id, item.node_id, item.address, item.name)

    def told_apart(self, item: AssociationView) -> str:
        return f"{item.kind} {item.node_id[:8]}… at {item.address}, {item.status}"

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
