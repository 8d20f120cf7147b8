"""Invitations to a training, as whoever made them sees and gives them away."""

from __future__ import annotations

import io
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import segno

from syft_ext.display.table import Table, when
from syft_ext.messages.invitations import (
    DecideGuest,
    GuestView,
    InvitationList,
    Invite,
    Invited,
    ListInvitations,
    RevokeInvitation,
)
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Guests", "Invitation", "invite"]


def invite(
    client: Caller,
    process_id: str,
    label: str,
    *,
    uses: int,
    days: float,
    accepted: bool,
    address: str,
) -> Invitation:
    """Make an invitation; ``address``: of the page where people open it, "" for the Domain's own."""
    message = Invite(
        process_id=process_id, label=label, uses=uses, lifetime=days * 86400.0, accepted=accepted
    )
    invited: Invited = client.call(message)
    return Invitation(client, invited, address or invited.address or client.address)


class Invitation:
    """A fresh invitation, with its link, which is told once: whoever has it can redeem it.

    Attributes:
        view: what the Domain keeps of it.
        link: to give away; its secret stands after the ``#``, which browsers send to nobody.
    """

    def __init__(self, client: Caller, invited: Invited, address: str) -> None:
        self._client = client
        self.view = invited.invitation
        self.link = address.rstrip("/") + invited.path

    @property
    def problem(self) -> str:
        """Why browsers will not open the link as it is, "" where they will."""
        parts = urlsplit(self.link)
        if parts.scheme not in ("http", "https"):
            return f"{parts.scheme}:// is no address of a page: give the Domain's own, by address="
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            return "browsers let a page train only when it comes over https (or from localhost)"
        return ""

    def svg(self) -> str:
        """The link as a QR code, an SVG document."""
        out = io.BytesIO()
        segno.make(self.link, micro=False).save(out, kind="svg", scale=4, dark="#000", light="#fff")
        return out.getvalue().decode()

    def terminal(self) -> str:
        """The link as a QR code in lines of text, two rows of it in each."""
        out = io.StringIO()
        segno.make(self.link, micro=False).terminal(out, compact=True)
        return out.getvalue()

    def revoke(self, *, guests: bool = False) -> None:
        """End it; with ``guests``, those who came by it take no part any more either."""
        self._client.call(RevokeInvitation(invitation_id=self.view.id, guests=guests))

    def __repr__(self) -> str:
        view = self.view
        people = "one key" if view.uses == 1 else f"{view.uses} keys"
        looked = "taken part at once" if view.accepted else "accepted by somebody here first"
        lines = [f"Invitation for {people}, until {when(view.expires_at)}, {looked}:", self.link]
        return readable("\n".join([*lines, *([f"note: {self.problem}"] if self.problem else [])]), lines=True)

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(repr(self))}</pre>{self.svg().partition('?>')[2].strip()}"


class Guests:
    """Who redeemed invitations to a training, and the invitations; as of when they were asked for."""

    def __init__(self, client: Caller, process_id: str) -> None:
        self._client = client
        found: InvitationList = client.call(ListInvitations(process_id=process_id))
        self.invitations, self.guests = found.invitations, found.guests

    def accept(self, guest_id: str) -> GuestView:
        """As who decides here: let this guest take part. Compare their key with what they tell you first."""
        view: GuestView = self._client.call(DecideGuest(guest_id=guest_id, accept=True))
        return view

    def refuse(self, guest_id: str) -> GuestView:
        """They take no part, from now on."""
        view: GuestView = self._client.call(DecideGuest(guest_id=guest_id, accept=False))
        return view

    def table(self) -> Table:
        """One row for each guest, newest first."""
        labels = {each.id: each.label for each in self.invitations}
        rows = [
            (
                each.name,
                each.verify_key[:8],
                each.status,
                "yes" if each.counts else "no",
                labels.get(each.invitation_id, ""),
                when(each.redeemed_at),
                each.decided_by,
                each.id,
            )
            for each in self.guests
        ]
        headings = ("calls themselves", "key", "status", "counts", "invitation", "since", "decided by", "id")
        return Table("Guests", headings, rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
