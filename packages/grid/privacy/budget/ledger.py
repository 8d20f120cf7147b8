"""The ledger of a lineage: found by any of its members, charged by one conditional update before an answer leaves.

A lineage is everything that may hold the same rows: an asset of a dataset over all of its versions, and whatever
has the same content. Where two lineages turn out to be one (an object that was asked about is made a version of an
asset), their ledgers become one, with what was spent of both: a row may be in both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

from sqlalchemy import ColumnElement, Select, case, delete, func, literal, select, update
from sqlalchemy.orm import Session

from grid.privacy.accounting.zcdp import epsilon_of_rho, rho_of_epsilon
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger, PrivacyLedgerMember
from grid.spending.keeping import check_newest, note
from grid.storage.sql.dialect import insert, table_of
from syft_ext.errors import Conflict
from syft_ext.ids import new_id

__all__ = [
    "MARKS",
    "UNLIMITED",
    "Allowance",
    "Balance",
    "Charge",
    "balance_of",
    "charge",
    "cost_of",
    "cost_of_rho",
    "epsilon_of_parts",
    "ledger_of",
    "ledgers_of",
    "note_ledger",
    "parts_of_epsilon",
    "parts_of_rho",
    "units_of",
]

MARKS = "ledger"
"""The kind of a ledger's marks in the record of what was spent."""
_ATTEMPTS = 20
PARTS = 10**12
"""A ledger's unit is 1/PARTS of ρ."""
MOST = 10**18
"""What no ledger can spend at once: a million of ρ means nothing."""
UNLIMITED = 4 * MOST
"""The total of a ledger that counts, and does not limit."""


def parts_of_rho(rho: Fraction) -> int:
    """A budget of ρ in the ledger's units, rounded down."""
    return int(rho * PARTS)


@lru_cache(maxsize=256)
def parts_of_epsilon(epsilon: float) -> int:
    """A budget of ε (at the δ of ledgers) in the ledger's units, rounded down."""
    exact = Decimal(f"{rho_of_epsilon(epsilon):.15g}") * PARTS
    return int(exact.to_integral_value(ROUND_FLOOR))


def epsilon_of_parts(parts: int) -> float:
    """What so much of a ledger is worth in ε, at the δ of ledgers."""
    return epsilon_of_rho(max(0, parts) / PARTS)


def cost_of(units: int, sigma: int) -> int:
    """What ``units`` (squares of the L2 sensitivity) cost under noise of ``sigma`` per unit; rounded up."""
    return ceil(Fraction(units * PARTS, 2 * sigma * sigma))


def cost_of_rho(rho: float) -> int:
    """What a release that is ρ-zCDP costs; rounded up, more than any ledger has where nothing is promised."""
    if not rho < MOST / PARTS:
        return MOST + 1
    return ceil(Fraction(rho) * PARTS * (1 + Fraction(1, 1 << 50)))  # ρ itself was rounded


