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
from syft_ext.messages.plan_facts import TrialOfRows
from syft_ext.messages.training_reviews import DefinitionFacts, TrainingReview, WorkerBounds

_CONTROL = node_or("can_manage_infrastructure")
_OWNER = flag("can_manage_infrastructure")

DigestPrefix = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{0,64}$(?!\n)")]
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
    """A training that workers can join, with what a worker must know to decide. ``plans``, ``protocols``:
    name → digest; ``review``: whose word it runs on."""

    name: str
    version: str
    status: str
    authentication: bool
    created_at: float
    process_id: str = ""
    plans: dict[str, str] = {}
    protocols: dict[str, str] = {}
    review: TrainingReview = TrainingReview()


class OpenTrainings(Reply):
    """``revision`` changes whenever the list does."""

    trainings: list[OpenTraining]
    revision: str


class SeenTrainingView(Reply):
    """A training as the Worker's owner sees it. What they decide is decided for its ``digest``: another definition
    under the same name is another training.

    Attributes:
        digest: of its definition (:func:`syft_ext.messages.training_reviews.definition_digest`).
        review: whose word it runs on at the Domain, as the Domain says.
        decision: waiting (for the owner), approved, or denied.
        decided_by: "owner" (of this Worker), or those whose word this Worker takes; "" while it waits.
        state: idle, joined, over, failed, spent (it has had all the reports that the bounds allow), or unfit (this
            Worker's data are not what it takes: ``last_error`` says why; it is tried again when they change).
        reports: reports of this Worker that the Domain accepted.
    """

    name: str
    version: str
    decision: Literal["waiting", "approved", "denied"]
    state: Literal["idle", "joined", "over", "failed", "spent", "unfit"]
    reports: int
    last_cycle: int
    last_loss: float | None
    last_error: str
    seen_at: float
    updated_at: float
    digest: str = ""
    review: TrainingReview = TrainingReview()
    decided_by: str = ""


class SeenTrainingList(Reply):
    """The trainings that the Worker has seen at its Domain, and what became of each; ``bounds``: what leaves the
    Worker at most, whatever a training does; ``apart``: why it takes part in nothing now, "" where it does."""

    trainings: list[SeenTrainingView]
    bounds: WorkerBounds = WorkerBounds()
    apart: str = ""


class OfferedPlan(msgspec.Struct, kw_only=True):
    """A plan of a training, as its reviewer reads it. ``cost`` is that of one run, ``results`` what one run
    returns."""

    name: str
    digest: str
    text: str
    cost: str
    results: list[str]


class TrainingTrial(msgspec.Struct, kw_only=True):
    """What came of a few steps on made-up rows of the form of the owner's data.

    Attributes:
        rows, steps: made-up rows, and steps taken over them.
        seconds: that took, in the sandbox.
        loss, accuracy: as the plan states them.
        norm: L2 norm of the difference to the model; ``bounded``: of what the bounds would let out of it.
        influence: of each plan, which of its results answer to single rows of these: an aid, and no proof.
        problem: why it could not be run; then nothing else of this is there.
    """

    rows: int = 0
    steps: int = 0
    seconds: float = 0.0
    loss: float | None = None
    accuracy: float | None = None
    norm: float = 0.0
    bounded: float = 0.0
    influence: dict[str, TrialOfRows] = {}
    problem: str = ""


class OfferView(Reply):
    """All that a Worker's owner can know of a training before they decide.

    Attributes:
        training: what is known of it so far.
        definition: everything that is fixed of it; its digest was computed here.
        plans: what would run.
        leaves: what a report contains at most, in words, after this Worker's bounds.
        earlier: the version that ``difference`` compares with: the one that was approved last; "" without one.
        difference: a unified diff of definition and plans.
        trial: None where none was asked for.
        data: how this Worker's data compare with what it takes: what does not match, or what to know of them.
    """

    training: SeenTrainingView
    definition: DefinitionFacts
    plans: list[OfferedPlan]
    leaves: list[str]
    earlier: str = ""
    difference: str = ""
    trial: TrainingTrial | None = None
    data: list[str] = []


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


@operation("worker.review", rest="GET /worker/trainings/review", reply=OfferView, permission=_OWNER)
class ReviewOffer(Message):
    """Read a training that this Worker has seen: its plans, what a report contains, how it differs from the
    version approved before, and what it does with made-up rows of the form of the owner's data
    (``trial``)."""

    name: Name
    version: Name
    digest: DigestPrefix = ""
    trial: bool = True


@operation("worker.decide", rest="POST /worker/trainings", reply=SeenTrainingView, permission=_OWNER)
class DecideTraining(Message):
    """Approve or deny that this Worker takes part in a training. Denying ends its part, soon.

    It is decided for one definition: where several of that name and version were seen, ``digest`` (or how it
    begins) says which.
    """

    name: Name
    version: Name
    decision: Literal["approved", "denied"]
    digest: DigestPrefix = ""
