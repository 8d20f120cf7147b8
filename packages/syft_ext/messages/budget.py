"""Privacy budgets: how much epsilon a user's noisy statistics may cost in all."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id, Limit, Offset
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER, flag

__all__ = ["BudgetList", "BudgetView", "GetBudget", "GrantBudget", "ListBudgets"]


class BudgetView(Reply):
    """One user's budget, in epsilon; nobody has one before it is granted."""

    user_id: str
    granted: float = 0.0
    spent: float = 0.0
    left: float = 0.0


class BudgetList(Reply):
    """One page of the budgets that were granted, by user id."""

    budgets: list[BudgetView]


@operation("budget.get", rest="GET /budget", reply=BudgetView, permission=USER)
class GetBudget(Message):
    """Your own privacy budget."""


@operation("budget.list", rest="GET /budgets", reply=BudgetList, permission=flag("can_triage_requests"))
class ListBudgets(Message):
    """The budgets of all who were granted one."""

    limit: Limit = 100
    offset: Offset = 0


@operation(
    "budget.grant", rest="PUT /budgets/{user_id}", reply=BudgetView, permission=flag("can_triage_requests")
)
class GrantBudget(Message):
    """Say how much epsilon somebody else may spend in all, with what they have spent already."""

    user_id: Id
    granted: Annotated[float, msgspec.Meta(ge=0, le=1e6)]
