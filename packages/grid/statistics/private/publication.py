"""What a private tensor is published with: bounds, noise and cost, all of them public, and the desk that pays."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.node import Node
from grid.privacy.budget.ledger import (
    PARTS,
    Allowance,
    Charge,
    balance_of,
    charge,
    ledgers_of,
    parts_of_epsilon,
)
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger
from grid.privacy.budget.service import spend_budget
from grid.privacy.budget.subjects import charge_subjects, subject_digest
from grid.statistics.guarded.payloads import packed, unpacked
from grid.statistics.guarded.release import identifier
from grid.statistics.guarded.schema import Person
from grid.statistics.guarded.tables import StatisticsMeasurement
from grid.statistics.private.people import People
from grid.storage.sql.dialect import insert, table_of
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.privacy.expressions import Total
from syft_ext.privacy.keys import derive_key
from syft_ext.privacy.noise import DiscreteGaussian
from syft_ext.privacy.steps import Step

__all__ = ["KIND", "Covered", "PrivateRelease", "Publisher", "covered_by", "release_line"]

KIND = "tensor"
"""Of charges."""
_BITS = 24
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Covered:
    """The noise of a release, in steps of 2^``exponent``, and what it covers.

    Attributes:
        most: by term, what one row may add to each number at most. variance: of the noise.
        cost: of the release, in the units of ledgers: it is (cost/PARTS)-zCDP for each person.
    """

    exponent: int
    most: Mapping[int, Whole]
    variance: Fraction
    cost: int

    @property
    def deviation(self) -> float:
        """Of the noise in each number."""
        return math.ldexp(math.sqrt(self.variance), self.exponent)


def covered_by(total: Total, rows_of_person: Mapping[int, int], epsilon: float) -> Covered:
    """The noise that hides all rows of a person, in all tables together, behind ``epsilon``.

    A person adds at most the sum of what each of their rows does at most, number by number; Gaussian noise of
    variance Δ²/2ρ on a vector of that L2 norm Δ is ρ-zCDP. Raises :class:`BadRequest` for a total that follows
    from no row.
    """
    reach = np.zeros(len(total.constant))
    for term in total.terms:
        reach += rows_of_person[term.table] * term.largest
    norm = float(np.linalg.norm(reach))
    cost = parts_of_epsilon(epsilon)
    if not norm > 0 or cost < 1:
        raise BadRequest("nothing to publish: this depends on no row, or epsilon is too small to be counted")
    exponent = math.frexp(norm)[1] - _BITS
    most = {
        index: np.floor(np.ldexp(term.largest, -exponent)).astype(np.int64) + 1
        for index, term in enumerate(total.terms)
    }
    each = [0] * len(reach)
    for index, term in enumerate(total.terms):
        for number, steps in enumerate(most[index].tolist()):
            each[number] += rows_of_person[term.table] * steps
    variance = Fraction(sum(steps * steps for steps in each)) / (2 * Fraction(cost, PARTS))
    return Covered(exponent, most, variance, cost)


def release_line(
    steps: Sequence[Step],
    bounds: Mapping[int, tuple[float, float]],
    tables: Sequence[tuple[str, Person]],
    cost: int,
) -> str:
    """The question as one line, equal for what has the same answer."""
    return json.dumps(
        {
            "kind": "private tensor",
            "steps": [[s.op, s.of, s.table, s.column, s.low, s.high, s.public, s.columns] for s in steps],
            "bounds": {str(place): list(each) for place, each in bounds.items()},
            "tables": [[digest, person.column.name, person.most] for digest, person in tables],
            "cost": cost,
        },
        sort_keys=True,
        separators=(",", ":"),
    )


@dataclass(frozen=True, slots=True)
class PrivateRelease:
    """One release of one user.

    Attributes:
        objects, members: of each table, its object and the lineage's members. added, people: by table.
        authorise, spend: as of private queries.
    """

    line: str
    digest: str
    user_id: str
    objects: Sequence[str]
    members: Sequence[Sequence[str]]
    covered: Covered
    epsilon: float
    allowance: Allowance
    budget: bool
    constant: NDArray[np.float64]
    authorise: Callable[[Session], None]
    spend: Callable[[Session], None]

    def restored(self, numbers: Whole) -> list[float]:
        """What noisy steps stand for."""
        found: list[float] = (
            np.ldexp(numbers.astype(np.float64), self.covered.exponent) + self.constant
        ).tolist()
        return found


class Publisher:
    """Pays for releases and keeps them."""

    def __init__(self, node: Node) -> None:
        self._db, self._clock = node.db, node.clock
        self._secret = node.identity.derive_secret("noise of private tensors")
        self._subjects = node.identity.derive_secret("names of data subjects")

    def shares(self, release: PrivateRelease) -> list[float]:
        """What it would take of each table's ledger."""
        with self._db.read() as session:
            totals = [balance_of(session, each, release.allowance).total for each in release.members]
        return [release.covered.cost / total if total else 1.0 for total in totals]

    def known(self, release: PrivateRelease) -> Whole | None:
        """What was published for the same question; permission and use of a grant as for a new one."""

        def look(session: Session) -> Whole | None:
            release.authorise(session)
            row = session.get(StatisticsMeasurement, (release.digest, identifier(release.line)))
            if row is None or row.payload is None:
                return None
            if row.user_id != release.user_id:
                release.spend(session)
            return unpacked(row.payload)

        return self._db.run(look)

    def publish(
        self, release: PrivateRelease, people: Mapping[int, People], added: Mapping[int, Whole]
    ) -> tuple[Whole, bool]:
        """The noisy numbers, in steps, and whether they were charged now.

        Everything is in one transaction: permission, ledgers, subjects, who of them is left out, and the numbers
        that are told when it is over. Raises :class:`Forbidden` where a ledger has too little left.
        """
        names = {
            table: [subject_digest(self._subjects, each) for each in group.called]
            for table, group in people.items()
        }
        return self._db.run(lambda session: self._pay(session, release, names, added))

    def _pay(
        self,
        session: Session,
        release: PrivateRelease,
        names: Mapping[int, Sequence[str]],
        added: Mapping[int, Whole],
    ) -> tuple[Whole, bool]:
        release.authorise(session)
        now, cost = self._clock.now(), release.covered.cost
        ledgers = ledgers_of(session, release.members, now=now)
        row = session.get(StatisticsMeasurement, (release.digest, identifier(release.line)))
        if row is not None and row.payload is not None:
            return unpacked(row.payload), False
        # Two tables of one lineage have one ledger, and are charged once: a person's rows in both are covered.
        once = {pair[0].id: pair for pair in zip(ledgers, release.objects, strict=True)}
        what = f"private tensor, epsilon {release.epsilon:.6g}"
        for ledger, object_id in once.values():
            entry = Charge(object_id, release.user_id, now, what, KIND)
            if not charge(session, ledger, cost, release.allowance, entry):
                raise Forbidden(
                    "a table of this private tensor has told what its owner lets out; the owner may grant more",
                    id=object_id,
                )
        if release.budget:
            spend_budget(session, release.user_id, release.epsilon)
        told = {each: _told_otherwise(session, ledger) for each, (ledger, _) in once.items()}
        # What a ledger says was told counts once for whoever is in it, in how many of its tables ever.
        by_subject: dict[str, set[str]] = {}
        for table, members in names.items():
            for each in members:
                by_subject.setdefault(each, set()).add(ledgers[table].id)
        by_told: dict[int, list[str]] = {}
        for each, of in by_subject.items():
            by_told.setdefault(sum(told[ledger] for ledger in of), []).append(each)
        paid = charge_subjects(session, by_told, cost, release.allowance.total(None), now=now)
        numbers = self._summed(release, names, added, paid)
        release.spend(session)
        values = {
            "digest": release.digest,
            "identifier": identifier(release.line),
            "question": release.line,
            "units": 0,
            "cost": cost,
            "reserved_by": None,
            "user_id": release.user_id,
            "at": now,
            "payload": packed(numbers),
        }
        session.execute(insert(session, table_of(StatisticsMeasurement)).values(values))
        return numbers, True

    def _summed(
        self,
        release: PrivateRelease,
        names: Mapping[int, Sequence[str]],
        added: Mapping[int, Whole],
        paid: set[str],
    ) -> Whole:
        numbers = np.zeros(len(release.constant), dtype=np.int64)
        for table, each in added.items():
            mask = np.fromiter((name in paid for name in names[table]), dtype=np.bool_, count=len(each))
            numbers += each[mask].sum(axis=0, dtype=np.int64)
        # Who is left out depends on what else was told meanwhile: other numbers never have the same noise.
        key = derive_key(
            self._secret, "private tensor", release.line.encode(), numbers.astype("<i8").tobytes()
        )
        try:
            DiscreteGaussian(release.covered.variance).draws(key).add(numbers)
        except ValueError as error:
            raise BadRequest("so small an epsilon needs more noise than fits into 64 bits") from error
        return numbers


def _told_otherwise(session: Session, ledger: PrivacyLedger) -> int:
    """What statistics, queries and plans told of everybody in a table, one by one as of the table."""
    cost = select(func.coalesce(func.sum(PrivacyCharge.cost), 0)).where(
        PrivacyCharge.ledger_id == ledger.id, PrivacyCharge.kind != KIND
    )
    return int(session.scalar(cost) or 0)
