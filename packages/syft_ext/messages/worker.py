"""What a Worker does for its Domain and its owner: load, run, save; and which trainings it takes part in.

A Worker obeys its associated Domain (which signs as a node) and its owner: whoever holds the Worker's home
directory, and with it the Worker's key.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Description, Id, Name, Words
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import SIGNED, flag, node_or

_CONTROL = node_or("can_manage_infrastructure")
_OWNER = flag("can_manage_infrastructure")

TensorName = Annotated[str, msgspec.Meta(max_length=255)]


class WorkerObject(Reply):
    """An object on a Worker. ``kind`` is as in the Domain's store; size is bytes; shape of one tensor."""

    object_id: str
    kind: str
    description: str
    size: int
    dtype: str | None
    shape: list[int] | None
    created_at: float


class WorkerObjectList(Reply):
    """Your objects on the Worker, newest first."""

    objects: list[WorkerObject]


class WorkerStatus(Reply):
    """How a Worker is. ``sandbox`` says whether its process for plans is warm; sizes are bytes."""

    name: str
    domain: str
    objects: int
    bytes: int
    sandbox: bool
    runs: int
    training: bool
    load: dict[str, float]


class RunInput(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which object an input of the plan takes; ``tensor`` names one tensor of an object of several."""

    object_id: Id
    tensor: TensorName = ""


class RunOutput(Reply):
    """One result: it stays on the Worker until it is saved or deleted."""

    name: str
    role: str
    object_id: str
    dtype: str | None
    shape: list[int] | None


class RunReply(Reply):
    """``plan_id`` is the digest of the plan that ran."""

    plan_id: str
    outputs: list[RunOutput]
    seconds: float


class OpenTraining(Reply):
    """A training that workers can join, with what a worker must know to decide."""

    name: str
    version: str
    status: str
    authentication: bool
    created_at: float


class OpenTrainings(Reply):
    """``revision`` changes whenever the list does."""

    trainings: list[OpenTraining]
    revision: str


class SeenTrainingView(Reply):
    """A training as the Worker's owner sees it.

    Attributes:
        decision: waiting (for the owner), approved, or denied.
        state: idle, joined, over, or failed.
        reports: reports of this Worker that the Domain accepted.
    """

    name: str
    version: str
    decision: Literal["waiting", "approved", "denied"]
    state: Literal["idle", "joined", "over", "failed"]
    reports: int
    last_cycle: int
    last_loss: float | None
    last_error: str
    seen_at: float
    updated_at: float


class SeenTrainingList(Reply):
    """The trainings that the Worker has seen at its Domain, and what became of each."""

    trainings: list[SeenTrainingView]


# -- load, run, save -----------------------------------------------------------------------------------


@operation("worker.status", rest="GET /worker/status", reply=WorkerStatus, permission=_CONTROL)
class GetWorkerStatus(Message):
    """How this Worker is, and what it holds of yours."""


@operation(
    "worker.load",
    rest="POST /worker/objects",
    reply=WorkerObject,
    permission=_CONTROL,
    uploads=True,
    status=201,
)
class LoadObject(Message):
    """Hand this Worker an object: a tensor file (tensor, tensors, list), a serialized plan, or bytes."""

    kind: Literal["tensor", "tensors", "list", "plan", "bytes"] = "tensor"
    description: Description = ""


@operation("worker.list", rest="GET /worker/objects", reply=WorkerObjectList, permission=_CONTROL)
class ListWorkerObjects(Message):
    """The objects that you handed this Worker, and the results of your runs, newest first."""


@operation("worker.describe", rest="GET /worker/objects/{object_id}", reply=WorkerObject, permission=_CONTROL)
class DescribeWorkerObject(Message):
    """One object of yours on this Worker."""

    object_id: Id


@operation(
    "worker.save",
    rest="GET /worker/objects/{object_id}/content",
    reply=WorkerObject,
    permission=_CONTROL,
    downloads=True,
)
class SaveObject(Message):
    """Fetch an object back, to keep it elsewhere."""

    object_id: Id


@operation("worker.delete", rest="DELETE /worker/objects/{object_id}", permission=_CONTROL)
class DeleteWorkerObject(Message):
    """Remove an object of yours from this Worker."""

    object_id: Id


@operation("worker.run", rest="POST /worker/runs", reply=RunReply, permission=_CONTROL, status=201)
class RunWorkerPlan(Message):
    """Run a plan in this Worker's sandbox, on objects that are here; the results become objects.

    Attributes:
        plan: id of an object of kind plan.
        inputs: name of the plan's input → object. What is left out takes the plan's default.
    """

    plan: Id
    inputs: Annotated[dict[Name, RunInput], msgspec.Meta(max_length=10_000)] = {}


# -- trainings -----------------------------------------------------------------------------------------


@operation("federated.open", rest="GET /federated/open", reply=OpenTrainings, permission=SIGNED)
class ListOpenTrainings(Message):
    """The trainings of this Domain that workers can join.

    Answers at once when ``revision`` is not the present one, else when the list changes, or after ``wait``
    seconds.
    """

    revision: Words = ""
    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0


@operation("worker.trainings", rest="GET /worker/trainings", reply=SeenTrainingList, permission=_OWNER)
class ListSeenTrainings(Message):
    """The trainings that this Worker has seen at its Domain, and what became of each."""


@operation("worker.decide", rest="POST /worker/trainings", reply=SeenTrainingView, permission=_OWNER)
class DecideTraining(Message):
    """Approve or deny that this Worker takes part in a training. Denying ends its part, soon."""

    name: Name
    version: Name
    decision: Literal["approved", "denied"]
