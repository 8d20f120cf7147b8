"""A plan under review, tried on mock rows of the data that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from grid.access.decision import governs
from grid.catalogue.forms import Form
from grid.catalogue.mocks import mock_content
from grid.catalogue.schemas import schemas_of
from grid.concurrency.offload import offload
from grid.governance.decisions.approval import objects_of
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.tables import PlanRequest
from grid.governance.plans.files import find_tensor, raw_of
from grid.governance.plans.inputs import layout_of
from grid.governance.plans.requests import plan_of
from grid.node.plan_processes import PlanProcesses
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.errors import BadRequest, DeadlineExceeded, Forbidden, InvalidPlan
from syft_ext.messages.datasets import Column
from syft_ext.messages.plan_facts import TrialOfRows
from syft_ext.messages.plan_requests import PlanInfluence
from syft_ext.plans.checking.influence import Raw, row_influence
from syft_ext.plans.checking.row_trial import check_effort, const_raw
from syft_ext.plans.graph.document import Document, decode
from syft_ext.tensors import TensorSpec, read_layout

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import SandboxProcess

__all__ = ["PlanTrials"]

_ROWS = 32
"""Mock rows, where the plan takes any number of them."""


class PlanTrials:
    """Makes the mocks and the runs."""

    def __init__(self, db: Database, blobs: BlobStore, processes: PlanProcesses) -> None:
        self._db, self._blobs, self._processes = db, blobs, processes

    def run(self, load_reviewer: ReviewerLoader, request_id: str) -> PlanInfluence:
        """Raises :class:`Forbidden` for who may not decide on it."""
        with self._db.read() as session:
            viewer, reviewer = load_reviewer(session)
            row, plan = plan_of(session, viewer, reviewer, request_id)
            owners = objects_of(session, [row.id])[row.id]
            if not (reviewer or any(governs(session, viewer.user_id, each) for each in owners)):
                raise Forbidden("a plan is tried by those who decide on it", id=request_id)
            session.expunge(plan)
            author = row.user_id
            given = {name: self._given(session, each) for name, each in plan.inputs.items()}
        return offload(self._try, author, request_id, plan, given)

    def _given(self, session: Session, given: Mapping[str, str]) -> tuple[TensorSpec, list[Column]]:
        """The form of what an input is given, and its owner's schema."""
        found = session.get(ObjectRow, given["object_id"])
        kind = found.kind if found is not None else "tensors"
        spec = find_tensor(layout_of(self._blobs, given["digest"], kind), given["tensor"])
        return spec, next(schemas_of(session, given["object_id"]), [])

    def _try(
        self,
        author: str,
        request_id: str,
        plan: PlanRequest,
        given: Mapping[str, tuple[TensorSpec, list[Column]]],
    ) -> PlanInfluence:
        with self._processes.apart(author) as process:
            return self._run(process, request_id, plan, given)

    def _run(
        self,
        process: SandboxProcess,
        request_id: str,
        plan: PlanRequest,
        given: Mapping[str, tuple[TensorSpec, list[Column]]],
    ) -> PlanInfluence:
        content = self._blobs.read_range(plan.plan_digest, 0)
        document = decode(content)
        groups: dict[int, list[str]] = {}
        for name, (spec, _) in given.items():
            if spec.shape:
                groups.setdefault(spec.shape[0], []).append(name)
        trials = []
        for count, names in groups.items():
            trial = TrialOfRows(inputs=names, rows=count)
            try:
                trial.rows, inputs = self._inputs(process, content, document, plan, given, names, count)
                trial.results = row_influence(document, partial(process.run_raw, content), inputs, names)
            except (BadRequest, InvalidPlan, DeadlineExceeded) as error:
                trial.problem = error.detail
            trials.append(trial)
        return PlanInfluence(request_id=request_id, plan_id=plan.plan_digest, trials=trials)

    def _inputs(
        self,
        process: SandboxProcess,
        content: bytes,
        document: Document,
        plan: PlanRequest,
        given: Mapping[str, tuple[TensorSpec, list[Column]]],
        names: Sequence[str],
        count: int,
    ) -> tuple[int, list[Raw]]:
        """How many mock rows, and the inputs: fewer rows than there are where the plan allows it."""
        values = memoryview(self._blobs.read_range(plan.values_digest, 0)) if plan.values_digest else None
        failure: InvalidPlan | None = None
        for rows in sorted({min(count, _ROWS), count}):
            inputs: list[Raw] = []
            for item in document.inputs:
                if item.name in given:
                    spec, columns = given[item.name]
                    inputs.append(_mock(spec, columns, rows if item.name in names else spec.shape[:1]))
                elif values is not None and _names(values, item.name):
                    layout = read_layout(values)
                    inputs.append(raw_of(values, layout, find_tensor(layout, item.name)))
                else:
                    if item.default is None:
                        raise BadRequest(
                            f"{item.name} comes from another Domain: the plan is not tried here alone"
                        )
                    inputs.append(const_raw(item.default))
            try:
                _, _, cost = process.price(content, [(dtype, shape) for dtype, shape, _ in inputs])
            except InvalidPlan as error:
                failure = error
                continue
            check_effort(cost)
            return rows, inputs
        assert failure is not None
        raise failure


def _names(values: memoryview, name: str) -> bool:
    return any(spec.name == name for spec in read_layout(values).specs)


def _mock(spec: TensorSpec, columns: Sequence[Column], rows: int | Sequence[int]) -> Raw:
    count = rows if isinstance(rows, int) else (rows[0] if rows else 1)
    made = mock_content("tensors", Form((spec,)), columns, {}, count, seed=0)
    content = memoryview(b"".join(made.pieces()))
    layout = read_layout(content)
    return raw_of(content, layout, layout.specs[0])
