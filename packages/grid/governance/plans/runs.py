"""Approved plans, run: exactly that plan, on exactly those contents, under grants that are live to the end.

A run takes its use when it begins, because that it fails says something about the data, too. It is checked
again when it has ended: a run that began before its grant was revoked (or expired) ends, and what it computed
is not handed out. Why a plan failed on the data is for the node's log, not for who runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.grants import check_room, of_request, spend, uses_left
from grid.access.policy import check_operation, check_output, check_rows, current_policy
from grid.access.sources import add_sources
from grid.accounts.tables import User
from grid.concurrency.offload import offload
from grid.governance.decisions.approval import check_contents, objects_of
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.machine import RequestState
from grid.governance.decisions.tables import PlanRequest, RequestRow
from grid.governance.plans.files import const_raw, find_tensor, raw_of, tensor_file
from grid.governance.plans.release import check_releasable, release
from grid.governance.plans.requests import plan_of
from grid.governance.plans.review_sandbox import ReviewSandbox
from grid.node import Context, Download
from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.references import record
from grid.storage.objects.rows import upsert
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, DeadlineExceeded, Forbidden, InvalidPlan
from syft_ext.ids import new_id
from syft_ext.messages.plan_facts import PlanFacts, PlanOutput
from syft_ext.messages.plan_requests import PlanRun, RunPlanRequest
from syft_ext.messages.policy import SitePolicy
from syft_ext.plans.graph.document import decode
from syft_ext.store.objects import ObjectInfo
from syft_ext.tensors import read_layout

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["PlanRuns"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Approved:
    """What was approved, as of the beginning of the run."""

    row: RequestRow
    plan: PlanRequest
    facts: PlanFacts
    grants: tuple[str, ...]


class PlanRuns:
    """``secret``: 32 bytes of the node's, from which the noise of each question follows."""

    def __init__(
        self, db: Database, blobs: BlobStore, clock: Clock, sandbox: ReviewSandbox, secret: bytes
    ) -> None:
        self._db, self._blobs, self._clock, self._sandbox, self._secret = db, blobs, clock, sandbox, secret

    def run(self, ctx: Context, load_reviewer: ReviewerLoader, message: RunPlanRequest) -> Download:
        """The results. Raises :class:`Forbidden` without a live approval, :class:`Conflict` when the data changed,
        :class:`TooLarge` for more than grant or policy let out, :class:`InvalidPlan` when it fails.
        """
        with self._db.transaction() as session:
            approved = self._begin(session, load_reviewer, message.request_id)
        ctx.note(plan=approved.plan.plan_digest)
        for grant in approved.grants:
            ctx.note(grant=grant)
        results = self._compute(approved)
        while True:
            with self._db.read() as session:
                policy = current_policy(session)
            content = offload(_file, policy, approved.facts, results, self._noise_key(approved))
            with ExitStack() as held:
                blob = held.enter_context(self._blobs.put([content])) if message.keep else None
                with self._db.transaction() as session:
                    if self._still(session, approved) != policy:
                        continue  # it was changed at this very moment: it holds for these results, too
                    self._check_size(session, approved.grants, policy, sum(raw.nbytes for *_, raw in results))
                    kept = "" if blob is None else self._keep(session, approved, message, blob)
                    left = uses_left(session, approved.grants)
                    sources = objects_of(session, [approved.row.id])[approved.row.id]
            break
        ctx.note(*sources, *([kept] if kept else []), bytes=len(content))
        reply = PlanRun(
            request_id=approved.row.id,
            plan_id=approved.plan.plan_digest,
            outputs=_outputs(approved.facts, results),
            uses_left=left,
            object_id=kept,
        )
        view = memoryview(content)
        digest = blake3(content).hexdigest()
        return Download(reply, lambda start, stop: [view[start:stop]], len(content), digest)

    # -- may it run, and what comes of it -----------------------------------------------------------

    def _begin(self, session: Session, load_reviewer: ReviewerLoader, request_id: str) -> _Approved:
        viewer, reviewer = load_reviewer(session)
        row, plan = plan_of(session, viewer, reviewer, request_id)
        if row.user_id != viewer.user_id:
            raise Forbidden("only who asked for it runs a plan", id=request_id)
        grants = self._require_live(session, row)
        check_contents(session, row)
        facts = msgspec.convert(plan.facts, PlanFacts)
        policy = current_policy(session)
        for name in decode(self._blobs.read_range(plan.plan_digest, 0)).ops:
            check_operation(policy, name)
        for given in facts.inputs:
            if given.source == "object":
                check_rows(policy, given.shape[0] if given.shape else 1)
        check_releasable(policy, [output.dtype for output in facts.outputs])
        assert facts.cost is not None
        self._check_size(session, grants, policy, facts.cost.output_bytes)
        spend(session, grants, now=self._clock.now())
        return _Approved(row, plan, facts, tuple(grants))

    def _still(self, session: Session, approved: _Approved) -> SitePolicy:
        """The policy that the results go out under, if they may at all."""
        row = session.get(RequestRow, approved.row.id)
        enabled = select(User.id).where(User.id == approved.row.user_id, User.disabled_at.is_(None))
        if row is None or session.scalar(enabled) is None:
            raise Forbidden("your account was disabled while this ran: its results stay here")
        live = self._require_live(session, row, used=True)
        if set(live) != set(approved.grants):
            raise Forbidden("this was revoked while it ran: its results stay here", id=row.id)
        return current_policy(session)

    def _require_live(self, session: Session, row: RequestRow, *, used: bool = False) -> list[str]:
        """The grants of the request, one for each object that has to be asked for, all of them live."""
        if row.state != RequestState.APPROVED:
            raise Forbidden(f"this request is {row.state}, not approved", id=row.id, state=str(row.state))
        live = of_request(session, row.id, row.user_id, now=self._clock.now(), used=used)
        objects = objects_of(session, [row.id])[row.id]
        if live.keys() != set(objects):
            raise Forbidden("the grant that this rests on is used up, expired or revoked", id=row.id)
        return list(live.values())

    @staticmethod
    def _check_size(session: Session, grants: Collection[str], policy: SitePolicy, size: int) -> None:
        check_room(session, grants, size)
        check_output(policy, size)

    def _keep(self, session: Session, approved: _Approved, message: RunPlanRequest, blob: Blob) -> str:
        """Make the results an object under the sources of the inputs: in one transaction, because an object
        without sources would be its owner's to release."""
        user_id = approved.row.user_id
        info = ObjectInfo(
            id=new_id(),
            kind="tensors",
            description=message.description,
            tags=tuple(message.tags),
            search_permissions=frozenset({user_id}),
            owner=user_id,
            created_at=self._clock.now(),
            size=blob.size,
        )
        record(session, blob)
        upsert(session, info, blob.digest)
        add_sources(session, info.id, objects_of(session, [approved.row.id])[approved.row.id])
        return info.id

    def _noise_key(self, approved: _Approved) -> bytes:
        """The same for the same plan on the same contents and values, whoever asks."""
        plan = approved.plan
        contents = sorted((name, given["digest"], given["tensor"]) for name, given in plan.inputs.items())
        question = msgspec.msgpack.encode((plan.plan_digest, contents, plan.values_digest))
        return blake3(question, key=self._secret).digest()

    # -- the run itself -----------------------------------------------------------------------------

    def _compute(self, approved: _Approved) -> list[Raw]:
        plan = self._blobs.read_range(approved.plan.plan_digest, 0)
        inputs = self._inputs(plan, approved)
        try:
            return self._sandbox.run(plan, inputs)
        except (InvalidPlan, DeadlineExceeded) as error:
            logger.warning("plan of request %s failed: %s", approved.row.id, error.detail)
            raise InvalidPlan(
                "the plan failed on this data; the node's log says why", id=approved.row.id
            ) from error

    def _inputs(self, plan: bytes, approved: _Approved) -> list[Raw]:
        digest = approved.plan.values_digest
        values = memoryview(self._blobs.read_range(digest, 0)) if digest else None
        inputs = []
        for item in decode(plan).inputs:
            given = approved.plan.inputs.get(item.name)
            if given is not None:
                content, tensor = self._blobs.map(given["digest"]), given["tensor"]
            elif values is not None and _holds(values, item.name):
                content, tensor = values, item.name
            elif item.default is not None:
                inputs.append(const_raw(item.default))
                continue
            else:
                raise BadRequest(f"the plan's input {item.name!r} is given nothing")
            layout = read_layout(content)
            inputs.append(raw_of(content, layout, find_tensor(layout, tensor)))
        return inputs


def _file(policy: SitePolicy, facts: PlanFacts, results: Sequence[Raw], noise_key: bytes) -> bytes:
    names = [output.name for output in facts.outputs]
    return tensor_file(list(zip(names, release(policy, results, noise_key), strict=True)))


def _holds(values: memoryview, name: str) -> bool:
    return any(spec.name == name for spec in read_layout(values).specs)


def _outputs(facts: PlanFacts, results: Sequence[Raw]) -> list[PlanOutput]:
    return [
        msgspec.structs.replace(output, dtype=dtype, shape=list(shape))
        for output, (dtype, shape, _) in zip(facts.outputs, results, strict=True)
    ]
