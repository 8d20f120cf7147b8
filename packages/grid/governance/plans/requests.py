"""Requests to run plans: taken in, and shown to who reviews them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import ExitStack

import msgspec
from blake3 import blake3
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from grid.access.policy import check_operation, current_policy
from grid.access.viewer import Viewer
from grid.concurrency.offload import offload
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.tables import PlanRequest, RequestObject, RequestRow
from grid.governance.decisions.views import facts_for
from grid.governance.intersections.matched import check_matched, check_same_rows, sources_here
from grid.governance.plans.inputs import GivenObject, check_terms, describe, may_see_sizes, parse
from grid.governance.plans.review_sandbox import ReviewSandbox
from grid.governance.plans.split import check_crossing, check_split, party_of
from grid.governance.requests.manager import RequestManager, visible_request
from grid.governance.requests.submission import ask, label_of
from grid.node import Context
from grid.node.plan_processes import PlanProcesses
from grid.quotas.enforcing import require_fit, require_room
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.references import record
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, InvalidPlan, NotFound
from syft_ext.messages.plan_facts import PlanFacts
from syft_ext.messages.plan_requests import CreatePlanRequest, PlanReview
from syft_ext.messages.requests import RequestView
from syft_ext.plans.graph.document import decode
from syft_ext.plans.graph.text import as_text
from syft_ext.tensors import Layout, read_layout

__all__ = ["PlanRequests"]

MAX_BYTES = 32 << 20
"""Of a plan and the values that come with it."""


class PlanRequests:
    """Works out what a plan asks for, from the plan and the objects as they are when it is sent."""

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        clock: Clock,
        processes: PlanProcesses,
        requests: RequestManager,
        node_key: str,
    ) -> None:
        self._db, self._blobs, self._clock, self._node_key = db, blobs, clock, node_key
        self._processes, self._requests = processes, requests

    def create(self, ctx: Context, load_reviewer: ReviewerLoader, message: CreatePlanRequest) -> RequestView:
        """Check the plan in the sandbox, keep it, and ask; a standing rule may answer at once.

        Raises :class:`InvalidPlan`, and what is wrong with it as far as the caller may know sizes.
        """
        with self._db.read() as session:
            require_fit(session, ctx.principal.id, "plans", size=ctx.body.size or 0, number=1)
        body = bytes(ctx.body.read_all(MAX_BYTES))
        size = message.plan_size or len(body)
        if size > len(body):
            raise BadRequest("the payload is shorter than its plan", field="plan_size")
        plan, values = body[:size], body[size:]
        plan_id = blake3(plan).hexdigest()
        ctx.note(plan=plan_id)
        sandbox = ReviewSandbox(self._processes, ctx.principal.id)
        document = sandbox.prove(plan)
        objects, shown = self._resolve(load_reviewer, message)
        layout = _layout(values) if values else None
        if message.shared is not None:
            check_terms(message.shared, self._node_key, objects)
        values_id = blake3(values).hexdigest() if values else ""
        split = None
        if message.split is not None:
            if message.shared is not None:
                raise BadRequest("a plan is computed on shares, or of a split network", field="split")
            check_split(message.split, self._node_key, plan_id, values_id)
            split = message.split, party_of(message.split, self._node_key)
        facts = describe(
            sandbox, self._blobs, plan, plan_id, document, objects, layout, message.shared, split
        )
        facts.values = values_id
        if message.shared is not None:
            facts.shared, facts.agreement = message.shared, message.shared.digest(plan_id, facts.values)
            ctx.note(agreement=facts.agreement)
        if message.split is not None:
            facts.split, facts.agreement = message.split, message.split.digest()
            ctx.note(agreement=facts.agreement)
        if facts.problem and shown:
            raise InvalidPlan(facts.problem)
        with ExitStack() as held:
            blobs = [held.enter_context(self._blobs.put([data])) for data in (plan, values) if data]

            def make(session: Session, viewer: Viewer, now: float) -> RequestRow:
                policy = current_policy(session)
                given = {name: each.object_id for name, each in objects.items()}
                if split is None:
                    check_matched(session, given, message.shared)
                else:
                    check_same_rows(session, given.values(), split[0])
                    check_crossing(policy, *split)
                for name in document.ops:
                    check_operation(policy, name)
                row = _ask(session, viewer, message, facts, objects, now)
                record(session, *sorted(blobs, key=lambda blob: blob.digest))
                session.add(_plan_row(row, facts, objects, shown))
                require_room(session, viewer.user_id, "plans")
                return row

            return self._requests.asked(load_reviewer, make)

    def _resolve(
        self, load_reviewer: ReviewerLoader, message: CreatePlanRequest
    ) -> tuple[dict[str, GivenObject], bool]:
        """The objects as they are now, and whether their sizes are shown to who asks."""
        now, found, shown = self._clock.now(), {}, True
        with self._db.read() as session:
            viewer, _ = load_reviewer(session)
            for name, given in parse(message.inputs).items():
                label = label_of(session, viewer, given.object_id, now)
                row = session.get_one(ObjectRow, given.object_id)
                found[name] = GivenObject(row.id, given.tensor, row.blob_digest, row.kind, label)
                shown = shown and may_see_sizes(session, viewer, row.id, now)
        return found, shown

    # -- look ---------------------------------------------------------------------------------------

    def review(self, load_reviewer: ReviewerLoader, request_id: str) -> PlanReview:
        """The plan as text, what it costs and reads, and how it differs from the earlier one on the same data."""
        with self._db.read() as session:
            viewer, reviewer = load_reviewer(session)
            row, plan = plan_of(session, viewer, reviewer, request_id)
            facts = facts_for(plan, row, viewer)
            before = _earlier(session, viewer, reviewer, row, plan)
            digests = (plan.plan_digest, before.plan_digest if before else "")
        text, diff = offload(self._texts, *digests)
        earlier = before.request_id if before else ""
        return PlanReview(request_id=row.id, facts=facts, text=text, earlier=earlier, diff=diff)

    def _texts(self, digest: str, earlier: str) -> tuple[str, str]:
        text = self._text(digest)
        if not earlier or earlier == digest:
            return text, ""
        lines = difflib.unified_diff(
            self._text(earlier).splitlines(), text.splitlines(), earlier[:12], digest[:12], lineterm=""
        )
        return text, "\n".join(lines)

    def _text(self, digest: str) -> str:
        return as_text(decode(self._blobs.read_range(digest, 0)), digest)


def plan_of(
    session: Session, viewer: Viewer, reviewer: bool, request_id: str
) -> tuple[RequestRow, PlanRequest]:
    """The request and its plan, for whoever may see it. Raises :class:`NotFound`."""
    row = visible_request(session, viewer, reviewer, request_id)
    plan = session.get(PlanRequest, row.id)
    if plan is None:
        raise NotFound("this request is not for a plan", id=request_id)
    return row, plan


def _layout(values: bytes) -> Layout:
    layout = read_layout(values)
    if layout.total_size != len(values):
        raise BadRequest(f"values of {len(values)} bytes, their header says {layout.total_size}")
    return layout


def _ask(
    session: Session,
    viewer: Viewer,
    message: CreatePlanRequest,
    facts: PlanFacts,
    objects: Mapping[str, GivenObject],
    now: float,
) -> RequestRow:
    """Everyone whose data a plan's inputs were made from has to agree."""
    ids = {given.object_id for given in objects.values()}
    first = next(iter(objects.values()))
    same = msgspec.json.encode([facts.plan_id, facts.values, facts.agreement, sorted(message.inputs)])
    return ask(
        session,
        viewer,
        scope="plan",
        same=f"plan:{blake3(same).hexdigest()[:48]}",
        object_id=first.object_id,
        label=f"{facts.name} on {first.label}" if len(ids) == 1 else f"{facts.name} on {len(ids)} objects",
        objects=sources_here(session, ids),
        reason=message.reason,
        now=now,
    )


