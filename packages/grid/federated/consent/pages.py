"""What a reviewer reads of a training, and a participant before they take part: all that runs, all that leaves."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, select

from grid.access.policy import current_policy
from grid.accounts.tables import User
from grid.concurrency.offload import offload
from grid.federated.consent.participants import Participants
from grid.federated.consent.reviews import REVIEW, review_of
from grid.federated.cycles.policy import demands
from grid.federated.hosting.training_definitions import PlanFile, TrainingDefinition, TrainingDefinitions
from grid.federated.intake.registry import format_of
from grid.federated.state.consent_tables import TrainingReviewRow
from grid.federated.state.store import TrainingStore
from grid.federated.state.tables import Checkpoint, TrainingProcess
from grid.node.plan_processes import PlanProcesses
from syft_ext.confidential.documents import with_readable_policy
from syft_ext.errors import GridError, NotFound
from syft_ext.messages import training_reviews as m
from syft_ext.messages.plan_facts import PlanCost, PlanOutput, TrialOfRows
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_inputs import describe_inputs
from syft_ext.plans.checking.row_trial import try_rows
from syft_ext.plans.graph.document import Document, decode
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.graph.text import as_text
from syft_ext.tensors import Layout

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["ReviewPages", "who_takes_part"]

_NAMED = 20
"""Accepted Workers whose names a page gives."""

_TRIED = 32
"""Mock rows, where the plan takes any number of them."""


def who_takes_part(policy: CyclePolicy, workers: Sequence[str] = ()) -> str:
    """Who may take part in a training under this policy, in a sentence.

    Args:
        workers: those that were accepted, in words.
    """
    if policy.participation == "open":
        return (
            "anybody, without an account here: nobody knows who a participant is, and a minimum of participants"
            " protects nobody"
        )
    least = policy.min_participants
    several = f"; at least {least} different ones in each cycle, each counted once" if least > 1 else ""
    named = ", ".join(workers[:_NAMED]) or "none now"
    more = f" and {len(workers) - _NAMED} more" if len(workers) > _NAMED else ""
    return (
        f"users of this Domain, guests and Workers that it accepted ({named}{more}){several}. A Worker is one"
        " participant whoever runs it: the host of a training may run some, or know who does"
    )


class ReviewPages:
    """Args: ``processes``: where costs are worked out, in that of each training's owner; ``participants``: who is
    known here."""

    def __init__(
        self,
        store: TrainingStore,
        definitions: TrainingDefinitions,
        processes: PlanProcesses,
        participants: Participants,
    ) -> None:
        self._store, self._definitions, self._processes = store, definitions, processes
        self._participants = participants

    def definition(self, process_id: str) -> m.DefinitionView:
        """What a training is. Raises :class:`NotFound` while its model is not there."""
        with self._store.database.read() as session:
            facts = self._definitions.facts(session, process_id)
            review = _review(session, process_id)
        files = self._definitions.get(process_id).files
        return m.DefinitionView(
            process_id=process_id,
            digest=m.definition_digest(facts),
            facts=facts,
            sizes={file.digest: file.size for file in files},
            model=_tensors(self._definitions.layout(process_id)),
            review=review,
        )

    def size_of(self, process_id: str, digest: str) -> int:
        """Bytes of a file of a training's definition: one that was hosted, or its first model. Raises
        :class:`NotFound` for any other content."""
        contents = {file.digest: file.size for file in self._definitions.get(process_id).files}
        contents.update([self._definitions.checkpoint(process_id, 1)])
        if digest not in contents:
            raise NotFound("the training has no such file")
        return contents[digest]

    def page(self, definition: TrainingDefinition) -> m.TrainingReviewPage:
        """Everything that a reviewer decides upon. Raises :class:`NotFound` while its model is not there."""
        with self._store.database.read() as session:
            facts = self._definitions.facts(session, definition.id)
            review = _review(session, definition.id)
            policy = demands(current_policy(session))
            host = session.scalar(select(User.email).where(User.id == definition.owner)) or ""
            earlier_id = _earlier(session, definition)
            before = self._definitions.facts(session, earlier_id) if earlier_id else None
        earlier = self._definitions.get(earlier_id) if earlier_id else None
        strategy = definition.server.strategy
        return m.TrainingReviewPage(
            process_id=definition.id,
            digest=m.definition_digest(facts),
            host=host,
            facts=facts,
            review=review,
            plans=[
                self._file(each, _same(each, earlier), _batch(facts), definition.owner)
                for each in definition.files
            ],
            report=_tensors(self._definitions.layout(definition.id)),
            report_format=definition.server.report_format,
            statement=format_of(definition.server).statement(
                self._definitions.layout(definition.id), definition.server
            ),
            aggregator="averaging_plan" if definition.averaging_plan else strategy.name,
            policy=policy,
            participants=who_takes_part(policy, self._participants.accepted_workers()),
            earlier=earlier.version if earlier else "",
            config_diff="" if before is None else _diff(_configs(before), _configs(facts), "before", "now"),
        )

    def _file(self, file: PlanFile, earlier: PlanFile | None, batch: int, owner: str) -> m.HostedPlanReview:
        found = m.HostedPlanReview(
            name=file.name,
            kind=file.kind,  # type: ignore[arg-type]
            digest=file.digest,
            size=file.size,
        )
        if file.kind == "protocol":
            found.problem = "bytes for participants, which nothing here reads or runs"
            return found
        try:
            found.text = offload(self._text, file.digest)
            if earlier is not None and earlier.digest != file.digest:
                was = offload(self._text, earlier.digest)
                found.diff = _diff(was, found.text, earlier.digest[:12], file.digest[:12])
            self._price(found, batch, owner)
            plan = self._store.blobs.read_range(file.digest, 0)
            found.trial = offload(self._try, plan, decode(plan), batch, owner)
        except GridError as error:
            found.problem = error.detail
        return found

    def _price(self, found: m.HostedPlanReview, batch: int, owner: str) -> None:
        """What one call costs, and returns, with free sizes (mostly: of a batch) as near ``batch`` as may be."""
        plan = self._store.blobs.read_range(found.digest, 0)
        document = decode(plan)
        found.sizes = {name: min(max(batch, low), high) for name, (low, high) in document.symbols.items()}
        inputs = [(each.dtype, eval_shape(each.shape, found.sizes)) for each in document.inputs]
        with self._processes.of(owner) as process:
            _, sizes, cost = process.price(plan, inputs)
        found.outputs = [
            PlanOutput(
                name=each.name, role=each.role, dtype=each.dtype, shape=list(eval_shape(each.shape, sizes))
            )
            for each in document.outputs
        ]
        found.cost = PlanCost(
            operations=cost.ops, flops=cost.flops, peak_bytes=cost.peak_bytes, output_bytes=cost.output_bytes
        )

    def _try(self, plan: bytes, document: Document, batch: int, owner: str) -> TrialOfRows | None:
        with self._processes.apart(owner) as process:
            return try_rows(
                document,
                partial(process.run_raw, plan),
                lambda raws: process.price(plan, raws)[2],
                min(max(batch, 1), _TRIED),
            )

    def _text(self, digest: str) -> str:
        return as_text(decode(self._store.blobs.read_range(digest, 0)), digest)


def _review(session: Session, process_id: str) -> m.TrainingReview:
    row = session.execute(select(*REVIEW).where(TrainingReviewRow.process_id == process_id)).first()
    return m.TrainingReview() if row is None else review_of(row)


def _earlier(session: Session, definition: TrainingDefinition) -> str:
    """The latest training of the same name that had somebody's word, before this one, and was not discarded."""
    query = (
        select(TrainingProcess.id)
        .join(TrainingReviewRow, TrainingReviewRow.process_id == TrainingProcess.id)
        .where(
            TrainingProcess.name == definition.name,
            TrainingProcess.id != definition.id,
            TrainingReviewRow.state.in_(("approved", "own")),
            exists().where(Checkpoint.process_id == TrainingProcess.id, Checkpoint.number == 1),
            TrainingProcess.created_at <= definition.created_at,
        )
        .order_by(TrainingProcess.created_at.desc(), TrainingProcess.id)
        .limit(1)
    )
    return session.scalar(query) or ""


def _same(file: PlanFile, earlier: TrainingDefinition | None) -> PlanFile | None:
    """The file that stood in this one's place in the earlier version."""
    files = earlier.files if earlier else ()
    return next((each for each in files if (each.kind, each.name) == (file.kind, file.name)), None)


def _batch(facts: m.DefinitionFacts) -> int:
    """The batch that participants are told, if they are."""
    told = facts.client_config.get("batch_size")
    return told if type(told) is int and told > 0 else 32


def _tensors(layout: Layout) -> list[m.ModelTensor]:
    return [
        m.ModelTensor(name=s.name, dtype=str(s.dtype), shape=list(s.shape), kind=s.kind) for s in layout.specs
    ]


def _configs(facts: m.DefinitionFacts) -> str:
    configs: dict[str, Any] = {
        "client_config": facts.client_config,
        "server_config": with_readable_policy(facts.server_config),
    }
    declared = "\n".join(["inputs", *describe_inputs(facts.inputs)])
    return f"{json.dumps(configs, indent=1, sort_keys=True, ensure_ascii=False)}\n{declared}"


def _diff(before: str, after: str, old: str, new: str) -> str:
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm=""))
