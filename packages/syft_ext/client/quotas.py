"""Quotas at a Domain (``domain.quotas``): how much users may keep there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from syft_ext.client.people import Users
from syft_ext.display.table import Table, size
from syft_ext.errors import BadRequest
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.quotas import (
    ListQuotas,
    MyQuotas,
    QuotaSetting,
    QuotaSettings,
    QuotasOf,
    QuotaUse,
    QuotaView,
    SetQuotas,
)

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Quotas", "amount"]


class Quotas:
    """Your own, as they are when you ask; for those who may, others' and what was set."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    def mine(self) -> list[QuotaUse]:
        """How much you may keep here, and how much you do."""
        view: QuotaView = self.client.call(MyQuotas())
        return view.quotas

    def of(self, user_id: str) -> list[QuotaUse]:
        """Those of another user; for reviewers."""
        view: QuotaView = self.client.call(QuotasOf(user_id=Users(self.client).id_of(user_id)))
        return view.quotas

    def settings(self) -> list[QuotaSetting]:
        """What was set, for everybody, for roles and for users; for who edits settings."""
        found: QuotaSettings = self.client.call(ListQuotas())
        return found.quotas

    def set(
        self,
        *,
        user_id: str | None = None,
        role: str | None = None,
        reset: tuple[str, ...] = (),
        **values: int | None,
    ) -> list[QuotaSetting]:
        """Set quotas for a user, for a role, or, without both, for everybody; they act at once.

        ``domain.quotas.set(role="User", training_bytes=2 << 30, uploads=None)``: None is no limit; ``reset`` names
        those whose setting is taken back. Raises :class:`BadRequest` for a quota that there is not.
        """
        try:
            user_id = user_id and Users(self.client).id_of(user_id)
            fields = {"values": values, "reset": list(reset), "user_id": user_id, "role": role}
            message = msgspec.convert(fields, SetQuotas)
        except msgspec.ValidationError as error:
            raise BadRequest(f"this is no quota: {misfit_in_words(error, SetQuotas)}") from error
        found: QuotaSettings = self.client.call(message)
        return found.quotas

    def table(self) -> Table:
        """Your own: how much there is of how much."""
        rows: list[tuple[Any, ...]] = [
            (each.name, amount(each.name, each.used), amount(each.name, each.limit), each.set_for)
            for each in self.mine()
        ]
        return Table(f"Your quotas at {self.client.name}", ("of", "used", "limit", "set for"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def amount(name: str, value: int | None) -> str:
    """A quota's value for people: bytes with a unit, numbers in groups of three digits."""
    if value is None:
        return "no limit"
    return size(value) if name.endswith("_bytes") else f"{value:,}"
