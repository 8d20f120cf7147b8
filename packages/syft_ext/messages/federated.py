"""Model-centric federated learning: what scientists, workers and watchers say to a Domain.

One pipeline under two vocabularies: a training is a process in the PyGrid paper (section 4) and on the wire, and
a task in the federated compute server; a cycle is an iteration there, an assignment a worker's part in a cycle.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from syft_ext.messages.fields import AnyDigest, Note
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, USER, WORKER
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.messages.training_reviews import TrainingReview, WorkerBounds

ProcessStatus = Literal["created", "waiting", "running", "paused", "completed", "cancelled", "failed"]
#: Bytes of all plans and protocols of a training.
MAX_PLANS = 8 << 20
_KEY = {"request_key": "Grid-Request-Key"}
_ONE = "/federated/processes/{process_id}"


class ProcessView(Reply):
    """A training. Times are seconds since the epoch; sizes are bytes.

    Attributes:
        cycles_completed, num_cycles: progress; ``num_cycles`` 0 means "until cancelled".
        cycle: sequence number of the current cycle, from 1; 0 before the model was uploaded.
        checkpoint: number of the latest checkpoint; 1 is the model as it was hosted.
        report_format: what its workers' reports look like.
        aggregator: the strategy that makes the next model of the reports; "averaging_plan": the hosted plan.
        aggregator_parameters: what is set of the strategy, its defaults included.
        policy: what the site demands of the current cycle; None: nothing.
        review: whose word it runs on, or waits for.
        readers: e-mail addresses of those whom its host gave it to read.
        waits_for: what its cycle waits for: the end of a fault, its host to open a sum, participants; or "".
        inputs: what it takes of its participants' data; None: nothing is declared.
        aside, aside_names: worker id → why it takes no part for now; its name, for who manages the Domain.
        min_workers: how many reports a cycle needs.
        missing: who has yet to report in this cycle, for who manages the Domain: e-mail addresses, Workers' names.
    """

    process_id: str
    name: str
    version: str
    status: ProcessStatus
    owner: str
    created_at: float
    num_cycles: int
    cycles_completed: int
    cycle: int
    cycle_status: str
    admitted: int
    reported: int
    checkpoint: int
    model_size: int
    plans: dict[str, str]
    protocols: dict[str, str]
    client_config: dict[str, Any]
    report_format: str = "plain"
    reason: str = ""
    aggregator: str = "mean"
    aggregator_parameters: dict[str, Any] = {}
    policy: CyclePolicy | None = None
    review: TrainingReview = TrainingReview()
    readers: list[str] = []
    waits_for: str = ""
    inputs: TrainingInputs | None = None
    aside: dict[str, str] = {}
    aside_names: dict[str, str] = {}
    min_workers: int = 0
    missing: list[str] = []


class ProcessList(Reply):
    """The training processes that were asked for, newest first."""

    processes: list[ProcessView]


class CycleMetrics(Reply):
    """One cycle's outcome, and the site's demands on it. Means are weighted by samples where reports say them."""

    cycle: int
    status: str
    opened_at: float
    closed_at: float | None
    checkpoint: int | None
    admitted: int
    reported: int
    rejected: int
    samples: int
    loss: float | None
    accuracy: float | None
    bytes_received: int
    policy: CyclePolicy | None = None


class MetricsReply(Reply):
    """The cycles of a process so far, in their order."""

    cycles: list[CycleMetrics]


class Event(Reply):
    """One transition, as the history keeps it. ``entity`` is process (the training), cycle or assignment.

    Under noise, what an assignment came to, and why, is for the Domain's managers; others read "ended"."""

    seq: int
    at: float
    entity: str
    entity_id: str
    cycle: int
    before: str
    after: str
    detail: dict[str, Any] = {}


class EventsReply(Reply):
    """``events`` in order; pass ``last`` as ``after`` to go on from here."""

    events: list[Event]
    last: int
    process: ProcessView


class CheckpointView(Reply):
    """A model. ``policy``: the site's demands under which its cycle released it; None: there were none."""

    process_id: str
    number: int
    created_at: float
    digest: str
    size: int
    policy: CyclePolicy | None = None


class WorkerView(Reply):
    """What a worker gets when it authenticated: its id and the token for its further calls.

    ``report_format``: what its reports must look like; a worker that does not know it need not check in.
    """

    worker_id: str
    token: str
    process_id: str
    requires_speed_test: bool
    report_format: str = "plain"
    status: str = "success"


