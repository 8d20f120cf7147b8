"""Grants: what an owner or reviewer allows one user beyond the lists, with conditions."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id, Limit, Offset, Size
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.messages.vocabulary import Scope

__all__ = ["CreateGrant", "GrantList", "GrantView", "ListGrants", "RevokeGrant"]

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=10 * 366 * 86_400)]
_Uses = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


class GrantView(Reply):
    """A grant.

    Attributes:
        scope: read (which includes the others), compute, statistics or plan: to run an approved one.
        state: live, expired, used up or revoked.
        plan_id, inputs: which plan, and what each input of it is given.
        uses_left, max_output_bytes, expires_at: None where there is no such condition.
    """

    id: str
    scope: str
    object_id: str
    user_id: str
    granted_by: str
    created_at: float
    expires_at: float | None
    uses_left: int | None
    max_output_bytes: int | None
    revoked_at: float | None
    state: str
    plan_id: str = ""
    inputs: list[str] = []


class GrantList(Reply):
    """Newest first."""

    grants: list[GrantView]


@operation("grants.create", rest="POST /grants", reply=GrantView, permission=USER, status=201)
class CreateGrant(Message):
    """Allow a user something with an object: its owner may, and whoever may triage requests (not for themselves).

    Attributes:
        expires_in: seconds from now; None: until it is revoked.
        uses: how often: downloads, or analyses; None: as often as they like.
        max_output_bytes: largest content that may be downloaded at once.
    """

    object_id: Id
    user_id: Id
    scope: Scope
    expires_in: _Seconds | None = None
    uses: _Uses | None = None
    max_output_bytes: Size | None = None


@operation("grants.list", rest="GET /grants", reply=GrantList, permission=USER)
class ListGrants(Message):
    """The grants that you have or may decide on; only those on ``object_id``, if it is given."""

    object_id: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$(?!\n)")] = ""
    limit: Limit = 100
    offset: Offset = 0


@operation("grants.revoke", rest="DELETE /grants/{grant_id}", reply=GrantView, permission=USER, status=200)
class RevokeGrant(Message):
    """End a grant: the very next operation that rests on it is refused. Who might have given it may."""

    grant_id: Id
