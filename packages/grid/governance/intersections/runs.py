"""Approved intersections: what this Domain brings, what that costs, and what may leave when it is over."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
from sqlalchemy.orm import Session

from grid.access.grants import spend
from grid.access.policy import check_operation, current_policy
from grid.access.sources import sources_of
from grid.catalogue.schemas import lineage_of, schemas_of
from grid.concurrency.offload import offload
from grid.governance.decisions.approval import check_contents, objects_of
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.living import require_live, require_still
from grid.governance.decisions.tables import IntersectionRequest, RequestRow
from grid.governance.intersections.budget import spend_ids
from grid.governance.intersections.columns import Brought, read_side, side_of
from grid.governance.intersections.matched import keep_rows
from grid.governance.plans.charging import PlanQuestion, charge_release
from grid.governance.requests.manager import visible_request
from grid.node import Context
from grid.quotas.enforcing import require_fit
from grid.statistics.sweep import Opened
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Forbidden, NotFound, Unsupported
from syft_ext.messages.intersection_terms import IntersectionTerms
from syft_ext.messages.policy import SitePolicy

__all__ = ["ApprovedIntersection", "IntersectionRuns"]


@dataclass(frozen=True, slots=True)
class ApprovedIntersection:
    """What was approved, as of the beginning of the run."""

    request_id: str
    user_id: str
    object_id: str
    content: str
    agreement: str
    party: int
    terms: IntersectionTerms
    grants: tuple[str, ...]

    @property
    def objects(self) -> list[str]:
        """The table."""
        return [self.object_id]

    @property
    def peer(self) -> str:
        """The other Domain's verify key."""
        return self.terms.parties[1 - self.party]


class IntersectionRuns:
    """Takes uses and ids before anything runs; they stay taken when a run fails."""

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock) -> None:
        self._db, self._blobs, self._clock = db, blobs, clock

    def begin(
        self, ctx: Context, load_reviewer: ReviewerLoader, request_id: str
    ) -> tuple[ApprovedIntersection, Brought]:
        """Raises :class:`Forbidden` without a live approval, or where a budget has too little left,
        :class:`Conflict` where the table changed, :class:`Unsupported` where results must be clipped or get
        noise."""
        with self._db.read() as session:
            kind = self._approved(session, load_reviewer, request_id)[1]
            ctx.note(kind.object_id, agreement=kind.agreement)
            self._blobs.open(kind.content).close()  # a damaged one costs no use
        with self._db.transaction() as session:
            approved = self._begin(session, load_reviewer, request_id)
            schemas = list(schemas_of(session, approved.object_id))
            stored = session.get_one(ObjectRow, approved.object_id).kind
        for grant in approved.grants:
            ctx.note(grant=grant)
        ctx.note(ids=approved.terms.sides[1 - approved.party].most, peer=approved.peer)

        def read() -> Brought:
            with Opened(self._blobs, approved.content, stored) as opened:
                side = side_of(opened.table, schemas, approved.terms, approved.party)
                return read_side(opened, side, approved.terms, approved.party)

        return approved, offload(read)

    def finish(self, approved: ApprovedIntersection, rows: bytes, run: str) -> str:
        """The object of the rows that are kept, "" for none; after this the number leaves.

        Raises :class:`Forbidden` where the approval, or the account, ended while this ran.
        """
        with self._db.read() as session:
            require_fit(session, approved.user_id, "objects", size=len(rows), number=int(bool(rows)))
        with ExitStack() as held:
            blob = held.enter_context(self._blobs.put([rows])) if rows else None
            with self._db.transaction() as session:
                now = self._clock.now()
                require_still(session, approved.request_id, approved.user_id, approved.grants, now)
                policy = current_policy(session)
                self._check_policy(policy, approved.terms)
                kept = ""
                if blob is not None:
                    pair = session.get_one(IntersectionRequest, approved.request_id)
                    kept = keep_rows(session, pair, approved.user_id, approved.peer, run, blob, now)
                objects = objects_of(session, [approved.request_id])[approved.request_id]
                what = f"how many ids are in a table of {approved.peer[:16]}, request {approved.request_id}"
                question = PlanQuestion(b"", objects, approved.user_id, now, what)
                charge_release(session, policy, question, approved.agreement)
        return kept

    def _begin(
        self, session: Session, load_reviewer: ReviewerLoader, request_id: str
    ) -> ApprovedIntersection:
        row, pair, grants = self._approved(session, load_reviewer, request_id)
        terms, policy = msgspec.convert(pair.terms, IntersectionTerms), current_policy(session)
        self._check_policy(policy, terms)
        approved = ApprovedIntersection(
            row.id,
            row.user_id,
            pair.object_id,
            pair.content,
            pair.agreement,
            pair.party,
            terms,
            tuple(grants),
        )
        spend(session, grants, now=self._clock.now())
        members = set[str]()
        for object_id in sorted(sources_of(session, [pair.object_id])[pair.object_id] | {pair.object_id}):
            members |= lineage_of(session, object_id)
        spend_ids(
            session,
            user_id=row.user_id,
            peer=approved.peer,
            members=members,
            ids=terms.sides[1 - pair.party].most,
            most=policy.intersection_ids,
        )
        return approved

    def _approved(
        self, session: Session, load_reviewer: ReviewerLoader, request_id: str
    ) -> tuple[RequestRow, IntersectionRequest, list[str]]:
        viewer, reviewer = load_reviewer(session)
        row = visible_request(session, viewer, reviewer, request_id)
        pair = session.get(IntersectionRequest, row.id)
        if pair is None:
            raise NotFound("this request is not for an intersection", id=request_id)
        if row.user_id != viewer.user_id:
            raise Forbidden("only who asked for it runs an intersection", id=request_id)
        grants = require_live(session, row, self._clock.now())
        check_contents(session, row)
        return row, pair, grants

    @staticmethod
    def _check_policy(policy: SitePolicy, terms: IntersectionTerms) -> None:
        check_operation(policy, "intersections.rows" if terms.keeps_rows else "intersections.size")
        if terms.minimum < policy.min_rows:
            raise Forbidden(
                f"the site's policy demands aggregates over at least {policy.min_rows} rows: a smaller number of "
                "common ids must not be told",
                min_rows=policy.min_rows,
            )
        if policy.noise_multiplier is not None or policy.clip_norm is not None:
            raise Unsupported(
                "the policy of this site demands that results are clipped or get noise, and the number of common "
                "ids is exact"
            )
