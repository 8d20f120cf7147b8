"""What a Worker's owner reads before they decide about a training: made by the participant, which has the data."""

from __future__ import annotations

from collections.abc import Callable

import torch

from grid.worker.data import OwnerData, tensors
from grid.worker.protocol import ParticipantCommand, TrainingLook
from grid.worker.sandboxed import SandboxedPlan
from grid.worker.trial import try_out
from syft_ext.errors import GridError, InvalidPlan
from syft_ext.federated.offer import TrainingOffer, read_model, read_offer
from syft_ext.federated.session import WorkerSession
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.messages.worker import OfferedPlan, TrainingTrial
from syft_ext.plans import Plan
from syft_ext.plans.graph.text import describe_type

__all__ = ["look"]


def look(
    session: WorkerSession,
    command: ParticipantCommand,
    load_plan: Callable[[bytes], SandboxedPlan],
    data: OwnerData,
    bounds: WorkerBounds,
) -> TrainingLook:
    """Read the training whose definition has ``command.digest``, and try it out on made-up rows if that is
    asked for.

    Raises :class:`NotAgreed` where the Domain shows, or sends, anything else.
    """
    offer = read_offer(session, command.name, command.version, command.digest)
    plans = [_offered(name, plan) for name, plan in offer.plans.items()]
    found = TrainingLook(definition=offer.definition, plans=plans, shown=offer.texts())
    try:
        rows = data.rows(offer.definition.inputs)
    except GridError as error:
        found.data = [f"your data do not match: {error.detail}"]
        found.trial = TrainingTrial(problem=error.detail) if command.trial else None
        return found
    found.data = [f"your data match: {len(rows)} rows", *rows.notes]
    if command.trial:
        found.trial = _trial(session, offer, load_plan, tensors(rows), bounds)
    return found


def _trial(
    session: WorkerSession,
    offer: TrainingOffer,
    load_plan: Callable[[bytes], SandboxedPlan],
    data: tuple[torch.Tensor, torch.Tensor],
    bounds: WorkerBounds,
) -> TrainingTrial:
    try:
        plans = {name: load_plan(content) for name, content in offer.contents.items()}
    except InvalidPlan as error:
        return TrainingTrial(problem=error.detail)
    return try_out(plans, read_model(session, offer.definition), offer.definition.client_config, data, bounds)


def _offered(name: str, plan: Plan) -> OfferedPlan:
    try:
        cost = str(plan.cost())
    except InvalidPlan as error:
        cost = f"it does not pass its checks: {error.detail}"
    results = [f"{output.role} {output.name}: {describe_type(output)}" for output in plan.outputs]
    return OfferedPlan(name=name, digest=plan.id, text=plan.text(), cost=cost, results=results)