class CheckInReply(Reply):
    """The answer to a check-in.

    Attributes:
        reason: when rejected: full, resting, too-slow, not-selected, waiting-for-workers, paused, in-review,
            not-accepted, own-training, or over.
        retry_after: seconds after which another check-in makes sense; None when the training is over.
        request_key: the secret of this assignment; model, plans and report need it.
        cycle_id: the Domain's, for this cycle. checkpoint, model_digest: which model it starts from.
        plans, protocols: name → id.
        report_format, report_options: what the report must look like, fixed when the training was hosted.
        deadline: until when the report must have arrived, seconds since the epoch.
        definition: the digest of what the training is (:mod:`syft_ext.messages.training_reviews`).
        policy: what the site demands of this cycle; None: nothing.
        heartbeat: seconds between two heartbeats of a worker that said it sends them; 0: the Domain knows none.
    """

    status: Literal["accepted", "rejected"]
    reason: str = ""
    retry_after: float | None = None
    assignment_id: str = ""
    request_key: str = ""
    cycle: int = 0
    cycle_id: str = ""
    num_cycles: int = 0
    checkpoint: int = 0
    model_digest: str = ""
    model_size: int = 0
    plans: dict[str, str] = {}
    protocols: dict[str, str] = {}
    client_config: dict[str, Any] = {}
    report_format: str = "plain"
    report_options: dict[str, Any] = {}
    deadline: float = 0.0
    definition: str = ""
    policy: CyclePolicy | None = None
    heartbeat: float = 0.0


class BlobView(Reply):
    """What comes with downloaded bytes."""

    digest: str
    size: int


class ReportReply(Reply):
    """The report is stored and counted. ``cycle_status`` is the cycle's state right after it; ``samples``: what it
    weighs where it said more than the site's policy lets one report weigh, else None."""

    assignment_id: str
    cycle: int
    reported: int
    cycle_status: str
    samples: int | None = None


@operation(
    "federated.host",
    rest="POST /federated/processes",
    reply=ProcessView,
    permission=USER,
    status=201,
    max_bulk=MAX_PLANS,
)
class HostTraining(Message):
    """Register a training: plans and configurations. It begins when its model is uploaded.

    Plans are the bytes of serialized plans (base64 in JSON). ``averaging_plan`` None means the strategy that
    ``server_config["aggregator"]`` names, by default the weighted mean; it is a name, or
    ``{"name": "fedadam", "parameters": {"learning_rate": 0.01}}``. ``client_config`` and ``server_config`` are
    those of the paper's listing 6. ``inputs`` declares what it takes of its participants' data.
    """

    name: str
    version: str
    client_plans: dict[str, bytes]
    client_protocols: dict[str, bytes] = {}
    averaging_plan: bytes | None = None
    client_config: dict[str, Any] = {}
    server_config: dict[str, Any] = {}
    inputs: TrainingInputs | None = None


@operation(
    "federated.upload_model",
    rest="PUT /federated/processes/{process_id}/model",
    reply=ProcessView,
    permission=USER,
    uploads=True,
)
class UploadModel(Message):
    """Upload the initial model (a tensor file) of a training that you host.

    Its definition is complete then: its first cycle opens, or it waits for the word of this Domain's reviewers,
    who are told ``reason``; see ``review`` in the answer. ``digest``: the model came in parts before
    (``federated.send_model_part``).
    """

    process_id: str
    reason: Note = ""
    digest: AnyDigest = ""


@operation("federated.list", rest="GET /federated/processes", reply=ProcessList, permission=USER)
class ListProcesses(Message):
    """The trainings that you may read, newest first; ``name`` and ``version`` narrow it down."""

    name: str = ""
    version: str = ""


@operation("federated.get", rest="GET /federated/processes/{process_id}", reply=ProcessView, permission=USER)
class GetProcess(Message):
    """One training."""

    process_id: str


@operation("federated.pause", rest=f"POST {_ONE}/pause", reply=ProcessView, permission=USER)
class PauseProcess(Message):
    """Stop handing out assignments; reports already assigned are still taken. Its host may, and managers."""

    process_id: str


@operation("federated.resume", rest=f"POST {_ONE}/resume", reply=ProcessView, permission=USER)
class ResumeProcess(Message):
    """Go on with a paused training, or take up one that failed: from its last good checkpoint, in a new cycle. Its
    host may, and whoever manages this Domain."""

    process_id: str


@operation("federated.cancel", rest=f"POST {_ONE}/cancel", reply=ProcessView, permission=USER)
class CancelProcess(Message):
    """End a training for good; what its cycles made stays. Its host may, and whoever manages this Domain."""

    process_id: str
    reason: str = ""


@operation("federated.discard", rest=f"DELETE {_ONE}/models", reply=ProcessView, permission=USER)
class DiscardModels(Message):
    """Remove plans and models of a training that has ended, for room; its history stays. Its host may, and whoever
    manages this Domain."""

    process_id: str


@operation("federated.history", rest=f"GET {_ONE}/history", reply=EventsReply, permission=USER)
class ProcessHistory(Message):
    """The transitions of a training, its cycles and assignments, in order."""

    process_id: str
    after: int = 0
    limit: int = 1000


@operation("federated.watch", rest=f"GET {_ONE}/events", reply=EventsReply, permission=USER)
class WatchProcess(Message):
    """Wait at most ``timeout`` seconds for transitions after ``after``; answers at once if there are any."""

    process_id: str
    after: int = 0
    timeout: float = 25.0


