"""Invitations to take part in one training: for people who have no account here, and no Worker.

Whoever hosts or decides a training makes one; it is a secret in the fragment of a link, of which a Domain keeps
the hash. A key that redeems it becomes a guest of that one training, who takes part once somebody accepted them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id
from syft_ext.messages.operation import Empty, Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, SIGNED, USER
from syft_ext.messages.policy import CyclePolicy

__all__ = [
    "Attendance",
    "DecideGuest",
    "GetAttendance",
    "GuestStatus",
    "GuestView",
    "InvitationList",
    "InvitationView",
    "Invite",
    "Invited",
    "ListInvitations",
    "RedeemInvitation",
    "RevokeInvitation",
]

GuestStatus = Literal["waiting", "accepted", "refused"]
Label = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*$")]
Secret = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{43}$(?!\n)")]
"""256 bits, in URL-safe base64 without padding."""


class InvitationView(Reply):
    """An invitation; its secret was told once, to whoever made it.

    Attributes:
        label: what it is for, in the words of whoever made it.
        uses, used: how many keys may redeem it, and have.
        accepted: whoever redeems it takes part without anybody's looking.
        state: "open", "used-up", "expired" or "revoked".
        created_by: e-mail address, "" of an account that is gone. Times: seconds since the epoch.
    """

    id: str
    process_id: str
    label: str
    uses: int
    used: int
    accepted: bool
    state: Literal["open", "used-up", "expired", "revoked"]
    created_at: float
    expires_at: float
    created_by: str = ""


class Invited(Reply):
    """A fresh invitation. ``path``: of the page, with the secret in its fragment, which browsers send to nobody;
    ``address``: where the Domain's owner says that it is reached, "" where they say nothing."""

    invitation: InvitationView
    secret: str
    path: str
    address: str = ""


class GuestView(Reply):
    """Somebody who redeemed an invitation.

    Attributes:
        name: what they call themselves; anybody may say anything.
        verify_key: what they sign with: a guest is this key, in this training.
        counts: whether they are a participant where a number of them is demanded: somebody here accepted them, or
            sent them an invitation of their own, for one use.
        decided_by: e-mail address of who accepted or refused them; "" while nobody has.
    """

    id: str
    process_id: str
    invitation_id: str
    name: str
    verify_key: str
    status: GuestStatus
    counts: bool
    redeemed_at: float
    decided_at: float | None = None
    decided_by: str = ""


class InvitationList(Reply):
    """Both, newest first."""

    invitations: list[InvitationView]
    guests: list[GuestView]


class Attendance(Reply):
    """What somebody who wants to take part is to a training, and, if anything, what they may know before they do.

    Attributes:
        status: "member" (an account here, or an accepted Worker), "accepted", "waiting" or "refused" (a guest),
            "open" (anybody takes part here), or "none": of what there is, "none" learns nothing.
        training: the training's status; "" where it is not told, as all below.
        name, version: of the training. host: e-mail address of who asks, told to guests and members only.
        policy: what the site demands of its cycles now.
        report_format: how reports look. statement: who sees what of them, a sentence each, in English.
    """

    process_id: str
    status: Literal["member", "accepted", "waiting", "refused", "open", "none"]
    training: str = ""
    name: str = ""
    version: str = ""
    host: str = ""
    policy: CyclePolicy | None = None
    report_format: str = ""
    statement: list[str] = []


@operation(
    "invitations.create",
    rest="POST /federated/processes/{process_id}/invitations",
    reply=Invited,
    permission=USER,
    status=201,
)
class Invite(Message):
    """Invite people to a training that you host or decide. ``lifetime``: seconds; ``accepted``: they take part
    without anybody's looking at them, which only those may say who decide here."""

    process_id: Id
    label: Label = ""
    uses: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    lifetime: Annotated[float, msgspec.Meta(ge=60, le=366 * 86400)] = 14 * 86400.0
    accepted: bool = False


@operation(
    "invitations.list",
    rest="GET /federated/processes/{process_id}/invitations",
    reply=InvitationList,
    permission=USER,
)
class ListInvitations(Message):
    """The invitations to a training and who redeemed them; to its host and to whoever decides it."""

    process_id: Id


@operation(
    "invitations.revoke",
    rest="DELETE /federated/invitations/{invitation_id}",
    reply=Empty,
    permission=USER,
)
class RevokeInvitation(Message):
    """End an invitation; with ``guests``, those who came by it take no part any more either."""

    invitation_id: Id
    guests: bool = False


@operation(
    "invitations.decide",
    rest="POST /federated/guests/{guest_id}",
    reply=GuestView,
    permission=USER,
)
class DecideGuest(Message):
    """Accept a guest, or refuse them from now on. Its host accepts only if they manage this Domain."""

    guest_id: Id
    accept: bool


@operation(
    "invitations.redeem",
    rest="POST /federated/invitations/redeem",
    reply=Attendance,
    permission=SIGNED,
)
class RedeemInvitation(Message):
    """Become a guest of a training, as the key that signs this. Again is once. ``name``: to be recognised by."""

    secret: Secret
    name: Label = ""


@operation(
    "invitations.attendance",
    rest="GET /federated/processes/{process_id}/attendance",
    reply=Attendance,
    permission=ANYONE,
)
class GetAttendance(Message):
    """What the caller is to a training; who is nothing to it does not hear whether there is one."""

    process_id: Id
