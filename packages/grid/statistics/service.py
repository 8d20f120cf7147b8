"""Statistics on the tables of this Domain: who may have them, what they cost, and the rounds of an analysis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy.orm import Session

from grid.access.decision import require
from grid.access.grants import spend
from grid.access.policy import current_policy
from grid.access.viewer import viewer_of
from grid.concurrency.offload import Semaphore, offload
from grid.node import Context, Node, Service, handles
from grid.privacy.budget.service import spend_budget
from grid.statistics.analyses import Analyses, Analysis
from grid.statistics.columns import bounds_of
from grid.statistics.first_round import FirstRound
from grid.statistics.rounds import answer_round, check_round
from grid.statistics.rules import check_asked, check_policy
from grid.statistics.sweep import Opened
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Conflict
from syft_ext.messages import statistics as s
from syft_ext.messages.datasets import Column as Described

__all__ = ["StatisticsService"]


#: What owners say of an object's columns: the schemas that it has, the one that counts most first.
Schemas = Callable[[Session, str], Iterable[Sequence[Described]]]


class StatisticsService(Service):
    """Answers with partial aggregates; rows do not leave."""

    def __init__(self, node: Node, *, schemas: Schemas) -> None:
        super().__init__(node)
        self._schemas = schemas
        self._analyses = Analyses()
        # The pool of threads is everybody's: readings of large tables take turns.
        self._turns = Semaphore(len(os.sched_getaffinity(0)))

    @handles(s.DescribeTable)
    def describe(self, ctx: Context, message: s.DescribeTable) -> s.TableView:
        with self.node.db.read() as session:
            self._require(session, ctx, message.object_id)
            policy, row = current_policy(session), session.get_one(ObjectRow, message.object_id)
            digest, kind = row.blob_digest, row.kind
        with offload(Opened, self.node.blobs, digest, kind) as opened:
            columns = list(opened.table.columns.values())
        with self.node.db.read() as session:
            bounds = bounds_of(self._schemas(session, message.object_id), columns)
        return s.TableView(
            columns=[
                s.TableColumn(
                    name=column.name,
                    dtype=column.dtype,
                    low=bounds[column.name][0] if column.name in bounds else None,
                    high=bounds[column.name][1] if column.name in bounds else None,
                )
                for column in columns
            ],
            min_rows=policy.min_rows,
            epsilon=policy.statistics_epsilon,
        )

    @handles(s.Begin)
    def begin(self, ctx: Context, message: s.Begin) -> s.Partials:
        """Compute first, then spend and answer: what fails costs nothing, and what was revoked meanwhile fails."""
        _note(ctx, message)
        check_asked(message)
        with self.node.db.read() as session:
            self._require(session, ctx, message.object_id)
            policy, row = current_policy(session), session.get_one(ObjectRow, message.object_id)
            digest, kind = row.blob_digest, row.kind
        check_policy(policy, message)
        with offload(Opened, self.node.blobs, digest, kind) as opened:
            with self.node.db.read() as session:
                named = opened.table.take(list(dict.fromkeys([*message.by, *message.columns])))
                bounds = bounds_of(self._schemas(session, message.object_id), named)
            first_round = FirstRound(opened, message, policy, bounds)
            with self._turns:
                reply = first_round.run()
        grants = self._pay(ctx, first_round, digest, reply.epsilon)
        if not reply.epsilon and (histograms := Analyses.may_ask_on(message, policy)) is not None:
            reply.analysis_id = self._analyses.add(
                Analysis(
                    user_id=ctx.principal.id,
                    message=message,
                    policy=policy,
                    digest=digest,
                    kind=kind,
                    grants=grants,
                    expires_at=Analyses.expiry(self.node.clock.now()),
                    keys=first_round.keys,
                    groups=first_round.groups,
                    codes=first_round.codes,
                    histograms=histograms,
                )
            )
        return reply

    def _pay(self, ctx: Context, first_round: FirstRound, digest: str, epsilon: float) -> frozenset[str]:
        """Spend what the answer costs, in the transaction after which it is given; the grants it rests on."""
        object_id = first_round.message.object_id
        now = self.node.clock.now()
        with self.node.db.transaction() as session:
            grants = self._require(session, ctx, object_id)
            row = session.get_one(ObjectRow, object_id)
            if row.blob_digest != digest or current_policy(session) != first_round.policy:
                raise Conflict("the table or the site's policy changed meanwhile; ask again")
            spend(session, grants, now=now)
            if epsilon:
                spend_budget(session, ctx.principal.id, epsilon)
        for grant in grants:
            ctx.note(grant=grant)
        if epsilon:
            ctx.note(epsilon=epsilon)
        return grants

    @handles(s.Continue)
    def continue_(self, ctx: Context, message: s.Continue) -> s.Partials:
        now = self.node.clock.now()
        analysis = self._analyses.round(message.analysis_id, ctx.principal.id, now)
        _note(ctx, analysis.message)
        for grant in analysis.grants:
            ctx.note(grant=grant)
        with self.node.db.read() as session:
            viewer = viewer_of(session, ctx.principal)
            # An analysis is one use, of however many rounds: what it spent counts until it is revoked or expires.
            asked = [analysis.message.object_id]
            require(session, viewer, "statistics", asked, now=now, spent=analysis.grants)
            row = session.get(ObjectRow, analysis.message.object_id)
            changed = row is None or row.blob_digest != analysis.digest
            if changed or current_policy(session) != analysis.policy:
                raise Conflict("the table or the site's policy changed meanwhile; begin again")
        with analysis.lock, offload(Opened, self.node.blobs, analysis.digest, analysis.kind) as opened:
            check_round(analysis, message)
            with self._turns:
                return answer_round(analysis, opened, message)

    def _require(self, session: Session, ctx: Context, object_id: str) -> frozenset[str]:
        viewer = viewer_of(session, ctx.principal)
        return require(session, viewer, "statistics", [object_id], now=self.node.clock.now())


def _note(ctx: Context, message: s.Begin) -> None:
    """For the audit log: which statistics of which columns. Names are no data."""
    ctx.note(message.object_id, statistics=",".join(message.statistics), columns=",".join(message.columns))
    if message.by:
        ctx.note(by=",".join(message.by))
    if message.target:
        ctx.note(target=message.target)
