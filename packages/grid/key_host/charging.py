"""What is spent: charges and participations of a scope, added and never taken back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from grid.key_host.tables import KeyHostCharge, KeyHostParticipation, KeyHostScope
from grid.storage.sql.dialect import insert, table_of
from syft_ext.confidential.asks import ScopeCharge, ScopeSpent
from syft_ext.errors import KeyRefused

__all__ = ["burn", "charge", "learn_spent", "spent_in"]

_AT_ONCE = 500


def charge(session: Session, scope: bytes, total: int, what: ScopeCharge) -> None:
    """Take a round's ρ from what the scope may spend in all, and count who took part.

    Raises :class:`KeyRefused` (``budget``) where it is not there; the transaction must not commit then.
    """
    _ensure(session, scope)
    taken = session.execute(
        update(KeyHostScope)
        .where(
            KeyHostScope.id == scope.hex(),
            KeyHostScope.burnt.is_(False),
            KeyHostScope.spent <= total - what.rho,
        )
        .values(spent=KeyHostScope.spent + what.rho, rounds=KeyHostScope.rounds + 1)
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise KeyRefused("the scope's budget does not pay for another round", reason="budget")
    step = session.scalars(select(KeyHostScope.rounds).where(KeyHostScope.id == scope.hex())).one()
    _add(session, scope, what, step)


def _ensure(session: Session, scope: bytes) -> None:
    row = {"id": scope.hex(), "spent": 0, "rounds": 0, "burnt": False}
    session.execute(insert(session, table_of(KeyHostScope)).on_conflict_do_nothing().values(row))


def _add(session: Session, scope: bytes, what: ScopeCharge, step: int) -> None:
    session.add(
        KeyHostCharge(
            scope_id=scope.hex(),
            context=what.context.hex(),
            manifest=what.manifest.hex(),
            policy=what.policy.hex(),
            cost=what.rho,
            step=step,
        )
    )
    session.flush()
    rows = [
        {"scope_id": scope.hex(), "person": person.hex(), "context": what.context.hex(), "step": step}
        for person in what.persons
    ]
    statement = insert(session, table_of(KeyHostParticipation)).on_conflict_do_nothing()
    for start in range(0, len(rows), _AT_ONCE):
        session.execute(statement, rows[start : start + _AT_ONCE])


def spent_in(session: Session, scopes: Sequence[str]) -> list[ScopeSpent]:
    """All that is known to be spent in these scopes (ids in hex), for a host that recovers."""
    found = []
    for scope in session.scalars(
        select(KeyHostScope).where(KeyHostScope.id.in_(scopes)).order_by(KeyHostScope.id)
    ):
        persons: dict[str, list[bytes]] = {}
        rows = select(KeyHostParticipation.context, KeyHostParticipation.person).where(
            KeyHostParticipation.scope_id == scope.id
        )
        for context, person in session.execute(rows.order_by(KeyHostParticipation.person)):
            persons.setdefault(context, []).append(bytes.fromhex(person))
        charges = session.scalars(
            select(KeyHostCharge)
            .where(KeyHostCharge.scope_id == scope.id)
            .order_by(KeyHostCharge.step, KeyHostCharge.manifest)
        )
        found.append(
            ScopeSpent(
                scope=bytes.fromhex(scope.id),
                burnt=scope.burnt,
                charges=tuple(
                    ScopeCharge(
                        context=bytes.fromhex(each.context),
                        manifest=bytes.fromhex(each.manifest),
                        policy=bytes.fromhex(each.policy),
                        rho=each.cost,
                        persons=tuple(persons.get(each.context, ())),
                    )
                    for each in charges
                ),
            )
        )
    return found


def learn_spent(session: Session, told: ScopeSpent) -> int:
    """The union of what is known here and what another host knows of a scope (A9); how many charges were new.

    What is learned counts as granted last, whenever it was: nobody's next round comes sooner than it would.
    """
    scope = told.scope.hex()
    _ensure(session, told.scope)
    before = select(KeyHostCharge.context, KeyHostCharge.manifest).where(KeyHostCharge.scope_id == scope)
    known = {(row.context, row.manifest) for row in session.execute(before)}
    rounds = session.scalars(select(KeyHostScope.rounds).where(KeyHostScope.id == scope)).one()
    learned = 0
    for each in told.charges:
        if (each.context.hex(), each.manifest.hex()) in known:
            continue
        learned += 1
        _add(session, told.scope, each, rounds + learned)
    sums = select(func.coalesce(func.sum(KeyHostCharge.cost), 0)).where(KeyHostCharge.scope_id == scope)
    session.execute(
        update(KeyHostScope)
        .where(KeyHostScope.id == scope)
        .values(spent=int(session.scalars(sums).one()), rounds=rounds + learned)
    )
    if told.burnt:
        burn(session, scope)
    return learned


def burn(session: Session, scope: str) -> None:
    """Nothing is left of the scope, whatever policies say."""
    _ensure(session, bytes.fromhex(scope))
    session.execute(update(KeyHostScope).where(KeyHostScope.id == scope).values(burnt=True))
