"""Guarded statistics of stored tables: priced, measured, paid for, and only then told.

The order is what the guarantee rests on. A question is priced from what is public and what was paid for;
refused, it tells nothing. Then the number of rows is measured, if it never was, and paid for by itself,
because what everything else costs follows from it. Then all else is measured, and paid for in one
transaction, in which permission and policy are looked at again. A refusal that follows from noisy numbers
("too few rows for a regression") is told when they are paid for, too, though it uses up no grant and no
budget of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.orm import Session

from grid.node import Node
from grid.privacy.budget.ledger import Charge, balance_of, cost_of, units_of
from grid.privacy.budget.service import check_budget, spend_budget
from grid.statistics.columns import Column
from grid.statistics.guarded.answers import GuardedAnswers, answers_of
from grid.statistics.guarded.measurement import rows as rows_of_table
from grid.statistics.guarded.questions import LOGISTIC_ROUNDS, Question, count_rows, measure
from grid.statistics.guarded.records import Payment, Reservation, exhausted, is_kept, keep, known_of
from grid.statistics.guarded.regressions import logistic_round
from grid.statistics.guarded.release import Made, Read, Release, identifier
from grid.statistics.guarded.schema import Person, Said
from grid.statistics.guarded.terms import Terms
from grid.statistics.guarded.vectors import read_vectors
from grid.statistics.sweep import Opened
from syft_ext.errors import Forbidden, GridError
from syft_ext.messages.statistics import Logistic, LogisticPartial, Partials, TableView

__all__ = ["Asking", "GuardedDesk", "Lineages"]

#: What belongs to an object's lineage: names of members, see :class:`grid.privacy.budget.ledger_tables`.
Lineages = Callable[[Session, str], Iterable[str]]

#: Looks at permission, content and policy again, and spends what the answer costs beside the ledger.
Authorise = Callable[[Session], None]


@dataclass(frozen=True, slots=True)
class Asking:
    """One question of one user, with what it is answered from.

    Attributes:
        authorise: called in every transaction that pays; spend: in the last one, where the answer is given.
        what: for the ledger.
    """

    object_id: str
    digest: str
    user_id: str
    question: Question
    terms: Terms
    opened: Opened
    authorise: Authorise
    spend: Authorise
    what: str

    def of_a_round(self, authorise: Authorise) -> Asking:
        """In a further round of an analysis, which has spent what it spends."""
        return replace(self, authorise=authorise, spend=lambda session: None)


class GuardedDesk:
    """GuardedAnswers of one node; its noise follows from the node's secret."""

    def __init__(self, node: Node, lineages: Lineages) -> None:
        self._db, self._clock = node.db, node.clock
        self._secret = node.identity.derive_secret("noise of statistics")
        self._lineages = lineages

    # -- what it costs --------------------------------------------------------------------------------

    def describe(
        self, view: TableView, object_id: str, digest: str, said: Said, column: Column, terms: Terms
    ) -> None:
        """Add to a table's view what noise there is and what is left, as far as it is known; nothing is spent."""
        release = self._released(digest, said.person, terms, None)
        (rows,) = release.take([rows_of_table(column)])
        if rows is not None:
            release.sigma = terms.sigma(int(rows[0]))
        with self._db.read() as session:
            balance = balance_of(session, self.members(session, object_id, digest), terms.allowance)
        view.guarded, view.noise = True, float(release.sigma * release.most)
        view.total, view.left = (units_of(parts, release.sigma) for parts in (balance.total, balance.left))

    def price(self, asking: Asking) -> Partials:
        """What the question would cost now, in units, and what is left of them; nothing is measured or spent."""
        release = self._release(asking, make=False)
        count_rows(asking.question, release, asking.terms)
        units, _ = self._price(asking, release)
        with self._db.read() as session:
            balance = balance_of(session, self._members(session, asking), asking.terms.allowance)
        return Partials(
            noise=self._deviation(asking, release),
            units=units,
            left=units_of(balance.left, release.sigma),
            epsilon=units * asking.terms.epsilon,
        )

    def _price(self, asking: Asking, release: Release) -> tuple[int, int]:
        """Units and cost of all that is not known; the number of rows was counted in already, if it is not."""
        measure(asking.question, release)
        reserve = self._reservation(asking, release)
        if reserve is None or is_kept(self._db, asking.digest, reserve.made.identifier):
            return release.units, release.cost
        return release.units + reserve.made.units, release.cost + reserve.made.cost

    # -- the first answer -----------------------------------------------------------------------------

    def begin(self, asking: Asking) -> Partials:
        """Measure what is not known, pay, and tell. Raises :class:`Forbidden` where the ledger has too
        little left."""
        self._check_price(asking, rows_only=True)
        units = self._pay_for_rows(asking)
        self._check_price(asking, rows_only=False)
        release = self._release(asking, make=True)
        try:
            reply = self._answers(asking, release).partials()
            reserve = self._reservation(asking, release)
        except GridError:
            self._pay(asking, release, told=False)
            raise
        units += self._pay(asking, release, reserve=reserve)
        reply.units, reply.epsilon = units, units * asking.terms.epsilon
        with self._db.read() as session:
            balance = balance_of(session, self._members(session, asking), asking.terms.allowance)
        reply.left = units_of(balance.left, release.sigma)
        return reply

    def _check_price(self, asking: Asking, *, rows_only: bool) -> None:
        """Refuse what is too dear, before anything is measured for it."""
        release = self._release(asking, make=False)
        known = count_rows(asking.question, release, asking.terms) is not None
        if rows_only and known:
            return
        rows = release.units, release.cost
        in_all = self._price(asking, release)
        units, cost = rows if rows_only else in_all
        with self._db.read() as session:
            payment = self._payment(session, asking, release)
            if asking.terms.epsilon:
                check_budget(session, asking.user_id, in_all[0] * asking.terms.epsilon)
            if cost > balance_of(session, payment.members, payment.allowance).left:
                raise exhausted(session, payment, units)

    def _pay_for_rows(self, asking: Asking) -> int:
        """Count them, if nobody did; the units that this cost."""
        release = self._release(asking, make=True)
        count_rows(asking.question, release, asking.terms)
        return self._pay(asking, release, told=False, budget=True) if release.fresh else 0

    # -- further rounds -------------------------------------------------------------------------------

    def again(self, asking: Asking) -> GuardedAnswers:
        """What the analysis was begun with, from the store: made again only where its numbers were lost."""
        return self._told_again(asking, self._release(asking, make=True))

    def _told_again(self, asking: Asking, release: Release) -> GuardedAnswers:
        """What the store lost (a database that was restored meanwhile) is made again, and paid for."""
        answers = self._answers(asking, release)
        if release.fresh:
            self._pay(asking, release)
            release.fresh.clear()
        return answers

    def logistic(self, asking: Asking, point: Logistic, *, more: bool) -> tuple[LogisticPartial, bool]:
        """A round of a logistic regression, and whether it was measured now.

        Raises :class:`Forbidden` for a point that is not known, where the analysis may ask no ``more`` of them.
        """
        release = self._release(asking, make=True)
        answers = self._told_again(asking, release)
        turn = logistic_round(asking.question, answers.measured, point)
        precision = asking.question.message.precision
        known = self._release(asking, make=False)
        known.sigma = release.sigma
        fresh = any(each is None for each in known.take([turn.gradient, turn.hessian], precision))
        if fresh and not more:
            raise Forbidden(
                f"an analysis may ask {LOGISTIC_ROUNDS} points of a logistic regression here, and has asked them"
            )
        gradient, hessian = release.take([turn.gradient, turn.hessian], precision)
        assert gradient is not None and hessian is not None
        reserve = self._reservation(asking, release)
        if fresh:
            self._pay(asking, release, under=reserve)
        moments = answers.partials().comoments
        assert moments is not None
        deviation = release.deviation(turn.gradient, precision)
        return turn.answer(gradient, hessian, moments.rows, deviation), fresh

    # -- parts ----------------------------------------------------------------------------------------

    def _release(self, asking: Asking, *, make: bool) -> Release:
        person = asking.question.said.person
        read: Read | None = None
        if make:
            read = lambda vectors: read_vectors(asking.opened, vectors, person)  # noqa: E731
        return self._released(asking.digest, person, asking.terms, read)

    def _released(self, digest: str, person: Person | None, terms: Terms, read: Read | None) -> Release:
        return Release(
            digest=digest,
            secret=self._secret,
            person="" if person is None else person.column.name,
            most=1 if person is None else person.most,
            known=known_of(self._db, digest),
            read=read,
            base=terms.base,
            sigma=terms.base,
        )

    def _answers(self, asking: Asking, release: Release) -> GuardedAnswers:
        count_rows(asking.question, release, asking.terms)
        return answers_of(asking.question, measure(asking.question, release), release, asking.terms)

    def _deviation(self, asking: Asking, release: Release) -> float:
        return float(release.sigma * release.most / asking.question.message.precision**0.5)

    def _reservation(self, asking: Asking, release: Release) -> Reservation | None:
        """The points of a logistic regression of these columns; they are paid for once, like a measurement."""
        question = asking.question
        if "logistic_regression" not in question.asked:
            return None
        assert question.target is not None
        said = (
            f"logistic {[each.column.key for each in question.together]} of {question.target.column.key!r}, "
            f"sigma {release.sigma}, precision {question.message.precision}, "
            f"person {release.person!r}, most {release.most}"
        )
        units = 2 * LOGISTIC_ROUNDS * question.message.precision
        nothing = np.zeros(0, dtype=np.int64)
        made = Made(identifier(said), said, units, cost_of(units, release.sigma), nothing)
        return Reservation(made, LOGISTIC_ROUNDS)

    def members(self, session: Session, object_id: str, digest: str) -> Sequence[str]:
        """Of the lineage of an object with this content."""
        return sorted({f"content:{digest}", *self._lineages(session, object_id)})

    def _members(self, session: Session, asking: Asking) -> Sequence[str]:
        return self.members(session, asking.object_id, asking.digest)

    def _payment(self, session: Session, asking: Asking, release: Release) -> Payment:
        entry = Charge(asking.object_id, asking.user_id, self._clock.now(), asking.what)
        members = self._members(session, asking)
        return Payment(asking.digest, members, asking.terms.allowance, entry, release.sigma)

    def _pay(
        self,
        asking: Asking,
        release: Release,
        *,
        told: bool = True,
        budget: bool = False,
        reserve: Reservation | None = None,
        under: Reservation | None = None,
    ) -> int:
        """One transaction: permission and policy again, what was made, the ledger, and the caller's own budget."""

        def pay(session: Session) -> int:
            asking.authorise(session)
            payment = self._payment(session, asking, release)
            units = keep(session, payment, release.fresh, reserve=reserve, under=under)
            if told:
                asking.spend(session)
            if asking.terms.epsilon and units and (told or budget):
                spend_budget(session, asking.user_id, units * asking.terms.epsilon)
            return units

        return self._db.run(pay)
