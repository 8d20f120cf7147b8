"""Quotas: how much each user may keep at a Domain, and how much they do."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Name, Size
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER, flag

__all__ = [
    "ListQuotas",
    "MyQuotas",
    "QuotaName",
    "QuotaOrigin",
    "QuotaSetting",
    "QuotaSettings",
    "QuotaUse",
    "QuotaView",
    "QuotasOf",
    "SetQuotas",
]

QuotaName = Literal[
    "stored_bytes",
    "objects",
    "object_bytes",
    "uploads",
    "upload_bytes",
    "trainings",
    "training_bytes",
    "plans",
    "plan_bytes",
    "datasets",
    "pending_requests",
]
QuotaOrigin = Literal["default", "everybody", "role", "user"]
_SETTINGS = flag("can_edit_settings")


class QuotaUse(msgspec.Struct, kw_only=True, frozen=True):
    """One quota of a user.

    Attributes:
        name: what is counted. Bytes (``…_bytes``) of objects (mocks and kept results too), of uploads that have
            not become an object (as announced), of trainings (plans, protocols, models, what strategies keep, and
            the model that the cycle now running will make), and of plans sent for review; ``stored_bytes``: of all
            of them together. Else how many there are.
        used: how much there is now.
        limit: how much there may be; None: no limit.
        set_for: whom it was set for; "default": nobody set it.
    """

    name: QuotaName
    used: int
    limit: int | None
    set_for: QuotaOrigin


class QuotaView(Reply):
    """The quotas of a user, and what they keep."""

    user_id: str
    quotas: list[QuotaUse]


class QuotaSetting(msgspec.Struct, kw_only=True, frozen=True):
    """A quota as it was set: for everybody, for a role (by its name), or for a user. ``limit`` None: no limit."""

    name: QuotaName
    limit: int | None
    set_for: QuotaOrigin
    user_id: str = ""
    email: str = ""
    role: str = ""


class QuotaSettings(Reply):
    """All quotas that were set; what is not among them has its default."""

    quotas: list[QuotaSetting]


@operation("quotas.mine", rest="GET /users/me/quotas", reply=QuotaView, permission=USER)
class MyQuotas(Message):
    """How much you may keep here, and how much you do."""


@operation(
    "quotas.of",
    rest="GET /users/{user_id}/quotas",
    reply=QuotaView,
    permission=flag("can_triage_requests"),
)
class QuotasOf(Message):
    """How much a user may keep here, and how much they do."""

    user_id: Id


@operation("quotas.list", rest="GET /quotas", reply=QuotaSettings, permission=_SETTINGS)
class ListQuotas(Message):
    """The quotas that were set, for everybody, for roles and for users."""


@operation("quotas.set", rest="PUT /quotas", reply=QuotaSettings, permission=_SETTINGS)
class SetQuotas(Message):
    """Set quotas for a user, for a role, or for everybody (neither is given); they act at once.

    A user's go before their role's, and those before everybody's. What is kept already stays.

    Attributes:
        values: by name; null: no limit.
        reset: names whose setting is taken back.
    """

    values: dict[QuotaName, Size | None] = {}
    reset: Annotated[list[QuotaName], msgspec.Meta(max_length=32)] = []
    user_id: Id | None = None
    role: Name | None = None
