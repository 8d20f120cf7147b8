"""The order of a private query: paid for, then read, then kept, then told.

One transaction looks at permission and policy, writes the question down and charges the ledger for it; only what
it wrote down is read. Who asks the same again, after a crash too, finds the question paid for: with the noise of
Grid it has the same answer, and of a library's draws only the first that was kept is ever told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import update
from sqlalchemy.orm import Session

from grid.concurrency.offload import offload
from grid.node import Node
from grid.privacy.budget.ledger import Allowance, Balance, Charge, balance_of, charge, cost_of_rho, ledger_of
from grid.privacy.budget.service import spend_budget
from grid.statistics.guarded.desk import Lineages
from grid.statistics.guarded.payloads import packed, unpacked
from grid.statistics.guarded.release import identifier
from grid.statistics.guarded.tables import StatisticsMeasurement
from grid.statistics.guarded.vectors import read_vectors
from grid.statistics.private.answering import answer_of
from grid.statistics.private.engine import Engine, Whole, parts_of
from grid.statistics.private.questions import PrivateQuestion
from grid.statistics.sweep import Opened
from grid.storage.sql.dialect import insert, table_of
from syft_ext.errors import Conflict, Forbidden
from syft_ext.messages.private_queries import QueryAnswer
from syft_ext.privacy.keys import derive_key

__all__ = ["AskedQuery", "QueryDesk"]

Authorise = Callable[[Session], None]


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """One question of one user, with what it is answered from.

    Attributes:
        allowance: of the lineage. budget: whether the caller's own budget pays too (the policy's
            ``statistics_epsilon``).
        authorise: looks at permission, content and policy, in every transaction. spend: uses up the grants.
    """

    object_id: str
    digest: str
    user_id: str
    question: PrivateQuestion
    engine: Engine
    opened: Opened
    allowance: Allowance
    budget: bool
    authorise: Authorise
    spend: Authorise

    @property
    def line(self) -> str:
        """The question, as it is kept."""
        return self.question.line(self.engine.name)

    @property
    def cost(self) -> int:
        """Of the ledger: every noisy number of ε is (ε²/2)-zCDP."""
        return cost_of_rho(float(sum((part * part / 2 for part in parts_of(self.question)), Fraction())))


class QueryDesk:
    """Answers the private queries of one node."""

    def __init__(self, node: Node, lineages: Lineages) -> None:
        self._db, self._clock = node.db, node.clock
        self._secret = node.identity.derive_secret("noise of private queries")
        self._lineages = lineages

    def price(self, asked: AskedQuery) -> QueryAnswer:
        """What it would take now; nothing is read or spent."""
        with self._db.read() as session:
            balance = self._balance(session, asked)
            known = session.get(StatisticsMeasurement, (asked.digest, identifier(asked.line))) is not None
        question = asked.question
        return QueryAnswer(
            query=question.query,
            column=question.column.column.label,
            rows_per_person=question.most,
            engine=asked.engine.name,
            epsilon=float(question.epsilon),
            share=0.0 if known else asked.cost / balance.total if balance.total else 1.0,
            left=_left(balance),
        )

    def ask(self, asked: AskedQuery) -> QueryAnswer:
        """Raises :class:`Forbidden` where the ledger, or the caller's budget, has too little left."""
        charged, kept, balance = self._db.run(lambda session: self._pay(session, asked))
        if kept is None:
            made = self._made(asked)
            kept = self._db.run(lambda session: self._keep(session, asked, made))
        parts = asked.engine.parts(asked.question, unpacked(kept))
        answer = answer_of(asked.question, asked.engine.name, parts)
        answer.share = asked.cost / balance.total if charged and balance.total else 0.0
        answer.left = _left(balance)
        return answer

    def _pay(self, session: Session, asked: AskedQuery) -> tuple[bool, bytes | None, Balance]:
        """In one transaction; whether anything was charged, what is kept of an answer, and what is left."""
        asked.authorise(session)
        now, name = self._clock.now(), identifier(asked.line)
        ledger = ledger_of(session, self._members(session, asked), now=now)
        row = {
            "digest": asked.digest,
            "identifier": name,
            "question": asked.line,
            "units": 0,
            "cost": asked.cost,
            "reserved_by": None,
            "user_id": asked.user_id,
            "at": now,
            "payload": None,
        }
        table = table_of(StatisticsMeasurement)
        statement = insert(session, table).values(row).on_conflict_do_nothing().returning(table.c.identifier)
        if session.execute(statement).first() is None:
            known = session.get_one(StatisticsMeasurement, (asked.digest, name))
            if known.user_id != asked.user_id:
                asked.spend(session)
            return False, known.payload, self._balance(session, asked)
        question = asked.question
        what = f"{question.query} of {question.column.column.label}, epsilon {float(question.epsilon):.6g}"
        entry = Charge(asked.object_id, asked.user_id, now, what, "query")
        if not charge(session, ledger, asked.cost, asked.allowance, entry):
            balance = self._balance(session, asked)
            raise Forbidden(
                f"this table has told what its owner lets out: this asks for {asked.cost / balance.total:.1%} of "
                f"the whole, and {_left(balance):.1%} is left. What was asked before can be asked again; the "
                "owner may grant more",
                left=_left(balance),
                cost=asked.cost / balance.total,
            )
        if asked.budget:
            spend_budget(session, asked.user_id, float(question.epsilon))
        asked.spend(session)
        return True, None, self._balance(session, asked)

    def _made(self, asked: AskedQuery) -> Whole:
        exact = read_vectors(asked.opened, asked.engine.vectors(asked.question), asked.question.person)
        key = derive_key(self._secret, "private query", asked.digest.encode(), asked.line.encode())
        return offload(asked.engine.draw, asked.question, exact, key)

    def _keep(self, session: Session, asked: AskedQuery, made: Whole) -> bytes:
        """What is told: what somebody else kept meanwhile stays, for a library draws other noise each time."""
        asked.authorise(session)
        key = (asked.digest, identifier(asked.line))
        session.execute(
            update(StatisticsMeasurement)
            .where(
                StatisticsMeasurement.digest == key[0],
                StatisticsMeasurement.identifier == key[1],
                StatisticsMeasurement.payload.is_(None),
            )
            .values(payload=packed(made))
        )
        row = session.get(StatisticsMeasurement, key)
        if row is None or row.payload is None:
            raise Conflict("what was paid for this question is not in the database any more; ask again")
        return row.payload

    def _members(self, session: Session, asked: AskedQuery) -> list[str]:
        return sorted({f"content:{asked.digest}", *self._lineages(session, asked.object_id)})

    def _balance(self, session: Session, asked: AskedQuery) -> Balance:
        return balance_of(session, self._members(session, asked), asked.allowance)


def _left(balance: Balance) -> float:
    return balance.left / balance.total if balance.total else 0.0
