"""Consent to a training: what exactly it is given to, whose word it is, and what a participant bounds itself.

Consent is bound to content. :func:`definition_digest` names everything that decides what runs on somebody's
data and what is made of it; a Domain's reviewers and a Worker's owner approve that digest, never a name, which
the asking side chooses. Both sides compute it by themselves, from what they hold.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import blake3
import msgspec

from syft_ext.messages.fields import Id
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, USER
from syft_ext.messages.plan_facts import PlanCost, PlanOutput, TrialOfRows
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_inputs import TrainingInputs

__all__ = [
    "DefinitionFacts",
    "DefinitionFile",
    "DefinitionView",
    "GetDefinition",
    "GetDefinitionFile",
    "HostedPlanReview",
    "ModelTensor",
    "ReviewState",
    "ReviewTraining",
    "ShareTraining",
    "SharesView",
    "TrainingFacts",
    "TrainingReview",
    "TrainingReviewPage",
    "UnshareTraining",
    "WorkerBounds",
    "content_digest",
    "definition_digest",
    "without_names",
]

ReviewState = Literal["none", "pending", "approved", "denied", "revoked", "withdrawn", "own", "open"]

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]

_CONTEXT = "grid training v1"
_canonical = msgspec.msgpack.Encoder(order="sorted")


class TrainingReview(msgspec.Struct, kw_only=True, frozen=True):
    """Whose word a training runs on.

    Attributes:
        state: "none" (its model is not there yet, so that there is nothing to decide on), "pending", "approved"
            (by ``reviewers``, for exactly ``digest``), "denied", "revoked" (after it was approved), "withdrawn"
            (by its host), "own" (its host decides here themselves), or "open" (the site's policy asks nobody).
        digest: what the word is for: see :func:`definition_digest`; "" before the model is there.
        reviewers: e-mail addresses of those who approved, or who denied or revoked it; none are told to callers
            whom the Domain does not know.
        reviewer_count: how many they are.
        request_id: the request that it is decided on, "" without one.
        at: when the state was reached, seconds since the epoch.
        reason: what whoever decided said.
    """

    state: ReviewState = "none"
    digest: str = ""
    reviewers: list[str] = []
    reviewer_count: int = 0
    request_id: str = ""
    at: float = 0.0
    reason: str = ""


def without_names(review: TrainingReview) -> TrainingReview:
    """A review as callers see it whom the Domain does not know: how many have decided, and not who."""
    return msgspec.structs.replace(review, reviewers=[])


class WorkerBounds(msgspec.Struct, kw_only=True, frozen=True):
    """What a participant's owner lets out at most, applied by the participant's own code after whatever the
    training's plan did. A Domain shows it as declared: it cannot see whether it is so.

    Attributes:
        clip_norm: the L2 norm that a report's difference to the model is clipped to; loss and accuracy leave with
            four significant digits then. None: not clipped.
        noise_multiplier: Gaussian noise of this, times ``clip_norm``, in each number; None: none.
        min_rows: reports on fewer rows are not made.
        max_samples: the weight that a report claims at most; None: as many as it used.
        max_reports: reports to one training, all its cycles together; None: no limit.
    """

    clip_norm: float | None = None
    noise_multiplier: float | None = None
    min_rows: int = 1
    max_samples: int | None = None
    max_reports: int | None = None


class DefinitionFacts(msgspec.Struct, kw_only=True, frozen=True):
    """Everything of a training that is fixed when it is hosted. Digests are BLAKE3 in hex, of bytes as uploaded.

    Attributes:
        plans, protocols: name → digest.
        averaging_plan: digest of the plan that averages; "" where a strategy does.
        client_config: as participants are told it.
        server_config: as the Domain stored it, its defaults included. A shared secret of the training's
            authentication is replaced by "…": who may know the digest need not know that.
        model: digest of the initial model, a tensor file.
        tensors: its layout, which every model and plain report of the training has: name, type as in a tensor
            file ("F32") and shape of each tensor, in their order.
        inputs: what it takes of its participants' data; None: its host declared nothing.
    """

    name: str
    version: str
    plans: dict[str, str]
    protocols: dict[str, str] = {}
    averaging_plan: str = ""
    client_config: dict[str, Any] = {}
    server_config: dict[str, Any] = {}
    model: str
    tensors: list[tuple[str, str, list[int]]]
    inputs: TrainingInputs | None = None


class TrainingFacts(msgspec.Struct, kw_only=True):
    """What a request to run a training says of it; its page (``federated.review``) has the rest.

    Attributes:
        digest: of its definition: what an approval is for.
        content: of its definition but for name and version (:func:`content_digest`).
        plans, protocols: name → digest. averaging_plan: its digest, or "".
        parameters: numbers in its model, and so in a report of a participant.
    """

    process_id: str
    name: str
    version: str
    digest: str
    content: str = ""
    plans: dict[str, str]
    protocols: dict[str, str] = {}
    averaging_plan: str = ""
    parameters: int = 0

    def files(self) -> list[str]:
        """The digests of everything that was hosted to run."""
        return [*self.plans.values(), *self.protocols.values(), *filter(None, [self.averaging_plan])]


def definition_digest(facts: DefinitionFacts) -> str:
    """The BLAKE3 digest (64 hex digits) of a training's definition.

    Over msgpack with the keys of all maps sorted, of the fields of ``facts`` and ``"context"``, which says what
    kind of thing is digested. Numbers are as JSON has them: 1 and 1.0 are different definitions. What
    nobody declared is left out, so that definitions from before there were ``inputs`` keep their digest.
    """
    fields = {name: getattr(facts, name) for name in facts.__struct_fields__}
    if facts.inputs is None:
        del fields["inputs"]
    return blake3.blake3(_canonical.encode({"context": _CONTEXT, **fields})).hexdigest()


def content_digest(facts: DefinitionFacts) -> str:
    """The digest of a training's definition but for its name and version: two of the same content run the same
    plans on the same first model, with the same configurations."""
    config = {name: value for name, value in facts.client_config.items() if name not in ("name", "version")}
    return definition_digest(msgspec.structs.replace(facts, name="", version="", client_config=config))


# -- what participants and reviewers look at -----------------------------------------------------------


class ModelTensor(msgspec.Struct, kw_only=True):
    """One tensor of a training's model: a report has one of the same name, shape and dtype. ``kind``: what it is
    (:data:`~syft_ext.tensors.TensorKind`)."""

    name: str
    dtype: str
    shape: list[int]
    kind: str = ""


class DefinitionView(Reply):
    """A training's definition, from which anybody can compute ``digest`` themselves.

    Attributes:
        facts: what the digest is of.
        sizes: digest → bytes, of plans, protocols and the averaging plan.
        model: the tensors of its model.
        review: whose word there is on it.
    """

    process_id: str
    digest: str
    facts: DefinitionFacts
    sizes: dict[str, int]
    model: list[ModelTensor]
    review: TrainingReview


class DefinitionFile(Reply):
    """What comes with the bytes of a hosted plan or protocol."""

    digest: str
    size: int


class HostedPlanReview(msgspec.Struct, kw_only=True):
    """One hosted file, for whoever decides.

    Attributes:
        kind: plan, protocol or averaging.
        text: inputs with their roles, every operation in order, what leaves the plan; "" of a protocol, which is
            bytes that the server never reads.
        outputs, cost: of one call, with the plan's free sizes as in ``sizes``.
        diff: a unified diff with the text of the file of the same name in the version compared with.
        trial: the plan tried on mock rows: which of its results carry single rows back; None for one that takes
            no rows. An aid, and no proof.
        problem: why text or cost are missing.
    """

    name: str
    kind: Literal["plan", "protocol", "averaging"]
    digest: str
    size: int
    text: str = ""
    outputs: list[PlanOutput] = []
    cost: PlanCost | None = None
    sizes: dict[str, int] = {}
    diff: str = ""
    trial: TrialOfRows | None = None
    problem: str = ""


class TrainingReviewPage(Reply):
    """What a reviewer reads of a training: everything that runs, and everything that may leave by it.

    Attributes:
        facts, digest: its definition, both configurations among it. ``host``: e-mail address of who hosts it.
        report: the tensors of one report; beside them a report says samples, loss and accuracy.
        report_format: how reports look. statement: who sees what of them, a sentence each. aggregator: what
            makes the next model of them.
        policy: the site's demands as they are now. participants: who may take part under it, in a sentence.
        earlier: the version that the differences are to: the latest of the same name that was approved, "" without
            one. config_diff: a unified diff of the configurations.
    """

    process_id: str
    digest: str
    host: str
    facts: DefinitionFacts
    review: TrainingReview
    plans: list[HostedPlanReview]
    report: list[ModelTensor]
    report_format: str
    aggregator: str
    policy: CyclePolicy
    participants: str
    earlier: str = ""
    config_diff: str = ""
    statement: list[str] = []


class SharesView(Reply):
    """Who was given a training to read: user id → e-mail address."""

    process_id: str
    users: dict[str, str]


@operation(
    "federated.definition",
    rest="GET /federated/processes/{process_id}/definition",
    reply=DefinitionView,
    permission=ANYONE,
)
class GetDefinition(Message):
    """A training's definition: to whoever may read it, and, once it runs, to whoever may take part in it."""

    process_id: Id


@operation(
    "federated.definition_file",
    rest="GET /federated/processes/{process_id}/definition/{digest}",
    reply=DefinitionFile,
    permission=ANYONE,
    downloads=True,
    audited=False,
)
class GetDefinitionFile(Message):
    """A hosted plan or protocol, by its digest, to read before it runs: as ``federated.definition``."""

    process_id: Id
    digest: Digest


@operation(
    "federated.review",
    rest="GET /federated/processes/{process_id}/review",
    reply=TrainingReviewPage,
    permission=USER,
)
class ReviewTraining(Message):
    """What a reviewer reads of a training before they decide; to its host, to reviewers and managers."""

    process_id: Id


@operation(
    "federated.share",
    rest="PUT /federated/processes/{process_id}/readers/{user_id}",
    reply=SharesView,
    permission=USER,
)
class ShareTraining(Message):
    """Let a user read a training that you host: state, history, metrics and models."""

    process_id: Id
    user_id: Id


@operation(
    "federated.unshare",
    rest="DELETE /federated/processes/{process_id}/readers/{user_id}",
    reply=SharesView,
    permission=USER,
    status=200,
)
class UnshareTraining(Message):
    """Take a training that you host back from a user."""

    process_id: Id
    user_id: Id
