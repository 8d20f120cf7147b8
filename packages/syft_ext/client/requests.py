"""Requests at a Domain (``domain.requests``): ask for access, and decide on what others ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from syft_ext.client.listing import Listing
from syft_ext.client.plan_requests import (
    FinishedRun,
    PlanUnderReview,
    create_plan_request,
    described,
    run_plan,
)
from syft_ext.client.rules import Rules
from syft_ext.display.table import Table, fields_table, when
from syft_ext.errors import DeadlineExceeded
from syft_ext.messages import requests as m
from syft_ext.messages.plan_facts import PlanCost
from syft_ext.messages.rules import RuleView
from syft_ext.messages.vocabulary import Scope

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.plans.ir import Plan

__all__ = ["DataRequest", "Requests"]

_PAGE = 1000
_WAIT = 30.0
_STEP = 78  # characters that a table shows of a cell without cutting it
_ASKS = {
    "compute": "compute on",
    "statistics": "have statistics of",
    "plan": "run the plan",
    "training": "run the training",
    "intersection": "find out what another Domain's table has in common with",
}


class DataRequest:
    """One request: its author waits or withdraws, a reviewer approves, denies or revokes."""

    def __init__(self, client: Caller, view: m.RequestView) -> None:
        self.client, self.view = client, view

    @property
    def id(self) -> str:
        return self.view.id

    @property
    def state(self) -> str:
        """As of the last call; ``refresh()`` asks again."""
        return self.view.state

    def refresh(self) -> DataRequest:
        """Ask the Domain how the request is now; itself, for chaining."""
        return self._call(m.GetRequest(request_id=self.id))

    # -- decide -------------------------------------------------------------------------------------

    def approve(
        self,
        reason: str = "",
        *,
        expires_in: float | None = None,
        uses: int | None = None,
        max_output_bytes: int | None = None,
        epsilon: float | None = None,
    ) -> DataRequest:
        """Approve it under conditions: seconds, downloads, analyses or runs, bytes of one download or run; of
        a request for budget, less than was asked for."""
        message = m.ApproveRequest(
            request_id=self.id,
            reason=reason,
            expires_in=expires_in,
            uses=uses,
            max_output_bytes=max_output_bytes,
            epsilon=epsilon,
        )
        return self._call(message)

    accept = approve

    def deny(self, reason: str = "") -> DataRequest:
        """Deny it: one reviewer is enough. The author is shown ``reason``."""
        return self._call(m.DenyRequest(request_id=self.id, reason=reason))

    def revoke(self) -> DataRequest:
        """Take the approval back: the very next operation that rests on it is refused."""
        return self._call(m.RevokeRequest(request_id=self.id))

    def withdraw(self) -> DataRequest:
        """Take a request of yours back while it is pending."""
        return self._call(m.WithdrawRequest(request_id=self.id))

    def wait(self, timeout: float = 600.0) -> DataRequest:
        """Wait for a decision. Raises :class:`~syft_ext.errors.DeadlineExceeded` when none came in time."""
        left = timeout
        while left > 0:
            self._call(m.GetRequest(request_id=self.id, wait=min(left, _WAIT)), timeout=_WAIT + 30.0)
            if self.state != "pending":
                return self
            left -= _WAIT
        raise DeadlineExceeded(f"nobody decided within {timeout:g} s", seconds=timeout)

    # -- of kind plan -------------------------------------------------------------------------------

    @property
    def plan(self) -> PlanUnderReview:
        """The plan that is asked to run: ``.text()``, ``.diff()``, ``.cost``, ``.inputs``, ``.outputs``."""
        return PlanUnderReview(self.client, self.id)

    @property
    def cost(self) -> PlanCost | None:
        """What one run of the plan costs; None where it is not yours to know (and for other requests)."""
        return None if self.view.plan is None else self.view.plan.cost

    def run(self, *, keep: bool = False, description: str = "", tags: Sequence[str] = ()) -> Any:
        """Run the approved plan on the data that it was approved for, at the Domain; its results, nested as
        the plan's function returns them. ``keep``: also make them an object there (:meth:`run_and_keep`)."""
        return self.run_and_keep(description=description, tags=tags, keep=keep).results

    def run_and_keep(
        self, *, description: str = "", tags: Sequence[str] = (), keep: bool = True
    ) -> FinishedRun:
        """As :meth:`run`; the answer also tells the object, and how many runs are left."""
        return run_plan(self.client, self.id, keep=keep, description=description, tags=list(tags))

    # -- showing itself -----------------------------------------------------------------------------

    def _call(self, message: Any, *, timeout: float | None = None) -> DataRequest:
        self.view = self.client.call(message, timeout=timeout)
        return self

    def table(self) -> Table:
        """What is asked for, who decided what, and on how many reviewers it waits."""
        view = self.view
        said = [
            f"{'approved' if d.approved else 'denied'} by {d.name or d.reviewer}: {d.reason}"
            for d in view.decisions
        ]
        what = f"{_ASKS.get(view.scope, view.scope)} {view.object or view.object_id}"
        asks = f"spend ε {view.epsilon:g}" if view.epsilon else what
        fields = [
            ("id", view.id),
            ("from", view.user),
            ("asks to", asks),
            ("reason", view.reason),
            ("state", view.state),
            ("reviewers needed", view.needed),
            ("decisions", said),
            ("made", when(view.created_at)),
        ]
        if view.computed:
            steps = [line for step in view.computed.splitlines() for line in wrap(step, _STEP)]
            fields += [
                ("" if at else "computed as", line) for at, line in enumerate(steps)
            ]  # whole, on any screen
        if view.intersection is not None:
            facts = view.intersection
            terms = [f"party {facts.party} is this Domain", *wrap(str(facts.terms), _STEP)]
            fields += [("agreement", facts.agreement)]
            fields += [("" if at else "terms", line) for at, line in enumerate(terms)]
            fields += [("problem", facts.problem)] if facts.problem else []
        if view.plan is not None:
            fields += [("plan", view.plan.plan_id), ("cost", view.plan.cost or "not yours to know")]
            fields += [("given", [described(each) for each in view.plan.inputs if each.object_id])]
        return fields_table(f"Request at {self.client.name}", fields)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Requests(Listing[DataRequest]):
    """Your requests, and those that you may decide on, newest first."""

    title = "Requests"
    headings = ("from", "scope", "object", "reason", "state", "made", "id")

    def _fetch(self) -> list[DataRequest]:
        return self.in_state("")

    def in_state(
        self, state: Literal["", "pending", "approved", "denied", "withdrawn", "revoked"]
    ) -> list[DataRequest]:
        """All that you may see in this state ("": in any), newest first."""
        found: list[DataRequest] = []
        while True:
            message = m.ListRequests(state=state, limit=_PAGE, offset=len(found))
            page: m.RequestList = self.client.call(message)
            found += [DataRequest(self.client, view) for view in page.requests]
            if len(page.requests) < _PAGE:
                return found

    def create(self, object_id: str, reason: str = "", scope: Scope = "read") -> DataRequest:
        """Ask to read an object that you may find, to compute on it, or to have statistics of it."""
        message = m.CreateRequest(object_id=object_id, scope=scope, reason=reason)
        return DataRequest(self.client, self.client.call(message))

    def create_plan(
        self,
        plan: Plan | bytes,
        inputs: Mapping[str, Any],
        reason: str = "",
        *,
        values: Mapping[str, Any] | None = None,
    ) -> DataRequest:
        """Ask to run ``plan`` on data, and to have what it returns.

        Args:
            inputs: argument → an object at the Domain: its id, an asset of a dataset, or a stored object;
                ``(object, "name")`` for one of several tensors. An argument that is a list or mapping takes
                an object that holds one.
            values: argument → tensor or number of your own, for arguments that no object is given to. What
                neither names takes the plan's default.

        Raises :class:`~syft_ext.errors.InvalidPlan` where plan and data do not fit.
        """
        return DataRequest(self.client, create_plan_request(self.client, plan, inputs, reason, values or {}))

    def create_budget(self, epsilon: float, reason: str = "") -> DataRequest:
        """Ask for so much more privacy budget."""
        message = m.CreateBudgetRequest(epsilon=epsilon, reason=reason)
        return DataRequest(self.client, self.client.call(message))

    # -- standing rules -----------------------------------------------------------------------------

    def add_handler(self, action: Literal["accept", "deny"], **fields: Any) -> RuleView:
        """Answer requests that are yet to come: a standing rule, with the fields of
        :class:`~syft_ext.messages.rules.CreateRule`.

        ``domain.requests.add_handler("accept", tags=["public-health"], scope="statistics", uses=5, times=20)``
        """
        return Rules(self.client).create(action, **fields)

    @property
    def rules(self) -> Rules:
        """Your standing rules (a reviewer sees those of everybody)."""
        return Rules(self.client)

    def handlers(self) -> list[RuleView]:
        """As ``rules.all()``."""
        return list(self.rules)

    def remove_handler(self, rule_id: str) -> None:
        """End one rule; what it approved stays."""
        self.rules.delete(rule_id)

    def clear_handlers(self) -> None:
        """End all of your rules."""
        self.rules.clear()

    def get(self, request_id: str) -> DataRequest:
        """By id, or how it begins. Raises :class:`~syft_ext.errors.NotFound`."""
        return DataRequest(self.client, self.client.call(m.GetRequest(request_id=self.id_of(request_id))))

    def key(self, item: DataRequest) -> tuple[str, ...]:
        return (item.id,)

    def row(self, item: DataRequest) -> tuple[Any, ...]:
        view = item.view
        what = view.object or view.object_id or f"ε {view.epsilon:g}"
        return (view.user, view.scope, what, view.reason, view.state, when(view.created_at), view.id)