def units_of(parts: int, sigma: int) -> int:
    """How many units so much of a ledger pays for, under noise of ``sigma``."""
    return parts * 2 * sigma * sigma // PARTS


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the site's policy gives: ``default`` to a ledger whose owner said nothing; ``most`` to any
    (None: no cap)."""

    default: int
    most: int | None = None

    def total(self, granted: int | None) -> int:
        """What a ledger may spend in all, whose owner granted this."""
        given = self.default if granted is None else granted
        return given if self.most is None else min(given, self.most)


@dataclass(frozen=True, slots=True)
class Balance:
    """What a lineage may spend in all, and has spent."""

    total: int
    spent: int

    @property
    def left(self) -> int:
        """What is left; 0 where more was spent than is granted now."""
        return max(0, self.total - self.spent)


@dataclass(frozen=True, slots=True)
class Charge:
    """Who asked for what, and when (seconds since the epoch); ``kind`` as in :class:`PrivacyCharge`."""

    object_id: str
    user_id: str
    at: float
    what: str
    kind: str = "statistics"


def balance_of(session: Session, members: Collection[str], allowance: Allowance) -> Balance:
    """Of a lineage as it is now, without changing anything; all of its allowance where nobody asked yet."""
    rows = session.execute(
        select(PrivacyLedger.granted, PrivacyLedger.spent).where(PrivacyLedger.id.in_(_ids(members)))
    ).all()
    grants = [row.granted for row in rows if row.granted is not None]
    return Balance(allowance.total(max(grants, default=None)), sum(row.spent for row in rows))


def _ids(members: Collection[str]) -> Select[str]:
    return select(PrivacyLedgerMember.ledger_id).where(PrivacyLedgerMember.member.in_(sorted(members)))


def ledger_of(session: Session, members: Collection[str], *, now: float) -> PrivacyLedger:
    """The one ledger of a lineage with these members, locked until the transaction ends.

    Makes it where there is none, and one of several where these turn out to be parts of one lineage.
    """
    known = session.execute(
        select(PrivacyLedgerMember.member, PrivacyLedgerMember.ledger_id).where(
            PrivacyLedgerMember.member.in_(sorted(members))
        )
    ).all()
    if len(known) == len(set(members)) and len(ids := {row.ledger_id for row in known}) == 1:
        locked = select(PrivacyLedger).where(PrivacyLedger.id.in_(ids)).with_for_update()
        if (ledger := session.scalars(locked).one_or_none()) is not None:
            return ledger
    fresh = PrivacyLedger(id=new_id(), spent=0, created_at=now, changed_at=now, changed_by="")
    session.add(fresh)
    session.flush()
    ledgers = _locked(session, members, fresh.id)
    if fresh not in ledgers:
        session.delete(fresh)
    kept = min(ledgers, key=lambda each: (each.created_at, each.id))
    others = [each for each in ledgers if each is not kept]
    if others:
        _merge(session, kept, others)
    session.flush()
    return kept


def ledgers_of(session: Session, lineages: Sequence[Collection[str]], *, now: float) -> list[PrivacyLedger]:
    """The ledger of each of several lineages, all of them locked; the same one twice where two are one lineage.

    In an order that depends on no caller, so that those who name the same tables in another order do not wait for
    each other. A lineage may join two others, whose ledgers are one then: they are looked up again when all are
    known, and locked.
    """
    for members in sorted(lineages, key=min):
        ledger_of(session, members, now=now)
    return [ledger_of(session, members, now=now) for members in lineages]


def _locked(session: Session, members: Collection[str], fresh: str) -> Sequence[PrivacyLedger]:
    """All ledgers that the members belong to, locked; those that belong to none are put into ``fresh``.

    Others may make ledgers one at the same time. What a statement sees before it has the locks may be gone when it
    has them, so that it looks again until nothing changed in between; who changes the members of a ledger
    has its lock.
    """
    rows = [{"member": member, "ledger_id": fresh} for member in sorted(members)]
    for _ in range(_ATTEMPTS):
        session.execute(insert(session, table_of(PrivacyLedgerMember)).on_conflict_do_nothing(), rows)
        found = select(PrivacyLedger).where(PrivacyLedger.id.in_(_ids(members))).order_by(PrivacyLedger.id)
        ledgers = session.scalars(found.with_for_update().execution_options(populate_existing=True)).all()
        if {ledger.id for ledger in ledgers} == set(session.scalars(_ids(members))):
            return ledgers
    raise Conflict("the table's ledger changes all the time; ask again")


def _merge(session: Session, kept: PrivacyLedger, others: Sequence[PrivacyLedger]) -> None:
    ids = [each.id for each in others]
    grants = [each.granted for each in (kept, *others) if each.granted is not None]
    kept.granted = max(grants, default=None)
    kept.spent += sum(each.spent for each in others)
    digests = sorted({each.exact_digest for each in (kept, *others) if each.exact_digest is not None})
    kept.exact_digest = digests[0] if digests else None
    session.flush()
    for model in (PrivacyLedgerMember, PrivacyCharge):
        session.execute(update(model).where(model.ledger_id.in_(ids)).values(ledger_id=kept.id))
    session.execute(delete(PrivacyLedger).where(PrivacyLedger.id.in_(ids)))


def charge(session: Session, ledger: PrivacyLedger, cost: int, allowance: Allowance, entry: Charge) -> bool:
    """Take ``cost`` from a ledger, in the transaction after which the answer is given; whether there was so much.

    One conditional update: two calls that race for the last of it cannot both have it. Where it says no, the
    transaction must not commit what was to be paid for.
    """
    total: ColumnElement[int] = func.coalesce(PrivacyLedger.granted, literal(allowance.default))
    if allowance.most is not None:
        total = case((total > allowance.most, literal(allowance.most)), else_=total)
    taken = session.execute(
        update(PrivacyLedger)
        .where(PrivacyLedger.id == ledger.id, PrivacyLedger.spent + cost <= total)
        .values(spent=PrivacyLedger.spent + cost)
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        return False
    check_newest(session)
    session.expire(ledger)
    note_ledger(session, ledger)
    session.add(
        PrivacyCharge(
            id=new_id(),
            ledger_id=ledger.id,
            object_id=entry.object_id,
            user_id=entry.user_id,
            at=entry.at,
            cost=cost,
            what=entry.what[:4000],
            kind=entry.kind,
        )
    )
    return True


def note_ledger(session: Session, ledger: PrivacyLedger) -> None:
    """Write down what a ledger has spent, under all that belongs to its lineage: in an older database it may have
    another id, or be several, or none yet."""
    members = select(PrivacyLedgerMember.member).where(PrivacyLedgerMember.ledger_id == ledger.id)
    facts = {
        "spent": ledger.spent,
        "granted": ledger.granted,
        "exact_digest": ledger.exact_digest,
        "members": sorted(session.scalars(members)),
    }
    note(session, MARKS, ledger.id, facts)
