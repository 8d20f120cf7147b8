"""Makers' lists of revoked certificates that a key host's operator gives it, beside those within evidence."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import flag

__all__ = [
    "DropRevocationList",
    "KeepRevocationList",
    "ListRevocationLists",
    "RevocationListView",
    "RevocationListing",
]

_OPERATOR = flag("can_manage_infrastructure")


class RevocationListView(msgspec.Struct, kw_only=True):
    """The newest list of an issuer, how many certificates it revokes, and when it is from, until when it is the
    newest by what it says itself, and since when it is here; seconds since the epoch."""

    issuer: str
    entries: int
    not_before: int
    not_after: int
    added_at: int


class RevocationListing(Reply):
    """By issuer."""

    lists: list[RevocationListView]


@operation(
    "key_host.revocation_lists",
    rest="GET /key-host/revocation-lists",
    reply=RevocationListing,
    permission=_OPERATOR,
)
class ListRevocationLists(Message):
    """Makers' lists of revoked certificates that the operator gave this host."""


@operation(
    "key_host.keep_revocation_list",
    rest="POST /key-host/revocation-lists",
    reply=RevocationListing,
    permission=_OPERATOR,
    max_bulk=1 << 20,
)
class KeepRevocationList(Message):
    """Hold all evidence against a maker's list from now on, at appraisals, grants and releases.

    ``content``: DER or PEM, of AMD or Intel; of each issuer the newest is kept."""

    content: bytes


@operation(
    "key_host.drop_revocation_list",
    rest="DELETE /key-host/revocation-lists/{issuer}",
    reply=RevocationListing,
    permission=_OPERATOR,
)
class DropRevocationList(Message):
    """Forget the list of ``issuer``: what lies beside evidence counts alone again."""

    issuer: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[ -~]+$(?!\n)")]
