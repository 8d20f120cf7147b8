"""What the cycles of a training cost the ledger of those who take part in it: taken before a cycle is opened.

Where the policy demands noise, or participants put noise of their own into a sum, a cycle is ρ-zCDP for each
participant, against their contribution being nothing.
The data of participants are not here, so that the ledger is the training's, over all of its versions: nobody can
have told more in it than it says, whoever took part how often. A cycle that is opened counts, also if nothing of
it is released; one that is made again has the same noise, and counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from blake3 import blake3
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.intake.registry import format_of
from grid.federated.state.store import Unit
from grid.privacy.budget.ledger import MARKS, UNLIMITED, cost_of_rho, parts_of_epsilon
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger, PrivacyLedgerMember
from grid.privacy.mechanisms.registry import demanded_mechanism
from grid.spending.keeping import write_down
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Forbidden
from syft_ext.ids import new_id
from syft_ext.messages.policy import SitePolicy
from syft_ext.tensors import Layout

__all__ = ["LedgerExhausted", "charge_cycle"]

_MAKE = {
    name: [
        PreparedStatement(dialect.insert(table_of(model)).on_conflict_do_nothing())
        for model in (PrivacyLedger, PrivacyLedgerMember)
    ]
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_TAKE = PreparedStatement(
    update(PrivacyLedger)
    .where(
        PrivacyLedger.id == bindparam("b_id"),
        PrivacyLedger.spent + bindparam("b_cost") <= bindparam("b_total"),
    )
    .values(spent=PrivacyLedger.spent + bindparam("b_cost"))
)
_BALANCE = PreparedStatement(select(PrivacyLedger.spent).where(PrivacyLedger.id == bindparam("id")))
_CHARGE = PreparedStatement(insert(PrivacyCharge))


class LedgerExhausted(Forbidden):
    """Those who take part in a training have told what the site's policy lets out of them."""


def charge_cycle(
    unit: Unit,
    database: Database,
    policy: SitePolicy,
    definition: TrainingDefinition,
    layout: Callable[[], Layout],
) -> None:
    """Take what the unit's next cycle costs, in the transaction that opens it.

    Args:
        layout: what its model's is.

    Raises :class:`LedgerExhausted` where ``trainings_total`` has too little left.
    """
    carried = format_of(definition.server)
    rho = carried.loss(definition.server, layout)
    # Of what only the sum is seen, the policy's noise is what participants put in, which was counted just now.
    if carried.reveals == "each" and policy.clip_norm is not None and policy.noise_multiplier is not None:
        mechanism = demanded_mechanism(policy.clip_norm, policy.noise_multiplier, policy.mechanism)
        rho += mechanism.event().rho
    if not rho:
        return
    cost = cost_of_rho(rho)
    member = f"training:{definition.name}"
    ledger = blake3(member.encode()).hexdigest(length=16)
    fresh = {"id": ledger, "granted": None, "spent": 0, "exact_digest": None, "created_at": unit.now}
    ledgers, members = _MAKE[unit.connection.dialect.name]
    unit.run(ledgers, {**fresh, "changed_at": unit.now, "changed_by": ""})
    unit.run(members, {"member": member, "ledger_id": ledger})
    total = UNLIMITED if policy.trainings_total is None else parts_of_epsilon(policy.trainings_total)
    if unit.run(_TAKE, {"b_id": ledger, "b_cost": cost, "b_total": total}).rowcount != 1:
        left = max(0, total - unit.run(_BALANCE, {"id": ledger}).first().spent) / total
        raise LedgerExhausted(
            f"a cycle costs {cost / total:.3g} of all that this training may tell of anybody, and {left:.3g} of "
            "it is left: the site's policy (trainings_total) lets out no more",
            cost=cost / total,
            left=left,
        )
    entry: dict[str, Any] = {
        "id": new_id(),
        "ledger_id": ledger,
        "object_id": "",
        "user_id": unit.process.owner or "",
        "at": unit.now,
        "cost": cost,
        "what": f"cycle {unit.process.cycle + 1} of training {definition.name} {definition.version}",
        "kind": "training",
    }
    unit.run(_CHARGE, entry)
    spent = unit.run(_BALANCE, {"id": ledger}).first().spent
    facts = {"spent": spent, "granted": None, "exact_digest": None, "members": [member]}
    unit.after_commit(lambda: write_down(database, [(MARKS, ledger, facts)]), first=True)