def _plan_row(
    row: RequestRow, facts: PlanFacts, objects: Mapping[str, GivenObject], shown: bool
) -> PlanRequest:
    return PlanRequest(
        request_id=row.id,
        plan_digest=facts.plan_id,
        values_digest=facts.values or None,
        name=facts.name,
        inputs={
            name: {"object_id": to.object_id, "tensor": to.tensor, "digest": to.digest}
            for name, to in objects.items()
        },
        facts=msgspec.to_builtins(facts),
        shown=shown,
    )


def _earlier(
    session: Session, viewer: Viewer, reviewer: bool, row: RequestRow, plan: PlanRequest
) -> PlanRequest | None:
    """The earlier plan that a reviewer compares with: one that the viewer may see too."""
    mine = select(RequestObject.object_id).where(RequestObject.request_id == row.id)
    about = select(RequestObject.request_id).where(RequestObject.object_id.in_(mine))
    query = (
        select(PlanRequest)
        .join(RequestRow, RequestRow.id == PlanRequest.request_id)
        .where(
            RequestRow.id.in_(about),
            RequestRow.id != row.id,
            RequestRow.created_at <= row.created_at,
            or_(RequestRow.user_id == row.user_id, PlanRequest.name == plan.name),
        )
        .order_by(RequestRow.state != "approved", RequestRow.created_at.desc(), RequestRow.id)
        .limit(50)
    )
    for found in session.scalars(query):
        try:
            visible_request(session, viewer, reviewer, found.request_id)
        except NotFound:
            continue
        return found
    return None
