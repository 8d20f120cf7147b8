"""Approved plans, run: exactly that plan, on exactly those contents, under grants that are live to the end.

A run takes its use when it begins, because that it fails says something about the data, too. It is checked
again when it has ended: a run that began before its grant was revoked (or expired) ends, and what it computed
is not handed out. Why a plan failed on the data is for the node's log, not for who runs it; where the policy
demands noise, so is that it failed: one bit a run that no noise would cover. Its results count as zeros then.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from blake3 import blake3
from sqlalchemy.orm import Session

from grid.access.grants import check_room, spend, uses_left
from grid.access.policy import check_operation, check_output, check_rows, current_policy
from grid.access.sources import add_sources
from grid.catalogue.computations import add_computation
from grid.catalogue.objects import within_quota
from grid.concurrency.offload import offload
from grid.governance.decisions.approval import check_contents, objects_of
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.living import require_live, require_still
from grid.governance.decisions.tables import PlanRequest, RequestRow
from grid.governance.plans.charging import PlanQuestion, charge_release, charge_run
from grid.governance.plans.files import find_tensor, raw_of, tensor_file
from grid.governance.plans.release import check_releasable, release
from grid.governance.plans.requests import plan_of
from grid.governance.plans.review_sandbox import ReviewSandbox
from grid.node import Context, Download
from grid.node.plan_processes import PlanProcesses
from grid.quotas.enforcing import require_fit
from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.references import record
from grid.storage.objects.rows import upsert
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import VALUES, BadRequest, DeadlineExceeded, Forbidden, InvalidPlan
from syft_ext.ids import new_id
from syft_ext.messages.plan_facts import PlanFacts, PlanOutput
from syft_ext.messages.plan_requests import PlanRun, RunPlanRequest
from syft_ext.messages.policy import SitePolicy
from syft_ext.plans.checking.row_trial import const_raw
from syft_ext.plans.graph.document import decode, read_ops
from syft_ext.plans.graph.itemsizes import ITEMSIZES
from syft_ext.store.objects import ObjectInfo
from syft_ext.tensors import read_layout

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["Approved", "PlanRuns"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Approved:
    """What was approved, as of the beginning of the run."""

    row: RequestRow
    plan: PlanRequest
    facts: PlanFacts
    grants: tuple[str, ...]

    @property
    def objects(self) -> list[str]:
        """What its inputs are given."""
        return sorted({given["object_id"] for given in self.plan.inputs.values()})


class PlanRuns:
    """``secret``: 32 bytes of the node's, from which the noise of each question follows."""

    def __init__(
        self, db: Database, blobs: BlobStore, clock: Clock, processes: PlanProcesses, secret: bytes
    ) -> None:
        self._db, self._blobs, self._clock, self._processes, self._secret = (
            db,
            blobs,
            clock,
            processes,
            secret,
        )

    def run(self, ctx: Context, load_reviewer: ReviewerLoader, message: RunPlanRequest) -> Download:
        """The results. Raises :class:`Forbidden` without a live approval, :class:`Conflict` when the data changed,
        :class:`TooLarge` for more than grant or policy let out, :class:`InvalidPlan` when it fails.
        """
        with self._db.read() as session:
            _, plan, _ = self._approved(session, load_reviewer, message.request_id)
            if msgspec.convert(plan.facts, PlanFacts).agreement:
                raise Forbidden(
                    "this was approved to be computed with other Domains, not here", id=message.request_id
                )
            digests = {given["digest"] for given in plan.inputs.values()}
        for digest in digests:
            self._blobs.open(digest).close()  # a damaged one costs no use
        with self._db.transaction() as session:
            approved = self._begin(session, load_reviewer, message.request_id)
        ctx.note(plan=approved.plan.plan_digest)
        for grant in approved.grants:
            ctx.note(grant=grant)
        results, failure = self._compute(approved)
        while True:
            with self._db.read() as session:
                policy = current_policy(session)
            if failure is not None and policy.noise_multiplier is None:
                raise failure
            content = offload(_file, policy, approved.facts, results, self._noise_key(approved))
            if message.keep:
                with self._db.read() as session:
                    require_fit(session, approved.row.user_id, "objects", size=len(content), number=1)
            with ExitStack() as held:
                blob = held.enter_context(self._blobs.put([content])) if message.keep else None
                with self._db.transaction() as session:
                    if self._still(session, approved) != policy:
                        continue  # it was changed at this very moment: it holds for these results, too
                    self._check_size(session, approved.grants, policy, sum(raw.nbytes for *_, raw in results))
                    kept = "" if blob is None else self._keep(session, approved, message, blob)
                    left = uses_left(session, approved.grants)
                    sources = objects_of(session, [approved.row.id])[approved.row.id]
                    digest = blake3(content).hexdigest()
                    charge_release(session, policy, self._question(session, approved), digest)
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
        return Download(reply, lambda start, stop: [view[start:stop]], len(content), digest)

    # -- may it run, and what comes of it -----------------------------------------------------------

    def _approved(
        self, session: Session, load_reviewer: ReviewerLoader, request_id: str
    ) -> tuple[RequestRow, PlanRequest, list[str]]:
        """The request, its plan and its grants, for who may run it now."""
        viewer, reviewer = load_reviewer(session)
        row, plan = plan_of(session, viewer, reviewer, request_id)
        if row.user_id != viewer.user_id:
            raise Forbidden("only who asked for it runs a plan", id=request_id)
        grants = require_live(session, row, self._clock.now())
        check_contents(session, row)
        return row, plan, grants

    def _begin(self, session: Session, load_reviewer: ReviewerLoader, request_id: str) -> Approved:
        row, plan, grants = self._approved(session, load_reviewer, request_id)
        facts = msgspec.convert(plan.facts, PlanFacts)
        policy = current_policy(session)
        for name in read_ops(self._blobs.read_range(plan.plan_digest, 0)):
            check_operation(policy, name)
        for given in facts.inputs:
            if given.source == "object" and not (facts.split is not None and given.role == "param"):
                check_rows(policy, given.shape[0] if given.shape else 1)
        check_releasable(policy, [output.dtype for output in facts.outputs])
        assert facts.cost is not None
        self._check_size(session, grants, policy, facts.cost.output_bytes)
        spend(session, grants, now=self._clock.now())
        approved = Approved(row, plan, facts, tuple(grants))
        charge_run(session, policy, self._question(session, approved))
        return approved

    def _still(self, session: Session, approved: Approved) -> SitePolicy:
        """The policy that the results go out under, if they may at all."""
        require_still(session, approved.row.id, approved.row.user_id, approved.grants, self._clock.now())
        return current_policy(session)

    @staticmethod
    def _check_size(session: Session, grants: Collection[str], policy: SitePolicy, size: int) -> None:
        check_room(session, grants, size)
        check_output(policy, size)

    def _keep(self, session: Session, approved: Approved, message: RunPlanRequest, blob: Blob) -> str:
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
        add_computation(session, info.id, _computation(approved))
        within_quota(session, info)
        return info.id

    def _question(self, session: Session, approved: Approved) -> PlanQuestion:
        """What this run is charged for."""
        return PlanQuestion(
            digest=self._noise_key(approved),
            objects=objects_of(session, [approved.row.id])[approved.row.id],
            user_id=approved.row.user_id,
            at=self._clock.now(),
            what=f"results of plan {approved.plan.plan_digest}, approved by request {approved.row.id}",
        )

    def _noise_key(self, approved: Approved) -> bytes:
        """The same for the same plan on the same contents and values, whoever asks."""
        plan = approved.plan
        contents = sorted((name, given["digest"], given["tensor"]) for name, given in plan.inputs.items())
        question = msgspec.msgpack.encode((plan.plan_digest, contents, plan.values_digest))
        return blake3(question, key=self._secret).digest()

    # -- the run itself -----------------------------------------------------------------------------

    def _compute(self, approved: Approved) -> tuple[list[Raw], InvalidPlan | None]:
        """The results; zeros in their place, and what to say of it, where the plan failed on the values."""
        plan = self._blobs.read_range(approved.plan.plan_digest, 0)
        inputs = self._inputs(plan, approved)
        try:
            return ReviewSandbox(self._processes, approved.row.user_id).run(plan, inputs), None
        except (InvalidPlan, DeadlineExceeded) as error:
            logger.warning("plan of request %s failed: %s", approved.row.id, error.detail)
            failure = InvalidPlan("the plan failed on this data; the node's log says why", id=approved.row.id)
            if error.extra.get("reason") != VALUES:
                raise failure from error
            return _zeros(approved.facts), failure

    def _inputs(self, plan: bytes, approved: Approved) -> list[Raw]:
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