@operation("federated.metrics", rest=f"GET {_ONE}/metrics", reply=MetricsReply, permission=USER)
class ProcessMetrics(Message):
    """Loss, accuracy, samples and participants of every cycle."""

    process_id: str


@operation(
    "federated.retrieve_model",
    rest="GET /federated/models/{name}/{version}/{checkpoint}",
    reply=CheckpointView,
    permission=USER,
    downloads=True,
)
class RetrieveModel(Message):
    """Download a checkpoint (a tensor file); ``checkpoint`` is a number or "latest"."""

    name: str
    version: str
    checkpoint: str = "latest"


@operation(
    "federated.authenticate",
    rest="POST /federated/workers",
    reply=WorkerView,
    permission=ANYONE,
    status=201,
    audited=False,
)
class AuthenticateWorker(Message):
    """Join a training as a worker; ``auth_token`` satisfies the authentication that its host configured.

    A worker that signs keeps its worker id when it comes again with the same key and ``device``, which tells those
    of one account apart. ``bounds``: what its owner lets out at most."""

    model_name: str
    model_version: str
    auth_token: str = ""
    device: Annotated[str, msgspec.Meta(max_length=64)] = ""
    bounds: WorkerBounds | None = None


@operation(
    "federated.speed_sample",
    rest="GET /federated/speed-test",
    reply=BlobView,
    permission=WORKER,
    downloads=True,
    audited=False,
)
class SpeedSample(Message):
    """Download ``size`` bytes (at most 64 MiB), to measure the download speed."""

    size: int = 1 << 20


@operation(
    "federated.speed_upload",
    rest="POST /federated/speed-test",
    permission=WORKER,
    uploads=True,
    audited=False,
)
class SpeedUpload(Message):
    """Upload at most 64 MiB that are thrown away, to measure the upload speed."""


@operation(
    "federated.check_in",
    rest="POST /federated/check-ins",
    reply=CheckInReply,
    permission=WORKER,
    headers={"idempotency_key": "Idempotency-Key"},
    audited=False,
)
class CheckIn(Message):
    """Ask for a part in the current cycle.

    Attributes:
        idempotency_key: a repeated check-in with the same key gets the same assignment.
        ping: milliseconds; download, upload: kilobytes (1,000 bytes) per second. Needed when the training
            sets minimum speeds.
        wait: hold the answer for up to so many seconds until a cycle can take this worker.
        heartbeats: this worker will send ``federated.heartbeat``. It keeps its slot for as long as it does, and
            loses it after three that did not come; without, it has the training's ``assignment_timeout``.
    """

    idempotency_key: str = ""
    ping: float | None = None
    download: float | None = None
    upload: float | None = None
    wait: float = 0.0
    heartbeats: bool = False


@operation(
    "federated.get_model",
    rest="GET /federated/assignments/{assignment_id}/model",
    reply=BlobView,
    permission=WORKER,
    downloads=True,
    headers=_KEY,
    audited=False,
)
class GetModel(Message):
    """Download the model that this assignment starts from (a tensor file). ``moving``: the bytes of what is no
    constant, one tensor after the other as they lie in it; the reply's digest is that of the whole file."""

    assignment_id: str
    request_key: str
    moving: bool = False


@operation(
    "federated.get_plan",
    rest="GET /federated/assignments/{assignment_id}/plans/{plan_id}",
    reply=BlobView,
    permission=WORKER,
    downloads=True,
    headers=_KEY,
    audited=False,
)
class GetPlan(Message):
    """Download one of the training's plans (serialized plan)."""

    assignment_id: str
    plan_id: str
    request_key: str


@operation(
    "federated.get_protocol",
    rest="GET /federated/assignments/{assignment_id}/protocols/{protocol_id}",
    reply=BlobView,
    permission=WORKER,
    downloads=True,
    headers=_KEY,
    audited=False,
)
class GetProtocol(Message):
    """Download one of the training's protocols, as its host uploaded it."""

    assignment_id: str
    protocol_id: str
    request_key: str


@operation(
    "federated.report",
    rest="PUT /federated/assignments/{assignment_id}/report",
    reply=ReportReply,
    permission=WORKER,
    uploads=True,
    headers=_KEY,
    audited=False,
)
class Report(Message):
    """Upload what was learned, streamed: in the training's report format, which is a tensor file with the tensors
    of the model where it is "plain".

    Attributes:
        kind: what it is, where the format has several kinds, and "" for its first. Plain reports: "diff" is base
            minus trained, as in PyGrid, "params" are the trained parameters themselves.
        samples: how many samples it was trained on: the weight in the mean.
        loss, accuracy: local metrics of this part.
        digest: the report came in parts before (``federated.send_report_part``), and this is what it is.
    """

    assignment_id: str
    request_key: str
    kind: str = ""
    samples: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    digest: AnyDigest = ""
