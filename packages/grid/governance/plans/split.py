"""Plans of split networks: what a request asks for under terms with another Domain, and what its run costs.

What crosses between the two hosts leaves this Domain at every batch: its noise is charged before the first one, it
counts against what may leave, and an approval that ends stops the run. What was learned stays as an object that is
derived from the kept rows of both tables, so that nobody reads it.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from sqlalchemy.orm import Session

from grid.access.policy import check_operation, check_rows
from grid.governance.decisions.approval import objects_of
from grid.governance.decisions.tables import RequestRow
from grid.governance.plans.charging import PlanQuestion, charge_crossing
from syft_ext.errors import BadRequest, GridError
from syft_ext.messages.plan_facts import PlanFacts
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.split.fitting import check_shapes, crossing_names

__all__ = ["check_crossing", "check_split", "fit_split", "party_of", "pay_crossing"]

_FLOAT = 4


def party_of(terms: SplitTerms, node_key: str) -> int:
    """This node's place. Raises :class:`BadRequest` where it is none of the parties."""
    terms.check()
    if node_key not in terms.parties:
        raise BadRequest("this node is none of the parties", field="split")
    return terms.parties.index(node_key)


def check_split(terms: SplitTerms, node_key: str, plan_id: str, values: str) -> None:
    """Raise :class:`BadRequest` unless this node is a party, and plan and values are those of the terms."""
    here = party_of(terms, node_key)
    if (terms.plans[here], terms.values[here]) != (plan_id, values):
        raise BadRequest("the terms name another plan of this node, or other values", field="split")


def check_crossing(policy: SitePolicy, terms: SplitTerms, party: int) -> None:
    """Raise :class:`Forbidden` where the policy does not allow that this crosses to another Domain, or demands
    more rows. Parameters may be of any size."""
    check_rows(policy, terms.rows)
    goes = crossing_names(terms, party)[1]
    if goes:
        check_operation(policy, f"split.{goes}")


def pay_crossing(
    session: Session, policy: SitePolicy, terms: SplitTerms, party: int, row: RequestRow, at: float
) -> None:
    """Charge what crosses in a run of the request, before any of it does. Raises :class:`Forbidden` where a ledger
    has too little."""
    goes = crossing_names(terms, party)[1]
    if goes:
        what = f"{goes} of {terms.batches} batches to {terms.parties[1 - party][:16]}, request {row.id}"
        objects = objects_of(session, [row.id])[row.id]
        question = PlanQuestion(b"", objects, row.user_id, at, what)
        charge_crossing(session, policy, question, terms.rho(party))


def fit_split(facts: PlanFacts, terms: SplitTerms, party: int, objects: Collection[str]) -> None:
    """Say in ``facts`` how much leaves, and why the rows are not what the terms say.

    Args:
        objects: inputs that objects are given to. All others, and outputs, have the shapes of one batch.
    """
    for each in facts.inputs:
        if each.name in objects and each.role != "param" and (each.shape or [0])[0] != terms.rows:
            facts.problem = facts.problem or f"input {each.name} has not {terms.rows} rows, as the terms say"
    if facts.problem or facts.cost is None:
        return
    shapes = {each.name: (each.dtype, each.shape or []) for each in facts.outputs}
    try:
        check_shapes(terms, party, shapes)
    except GridError as error:
        facts.problem = error.detail
        return
    opened = 0
    if party == terms.top:
        for name in terms.opened:
            shape = shapes[name][1]
            opened += _FLOAT * (terms.rows * math.prod(shape[1:]) if shape else terms.epochs)
    facts.cost.output_bytes = terms.crossing_bytes(party) + opened
