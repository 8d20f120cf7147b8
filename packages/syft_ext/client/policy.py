"""A Domain's policy (``domain.policy``), and privacy budgets (``domain.budget``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from syft_ext.client.people import Users
from syft_ext.display.table import Table, fields_table
from syft_ext.errors import BadRequest
from syft_ext.messages.budget import BudgetList, BudgetView, GetBudget, GrantBudget, ListBudgets
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.policy import GetPolicy, PolicyView, SetPolicy, SitePolicy
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Budgets", "Policy"]


class Policy:
    """Asks the Domain each time: a policy acts on the very next operation."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    def get(self) -> PolicyView:
        """The policy, when it was set and by whom."""
        view: PolicyView = self.client.call(GetPolicy())
        return view

    def set(self, **changes: Any) -> PolicyView:
        """Change these fields; the others stay. None is "no demand". Only the Owner may.

        ``domain.policy.set(min_rows=10, statistics_epsilon=0.1)``

        Raises :class:`BadRequest` for a field that there is not, and for a value that makes no sense.
        """
        return self._set(self.planned(changes))

    def replace(self, values: dict[str, Any]) -> PolicyView:
        """Set the policy as a whole: what is not among ``values`` has its default."""
        return self._set(self.planned(values, replace=True))

    def planned(self, values: dict[str, Any], *, replace: bool = False) -> SitePolicy:
        """What :meth:`set` (or :meth:`replace`) would make of the policy; nothing is changed."""
        kept = {} if replace else msgspec.structs.asdict(self.get().policy)
        try:
            return msgspec.convert({**kept, **values}, SitePolicy)
        except msgspec.ValidationError as error:
            raise BadRequest(f"this is no policy: {misfit_in_words(error, SitePolicy)}") from error

    def _set(self, policy: SitePolicy) -> PolicyView:
        view: PolicyView = self.client.call(SetPolicy(policy=policy))
        return view

    def table(self) -> Table:
        """Every rule of the policy with its value now."""
        values = msgspec.structs.asdict(self.get().policy)
        return fields_table(f"Policy of {self.client.name}", list(values.items()))

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Budgets:
    """How much epsilon noisy statistics may cost each user in all."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    def get(self) -> BudgetView:
        """Your own."""
        view: BudgetView = self.client.call(GetBudget())
        return view

    def all(self, *, limit: int = 100, offset: int = 0) -> list[BudgetView]:
        """Those of all who were granted one; for reviewers."""
        found: BudgetList = self.client.call(ListBudgets(limit=limit, offset=offset))
        return found.budgets

    def grant(self, user_id: str, epsilon: float) -> BudgetView:
        """Let a user spend ``epsilon`` in all, with what they have spent already. Nobody grants themselves any."""
        view: BudgetView = self.client.call(
            GrantBudget(user_id=Users(self.client).id_of(user_id), granted=epsilon)
        )
        return view

    def __repr__(self) -> str:
        own = self.get()
        return readable(f"privacy budget at {self.client.name}: ε {own.left:g} left of {own.granted:g}")
