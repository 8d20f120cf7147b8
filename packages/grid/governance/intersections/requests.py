"""Requests to compare ids with another Domain's: taken in, with what is wrong of the table."""

from __future__ import annotations

import msgspec
from sqlalchemy.orm import Session

from grid.access.decision import governs
from grid.access.policy import current_policy
from grid.access.sources import sources_of
from grid.access.viewer import Viewer
from grid.catalogue.schemas import lineage_of, schemas_of
from grid.concurrency.offload import offload
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.tables import IntersectionRequest, RequestRow
from grid.governance.intersections.budget import spent_of
from grid.governance.intersections.columns import problem_of
from grid.governance.plans.inputs import may_see_sizes
from grid.governance.requests.manager import RequestManager
from grid.governance.requests.submission import ask, label_of
from grid.node import Context
from grid.statistics.sweep import Opened
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages import intersections as m
from syft_ext.messages.requests import RequestView

__all__ = ["IntersectionRequests"]


class IntersectionRequests:
    """``node_key``: this node's, which is one of the parties."""

    def __init__(
        self, db: Database, blobs: BlobStore, clock: Clock, requests: RequestManager, node_key: str
    ) -> None:
        self._db, self._blobs, self._clock = db, blobs, clock
        self._requests, self._node_key = requests, node_key

    def create(
        self, ctx: Context, load_reviewer: ReviewerLoader, message: m.CreateIntersectionRequest
    ) -> RequestView:
        """Raises :class:`BadRequest` for terms of which this node is no party, and for what is wrong of the table
        as far as the caller may know it; reviewers are told anyhow."""
        terms = message.terms
        terms.check()
        if self._node_key not in terms.parties:
            raise BadRequest("this node is none of the parties", field="terms")
        party, agreement, now = terms.parties.index(self._node_key), terms.digest(), self._clock.now()
        ctx.note(message.object_id, agreement=agreement)
        with self._db.read() as session:
            viewer, _ = load_reviewer(session)
            label = label_of(session, viewer, message.object_id, now)
            row = session.get_one(ObjectRow, message.object_id)
            content, kind = row.blob_digest, row.kind
            shown = may_see_sizes(session, viewer, row.id, now)
            schemas = list(schemas_of(session, row.id))
        with offload(Opened, self._blobs, content, kind) as opened:
            problem = problem_of(opened.table, schemas, terms, party)
        if problem and shown:
            raise BadRequest(problem, field="terms")

        def make(session: Session, viewer: Viewer, now: float) -> RequestRow:
            row = ask(
                session,
                viewer,
                scope="intersection",
                same=f"intersection:{agreement[:40]}",
                object_id=message.object_id,
                label=label,
                objects=sources_of(session, [message.object_id])[message.object_id],
                reason=message.reason,
                now=now,
            )
            session.add(
                IntersectionRequest(
                    request_id=row.id,
                    object_id=message.object_id,
                    content=content,
                    agreement=agreement,
                    terms=msgspec.to_builtins(terms),
                    party=party,
                    problem=problem,
                    shown=shown,
                )
            )
            session.flush()
            return row

        return self._requests.asked(load_reviewer, make)

    def budget(self, load_reviewer: ReviewerLoader, object_id: str) -> m.IntersectionBudgetView:
        """Who tested how many ids against a table. Raises :class:`NotFound` for who neither governs it nor
        reviews."""
        with self._db.read() as session:
            viewer, reviewer = load_reviewer(session)
            there = session.get(ObjectRow, object_id) is not None
            if not there or not (reviewer or governs(session, viewer.user_id, object_id)):
                raise NotFound("there is no such table of yours", id=object_id)
            tested = spent_of(session, lineage_of(session, object_id))
            most = current_policy(session).intersection_ids
        return m.IntersectionBudgetView(
            most=most, tested=[m.TestedIds(who=who, spent=spent) for who, spent in tested.items()]
        )
