"""Measurements in the database: read as what is known, written and paid for in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.privacy.budget.ledger import Allowance, Charge, balance_of, charge, ledger_of, units_of
from grid.statistics.guarded.payloads import packed, unpacked
from grid.statistics.guarded.release import Known, Made, Whole
from grid.statistics.guarded.tables import StatisticsMeasurement
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import insert, table_of
from syft_ext.errors import Forbidden

__all__ = ["Payment", "Reservation", "exhausted", "is_kept", "keep", "known_of"]


def known_of(db: Database, digest: str) -> Known:
    """The measurements of a content that were made and paid for."""

    def known(identifier: str) -> Whole | None:
        with db.read() as session:
            row = session.get(StatisticsMeasurement, (digest, identifier))
            payload = None if row is None else row.payload
        return None if payload is None else unpacked(payload)

    return known


def is_kept(db: Database, digest: str, identifier: str) -> bool:
    """Whether a measurement, or a reservation, was paid for."""
    with db.read() as session:
        return session.get(StatisticsMeasurement, (digest, identifier)) is not None


@dataclass(frozen=True, slots=True)
class Reservation:
    """Points of a logistic regression, paid for at once: ``made`` has no numbers, ``points`` is how many."""

    made: Made
    points: int


@dataclass(frozen=True, slots=True)
class Payment:
    """Who pays for what, from which lineage.

    Attributes:
        members: of the lineage. sigma: what the units of messages are counted in.
    """

    digest: str
    members: Collection[str]
    allowance: Allowance
    entry: Charge
    sigma: int


def keep(
    session: Session,
    payment: Payment,
    fresh: Sequence[Made],
    *,
    reserve: Reservation | None = None,
    under: Reservation | None = None,
) -> int:
    """Write down what was made and charge it to the ledger, in the transaction after which it is told.

    What somebody else made meanwhile has the same numbers, and is not charged again.

    Args:
        reserve: points to pay for in advance, unless they are.
        under: the reservation that pays for ``fresh`` (one point), as long as it has points left.

    Returns:
        The units that were charged. Raises :class:`Forbidden`, and the transaction must not commit, where
        the ledger has not so much left.
    """
    ledger = ledger_of(session, payment.members, now=payment.entry.at)
    paid = under is not None and _points(session, payment.digest, under) < under.points
    units = cost = 0
    for made in [*fresh, *([reserve.made] if reserve is not None else [])]:
        free = paid and under is not None
        row = {
            "digest": payment.digest,
            "identifier": made.identifier,
            "question": made.question,
            "units": 0 if free else made.units,
            "cost": 0 if free else made.cost,
            "reserved_by": under.made.identifier if free and under is not None else None,
            "user_id": payment.entry.user_id,
            "at": payment.entry.at,
            "payload": packed(made.numbers) if made.numbers.size else None,
        }
        table = table_of(StatisticsMeasurement)
        statement = insert(session, table).values(row).on_conflict_do_nothing().returning(table.c.identifier)
        added = session.execute(statement).first() is not None
        if added and not free:
            units, cost = units + made.units, cost + made.cost
    if cost and not charge(session, ledger, cost, payment.allowance, payment.entry):
        raise exhausted(session, payment, units)
    return units


def _points(session: Session, digest: str, reservation: Reservation) -> int:
    used = select(func.count()).where(
        StatisticsMeasurement.digest == digest,
        StatisticsMeasurement.reserved_by == reservation.made.identifier,
    )
    return (session.scalar(used) or 0) // 2  # a gradient and a Hessian


def exhausted(session: Session, payment: Payment, units: int) -> Forbidden:
    """The refusal where a ledger has less left than ``units``; it depends on no number of the table."""
    balance = balance_of(session, payment.members, payment.allowance)
    total, left = (units_of(parts, payment.sigma) for parts in (balance.total, balance.left))
    return Forbidden(
        f"this table has told what its owner lets out: {total - left} of {total} units are spent and this "
        f"asks for {units}. What was asked before can be asked again; the owner may grant more",
        left=left,
        cost=units,
    )
