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
from grid.statistics.analyses import Analyses, Analysis
from grid.statistics.first_round import FirstRound
from grid.statistics.guarded.desk import Asking, GuardedDesk, Lineages
from grid.statistics.guarded.questions import question_of
from grid.statistics.guarded.schema import said_of
from grid.statistics.guarded.terms import Terms, terms_of
from grid.statistics.rounds import answer_round, check_round
from grid.statistics.rules import check_asked, check_policy, lets_ask
from grid.statistics.sweep import Opened
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Conflict
from syft_ext.messages import statistics as s
from syft_ext.messages.datasets import Column as Described
from syft_ext.messages.policy import SitePolicy

__all__ = ["Schemas", "StatisticsService"]


#: What owners say of an object's columns: the schemas that it has, the one that counts most first.
Schemas = Callable[[Session, str], Iterable[Sequence[Described]]]


class StatisticsService(Service):
    """Answers with partial aggregates; rows do not leave."""

    def __init__(self, node: Node, *, schemas: Schemas, lineages: Lineages) -> None:
        super().__init__(node)
        self._schemas = schemas
        self._analyses = Analyses()
        self._desk = GuardedDesk(node, lineages)
        # The pool of threads is everybody's: readings of large tables take turns.
        self._turns = Semaphore(len(os.sched_getaffinity(0)))

    @handles(s.DescribeTable)
    def describe(self, ctx: Context, message: s.DescribeTable) -> s.TableView:
        policy, digest, kind = self._found(ctx, message.object_id)
        terms = terms_of(policy)
        with offload(Opened, self.node.blobs, digest, kind) as opened:
            columns = list(opened.table.columns.values())
            with self.node.db.read() as session:
                schemas = self._schemas(session, message.object_id)
                said = said_of(schemas, opened.table, columns, guarded=terms is not None)
        view = s.TableView(
            columns=[said.view(column) for column in columns],
            min_rows=policy.min_rows,
            epsilon=policy.statistics_epsilon,
        )
        if said.person is not None:
            view.person, view.rows_per_person = said.person.column.name, said.person.most
        if terms is not None:
            self._desk.describe(view, message.object_id, digest, said, columns[0], terms)
        return view

    @handles(s.Begin)
    def begin(self, ctx: Context, message: s.Begin) -> s.Partials:
        """Compute first, then spend and answer: what fails costs nothing, and what was revoked meanwhile fails."""
        _note(ctx, message)
        check_asked(message)
        policy, digest, kind = self._found(ctx, message.object_id)
        terms = terms_of(policy)
        check_policy(policy, message, guarded=terms is not None)
        analysis = Analysis(
            user_id=ctx.principal.id,
            message=message,
            policy=policy,
            digest=digest,
            kind=kind,
            grants=frozenset(),
            expires_at=Analyses.expiry(self.node.clock.now()),
        )
        with offload(Opened, self.node.blobs, digest, kind) as opened:
            reply = (
                self._exactly(ctx, analysis, opened)
                if terms is None
                else self._guarded(ctx, analysis, opened, terms)
            )
        for grant in analysis.grants:
            ctx.note(grant=grant)
        if reply.epsilon and not message.dry:
            ctx.note(epsilon=reply.epsilon)
        if reply.units and not message.dry:
            ctx.note(units=reply.units)
        if not message.dry and (histograms := Analyses.may_ask_on(message)) is not None:
            analysis.histograms = histograms
            reply.analysis_id = self._analyses.add(analysis)
        return reply

    def _exactly(self, ctx: Context, analysis: Analysis, opened: Opened) -> s.Partials:
        first_round = FirstRound(opened, analysis.message, missing=lets_ask(analysis.policy, "missing"))
        if analysis.message.dry:
            first_round.check()
            return s.Partials()
        with self._turns:
            reply = first_round.run()
        analysis.keys, analysis.groups, analysis.codes = (
            first_round.keys,
            first_round.groups,
            first_round.codes,
        )
        with self.node.db.transaction() as session:
            self._authorise(ctx, analysis, session)
            spend(session, analysis.grants, now=self.node.clock.now())
        return reply

    def _guarded(self, ctx: Context, analysis: Analysis, opened: Opened, terms: Terms) -> s.Partials:
        asking = self._asking(ctx, analysis, opened, terms)
        if analysis.message.dry:
            return self._desk.price(asking)
        with self._turns:
            reply = self._desk.begin(asking)
        many = len(reply.groups) if analysis.message.by else 1
        analysis.codes = list(range(many))
        return reply

    def _asking(self, ctx: Context, analysis: Analysis, opened: Opened, terms: Terms) -> Asking:
        message = analysis.message
        with self.node.db.read() as session:
            named = list(dict.fromkeys([*message.by, *message.columns, *filter(None, [message.target])]))
            said = said_of(self._schemas(session, message.object_id), opened.table, opened.table.take(named))
        return Asking(
            object_id=message.object_id,
            digest=analysis.digest,
            user_id=ctx.principal.id,
            question=question_of(message, opened.table, said),
            terms=terms,
            opened=opened,
            authorise=lambda session: self._authorise(ctx, analysis, session),
            spend=lambda session: spend(session, analysis.grants, now=self.node.clock.now()),
            what=_what(message),
        )

    def _authorise(self, ctx: Context, analysis: Analysis, session: Session) -> None:
        """In the transaction after which an answer is given: the permission, and that nothing changed
        meanwhile."""
        object_id = analysis.message.object_id
        analysis.grants = self._require(session, ctx, object_id)
        self._check_unchanged(analysis, session)

    @staticmethod
    def _check_unchanged(analysis: Analysis, session: Session) -> None:
        row = session.get(ObjectRow, analysis.message.object_id)
        if row is None or row.blob_digest != analysis.digest or current_policy(session) != analysis.policy:
            raise Conflict("the table or the site's policy changed meanwhile; begin again")

    @handles(s.Continue)
    def continue_(self, ctx: Context, message: s.Continue) -> s.Partials:
        analysis = self._analyses.round(message.analysis_id, ctx.principal.id, self.node.clock.now())
        _note(ctx, analysis.message)
        for grant in analysis.grants:
            ctx.note(grant=grant)
        with self.node.db.read() as session:
            self._authorise_round(ctx, analysis, session)
        terms = terms_of(analysis.policy)
        with analysis.lock, offload(Opened, self.node.blobs, analysis.digest, analysis.kind) as opened:
            check_round(analysis, message)
            with self._turns:
                if terms is None:
                    return answer_round(analysis, opened, message)
                return self._guarded_round(ctx, analysis, opened, terms, message)

    def _authorise_round(self, ctx: Context, analysis: Analysis, session: Session) -> None:
        """An analysis is one use, of however many rounds: what it spent counts until it is revoked or expires."""
        viewer = viewer_of(session, ctx.principal)
        now = self.node.clock.now()
        object_id = analysis.message.object_id
        require(session, viewer, "statistics", [object_id], now=now, spent=analysis.grants)
        self._check_unchanged(analysis, session)

    def _guarded_round(
        self, ctx: Context, analysis: Analysis, opened: Opened, terms: Terms, message: s.Continue
    ) -> s.Partials:
        asking = self._asking(ctx, analysis, opened, terms).of_a_round(
            lambda session: self._authorise_round(ctx, analysis, session)
        )
        reply = s.Partials(analysis_id=message.analysis_id)
        if message.ranks or message.histograms:
            answers = self._desk.again(asking)
            reply.noise = answers.deviation
            reply.ranks = answers.ranks(message.ranks)
            reply.histograms = [answers.histogram(bins) for bins in message.histograms]
            reply.suppressed = any(None in row for each in reply.histograms for row in each.counts)
        if message.logistic is not None:
            reply.logistic, fresh = self._desk.logistic(asking, message.logistic, more=analysis.points > 0)
            analysis.points -= fresh
        return reply

    def _found(self, ctx: Context, object_id: str) -> tuple[SitePolicy, str, str]:
        """The policy, and digest and kind of an object that the caller may have statistics of now."""
        with self.node.db.read() as session:
            self._require(session, ctx, object_id)
            row = session.get_one(ObjectRow, object_id)
            return current_policy(session), row.blob_digest, row.kind

    def _require(self, session: Session, ctx: Context, object_id: str) -> frozenset[str]:
        viewer = viewer_of(session, ctx.principal)
        return require(session, viewer, "statistics", [object_id], now=self.node.clock.now())


def _what(message: s.Begin) -> str:
    """For the owner's ledger, in words."""
    parts = [", ".join(message.statistics).replace("_", " "), "of", ", ".join(message.columns)]
    if message.target:
        parts += ["for", message.target]
    if message.by:
        parts += ["by", ", ".join(message.by)]
    return " ".join(parts)


def _note(ctx: Context, message: s.Begin) -> None:
    """For the audit log: which statistics of which columns. Names are no data."""
    ctx.note(message.object_id, statistics=",".join(message.statistics), columns=",".join(message.columns))
    if message.by:
        ctx.note(by=",".join(message.by))
    if message.target:
        ctx.note(target=message.target)
