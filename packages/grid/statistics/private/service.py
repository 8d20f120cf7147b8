"""Private queries of the tables of this Domain: who may ask, and what the guard of a table says first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy.orm import Session

from grid.access.decision import require
from grid.access.grants import spend
from grid.access.policy import check_operation, check_output, current_policy
from grid.access.viewer import viewer_of
from grid.concurrency.offload import Semaphore, offload
from grid.node import Context, Node, Service, handles
from grid.privacy.budget.ledger import Allowance, parts_of_epsilon
from grid.statistics.guarded.desk import GuardedDesk, Lineages
from grid.statistics.guarded.schema import Said, said_of
from grid.statistics.guarded.terms import Terms, terms_of
from grid.statistics.private.desk import AskedQuery, QueryDesk
from grid.statistics.private.engine import Engine, parts_of
from grid.statistics.private.gate import Gate
from grid.statistics.private.open_dp import OpenDpEngine
from grid.statistics.private.own import OwnEngine
from grid.statistics.private.python_dp import PythonDpEngine
from grid.statistics.private.questions import KINDS, PrivateQuestion, check_floor, question_of
from grid.statistics.sweep import Opened
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import BadRequest, Conflict
from syft_ext.messages.datasets import Column as Described
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.private_queries import AskQuery, QueryAnswer

__all__ = ["BYTES", "QueryService", "Schemas", "allowance_of"]

BYTES = 8
"""What a number with noise takes, where a grant or the policy says how much may leave at once."""

_ENGINES: tuple[Engine, ...] = (OwnEngine(), PythonDpEngine(), OpenDpEngine())

#: What owners say of an object's columns: the schemas that it has, the one that counts most first.
Schemas = Callable[[Session, str], Iterable[Sequence[Described]]]


class QueryService(Service):
    """Answers with single numbers under noise; charged to the one ledger of the table."""

    def __init__(self, node: Node, *, schemas: Schemas, lineages: Lineages) -> None:
        super().__init__(node)
        self._schemas = schemas
        self._desk, self._guard = QueryDesk(node, lineages), GuardedDesk(node, lineages)
        self._turns = Semaphore(len(os.sched_getaffinity(0)))

    @handles(AskQuery)
    def ask(self, ctx: Context, message: AskQuery) -> QueryAnswer:
        ctx.note(message.object_id, query=message.query, column=message.column, epsilon=message.epsilon)
        engine = _engine_of(message)
        with self.node.db.read() as session:
            self._require(session, ctx, message.object_id)
            row, policy = session.get_one(ObjectRow, message.object_id), current_policy(session)
            digest, kind = row.blob_digest, row.kind
        check_operation(policy, f"queries.{message.query}")
        check_output(policy, BYTES)
        engine.check()
        terms = terms_of(policy)
        grants: frozenset[str] = frozenset()

        def authorise(session: Session) -> None:
            nonlocal grants
            grants = self._require(session, ctx, message.object_id, BYTES)
            now = session.get(ObjectRow, message.object_id)
            if now is None or now.blob_digest != digest or current_policy(session) != policy:
                raise Conflict("the table or the site's policy changed meanwhile; ask again")

        with offload(Opened, self.node.blobs, digest, kind) as opened:
            said = self._said(message, opened)
            question = question_of(message, opened.table, said)
            if terms is not None:
                check_floor(question, terms.base, parts_of(question))
            asked = AskedQuery(
                object_id=message.object_id,
                digest=digest,
                user_id=ctx.principal.id,
                question=question,
                engine=engine,
                opened=opened,
                allowance=allowance_of(policy, terms),
                budget=policy.statistics_epsilon is not None,
                authorise=authorise,
                spend=lambda session: spend(session, grants, now=self.node.clock.now()),
            )
            if message.dry:
                return self._desk.price(asked)
            with self._turns:
                if terms is not None:
                    gate = Gate(self._guard, terms, ctx.principal.id, authorise)
                    if gate.keeps_back(message.object_id, digest, opened, message.column, said):
                        return _kept_back(question, engine)
                answer = self._desk.ask(asked)
        for grant in grants:
            ctx.note(grant=grant)
        if answer.share:
            ctx.note(share=answer.share)
        return answer

    def _said(self, message: AskQuery, opened: Opened) -> Said:
        with self.node.db.read() as session:
            columns = opened.table.take([message.column])
            return said_of(self._schemas(session, message.object_id), opened.table, columns)

    def _require(self, session: Session, ctx: Context, object_id: str, leaves: int = 0) -> frozenset[str]:
        viewer, now = viewer_of(session, ctx.principal), self.node.clock.now()
        return require(session, viewer, "statistics", [object_id], now=now, output_bytes=leaves)


def _engine_of(message: AskQuery) -> Engine:
    kind = KINDS[message.query]
    for engine in _ENGINES:
        if kind in engine.kinds and message.engine in ("", engine.name):
            return engine
    able = ", ".join(engine.name for engine in _ENGINES if kind in engine.kinds)
    raise BadRequest(f"{message.engine} answers no {message.query}; these do: {able}", engine=message.engine)


def allowance_of(policy: SitePolicy, terms: Terms | None) -> Allowance:
    """A private query is limited also where statistics are exact: who asks one, asks for that promise."""
    return Allowance(parts_of_epsilon(policy.statistics_total)) if terms is None else terms.allowance


def _kept_back(question: PrivateQuestion, engine: Engine) -> QueryAnswer:
    return QueryAnswer(
        query=question.query,
        column=question.column.column.label,
        kept_back=True,
        rows_per_person=question.most,
        engine=engine.name,
        epsilon=float(question.epsilon),
    )