def _zeros(facts: PlanFacts) -> list[Raw]:
    """Results of the announced forms."""
    made: list[Raw] = []
    for output in facts.outputs:
        shape = output.shape or []
        size = math.prod(shape) * ITEMSIZES[output.dtype]
        made.append((output.dtype, shape, np.zeros(size, np.uint8)))
    return made


def _file(policy: SitePolicy, facts: PlanFacts, results: Sequence[Raw], noise_key: bytes) -> bytes:
    names = [output.name for output in facts.outputs]
    return tensor_file(list(zip(names, release(policy, results, noise_key), strict=True)))


def _holds(values: memoryview, name: str) -> bool:
    return any(spec.name == name for spec in read_layout(values).specs)


def _computation(approved: Approved) -> str:
    """The results of a run of an approved plan, for who is asked to hand them out."""
    given = [
        f"%{number} = load {each.object_id}{': ' + each.tensor if each.tensor else ''}"
        for number, each in enumerate(each for each in approved.facts.inputs if each.source == "object")
    ]
    plan = f"results of plan {approved.facts.plan_id}, as approved by request {approved.row.id}"
    return "\n".join([*given, plan])


def _outputs(facts: PlanFacts, results: Sequence[Raw]) -> list[PlanOutput]:
    return [
        msgspec.structs.replace(output, dtype=dtype, shape=list(shape))
        for output, (dtype, shape, _) in zip(facts.outputs, results, strict=True)
    ]
