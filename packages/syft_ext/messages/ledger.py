"""Ledgers: what statistics, results of plans and trainings may tell of anybody, to everybody together, and did."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id, Limit, Offset
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER

__all__ = ["ChargeView", "GetLedger", "GrantLedger", "LedgerList", "LedgerView", "ListLedgers"]


class ChargeView(Reply):
    """One charge: at what time (seconds since the epoch) whose question cost how much; ``share`` of what
    there is. ``kind``: "statistics", "query" (a private one), "tensor" (a private one), "plan" (results of an
    approved plan) or "training" (a cycle)."""

    at: float
    user: str
    object_id: str
    what: str
    share: float
    kind: str = "statistics"


class LedgerView(Reply):
    """What may be told of a table and of all its versions, or of those who take part in a training, in epsilon at
    a delta of 1e-6.

    Attributes:
        total, spent: in epsilon. used: the share of ``total`` that is spent (epsilons do not add up, shares do).
        granted: the total that the table's owner said; None: it is the site policy's.
        exact: statistics of one version were published exactly, on the owner's word, outside of all this.
        object_id: the table, or one of its versions. charges: the newest first, one page of them.
        table: dataset and asset that it is shown as; "" where it is in none.
        training: its name, of the ledger of a training; ``object_id`` is "" then.
        told: the share of ``total`` that each kind of charge took.
        limited: whether there is a total. Trainings to which the site's policy gives none, and tables of which
            statistics are exact and to which their owner gave none, are counted all the same: ``total`` is what a
            table would have else, and a training's 0.
    """

    object_id: str
    total: float
    spent: float
    used: float
    granted: float | None
    exact: bool
    charges: list[ChargeView]
    table: str = ""
    training: str = ""
    told: dict[str, float] = {}
    limited: bool = True


class LedgerList(Reply):
    """The ledgers of your tables, the most used first, each without its charges; then those of trainings, for
    whoever decides on requests."""

    ledgers: list[LedgerView]


@operation("ledger.list", rest="GET /ledgers", reply=LedgerList, permission=USER)
class ListLedgers(Message):
    """The ledgers of all tables of yours that anybody asked about, and of trainings, if you decide on requests."""


@operation("ledger.get", rest="GET /ledgers/{object_id}", reply=LedgerView, permission=USER)
class GetLedger(Message):
    """The ledger of a table of yours: one for all of its versions and all users."""

    object_id: Id
    limit: Limit = 100
    offset: Offset = 0


@operation("ledger.grant", rest="PUT /ledgers/{object_id}", reply=LedgerView, permission=USER)
class GrantLedger(Message):
    """Say how much statistics of a table of yours may tell in all, in epsilon, with what they have told
    already."""

    object_id: Id
    epsilon: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
