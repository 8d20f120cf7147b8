"""A Domain whose answers a test writes, and a line that breaks where a test says: for the SDK's faults.

The message plane, the signatures, the tokens and the plans are the real ones; what is scripted is when a
worker gets an assignment. The pipeline itself is tested in ``tests/federated``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import blake3
import msgspec
import torch

from apps.assembly import open_node
from grid.node import Context, Download, Node, Principal, Service, handles
from grid.node.metadata import MetadataService
from syft_ext.errors import Conflict, InvalidToken, NotFound, Unavailable
from syft_ext.ids import new_id
from syft_ext.messages import Empty
from syft_ext.messages import federated as m
from syft_ext.messages import participation as p
from syft_ext.messages import training_reviews as d
from syft_ext.messages.confidential import DeclareUpload, GetOffer, OfferReply
from syft_ext.messages.envelope import Envelope
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_inputs import StandAside, TrainingInputs
from syft_ext.messages.training_reviews import DefinitionFacts, TrainingReview, definition_digest
from syft_ext.plans import Plan, make_plan
from syft_ext.tensors import decode_tensors, dtype_code, encode_tensors
from syft_ext.transport import LocalTransport
from syft_ext.transport.base import IncomingFrame, Pieces, Transport

OVER = m.CheckInReply(status="rejected", reason="over")


@cache
def least_squares() -> Plan:
    """One SGD step of linear regression: loss, accuracy, and the parameters; any batch size."""

    def training_plan(
        x: torch.Tensor = torch.randn(4, 2),
        y: torch.Tensor = torch.randn(4),
        lr: float = 0.1,
        params: Any = (torch.zeros(2), torch.zeros(1)),
    ) -> Any:
        weight, bias = params
        error = x @ weight + bias - y
        loss = (error * error).mean()
        accuracy = (error.abs() < 0.5).float().mean()
        grad = 2 * (error.unsqueeze(1) * x).mean(0)
        return loss, accuracy, weight - lr * grad, bias - lr * 2 * error.mean()

    return make_plan(training_plan)


class Script:
    """What the Domain does, and what it saw.

    Attributes:
        shown: the definition that it shows to who asks; by default that of its plan, model and configuration
            as they are when somebody asks first. What is changed after that is a lie.
        claimed: the digest of a definition that its check-ins name; "": that of ``shown``.
        review: whose word it says that the training runs on; its digest is filled in.
        downloads: operations by which something was downloaded.
        policy: what the site demands, as its check-ins say.
        inputs: what it declares of participants' data. aside: what its workers said when they stood aside.
        node_key: the key that its node signs with.
        report_format: what reports it asks for. policy_text: of a confidential training, as its definition has it.
        offer: of a confidential training: what it answers for an assignment. declared, sealed: what came of that.
    """

    def __init__(self, cycles: int = 3) -> None:
        self.shown: DefinitionFacts | None = None
        self.claimed = ""
        self.inputs: TrainingInputs | None = None
        self.aside: list[str] = []
        self.node_key = ""
        self.policy: CyclePolicy | None = None
        self.report_format = "plain"
        self.policy_text = ""
        self.offer: Callable[[str], bytes] | None = None
        self.declared: list[DeclareUpload] = []
        self.sealed: list[bytes] = []
        self.review = TrainingReview(state="approved", reviewers=["officer@hospital.org"])
        self.authentications: list[m.AuthenticateWorker] = []
        self.downloads: list[str] = []
        self.cycles = cycles
        self.plan = least_squares().dumps()
        self.model = {"w": torch.zeros(2), "b": torch.zeros(1)}
        self.client_config: dict[str, Any] = {"name": "line", "version": "1", "lr": 0.1}
        self.refusals: list[m.CheckInReply] = []
        self.known_tokens = True
        self.forgotten_worker = False
        self.requires_speed_test = False
        self.check_ins: list[m.CheckIn] = []
        self.reports: list[m.Report] = []
        self.failures: list[p.ReportFailure] = []
        self.workers: list[str] = []
        self.assignments: dict[str, m.CheckInReply] = {}
        self.by_key: dict[str, m.CheckInReply] = {}
        self.report_error: Exception | None = None
        self.lock = threading.Lock()

    def definition(self) -> DefinitionFacts:
        if self.shown is None:
            self.shown = DefinitionFacts(
                name="line",
                version="1",
                plans={"training_plan": blake3.blake3(self.plan).hexdigest()},
                client_config=dict(self.client_config),
                server_config={
                    "report_format": self.report_format,
                    "report_options": {},
                    **({"confidential": {"policy": self.policy_text}} if self.policy_text else {}),
                },
                model=blake3.blake3(encode_tensors(self.model)).hexdigest(),
                tensors=[(name, dtype_code(t.dtype), list(t.shape)) for name, t in self.model.items()],
                inputs=self.inputs,
            )
        return self.shown


class ScriptedService(Service):
    """One worker, one training ``line`` ``1``; a cycle ends with its report."""

    token_kind = "worker"

    def __init__(self, node: Node, script: Script) -> None:
        super().__init__(node)
        self.script = script

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        if not self.script.known_tokens:
            raise InvalidToken("this node does not know the worker")
        return Principal("worker", id=claims["sub"])

    @handles(m.AuthenticateWorker)
    def authenticate(self, ctx: Context, message: m.AuthenticateWorker) -> m.WorkerView:
        if message.model_name != "line":
            raise NotFound(f"no training {message.model_name!r}")
        if message.auth_token == "wrong":
            raise InvalidToken("the auth_token is refused")
        self.script.known_tokens = True
        self.script.authentications.append(message)
        worker_id = ctx.principal.verify_key[:32]
        self.script.workers.append(worker_id)
        token, _ = self.node.tokens.issue("worker", worker_id, 3600.0)
        return m.WorkerView(
            worker_id=worker_id,
            token=token,
            process_id="0" * 32,
            requires_speed_test=self.script.requires_speed_test,
            report_format=self.script.report_format,
        )

    @handles(d.GetDefinition)
    def definition(self, ctx: Context, message: d.GetDefinition) -> d.DefinitionView:
        facts, review = self.script.definition(), self.script.review
        if not review.digest:
            review = msgspec.structs.replace(review, digest=definition_digest(facts))
        return d.DefinitionView(
            process_id="0" * 32,
            digest=definition_digest(facts),
            facts=facts,
            sizes={},
            model=[],
            review=review,
        )

    @handles(d.GetDefinitionFile)
    def definition_file(self, ctx: Context, message: d.GetDefinitionFile) -> Download:
        """The file of that digest as it was first, or whatever has its place now."""
        model = encode_tensors(self.script.model)
        return _download(model if message.digest == self.script.definition().model else self.script.plan)

    @handles(StandAside)
    def stand_aside(self, ctx: Context, message: StandAside) -> Empty:
        self.script.aside.append(message.reason)
        return Empty()

    @handles(m.CheckIn)
    def check_in(self, ctx: Context, message: m.CheckIn) -> m.CheckInReply:
        script = self.script
        script.check_ins.append(message)
        if script.forgotten_worker:
            script.forgotten_worker = False
            raise NotFound("there is no such worker in this training")
        if message.idempotency_key in script.by_key:
            return script.by_key[message.idempotency_key]
        if script.refusals:
            return script.refusals.pop(0)
        if len(script.reports) >= script.cycles:
            return OVER
        reply = m.CheckInReply(
            status="accepted",
            assignment_id=new_id(),
            request_key="k" * 64,
            cycle=len(script.reports) + 1,
            num_cycles=script.cycles,
            checkpoint=len(script.reports) + 1,
            plans={"training_plan": "p" * 32},
            client_config=script.client_config,
            deadline=2e9,
            definition=script.claimed or definition_digest(script.definition()),
            policy=script.policy,
            report_format=script.report_format,
        )
        script.assignments[reply.assignment_id] = script.by_key[message.idempotency_key] = reply
        return reply

    @handles(m.GetModel)
    def model(self, ctx: Context, message: m.GetModel) -> Download:
        self.script.downloads.append("model")
        return _download(encode_tensors(self.script.model))

    @handles(m.GetPlan)
    def plan(self, ctx: Context, message: m.GetPlan) -> Download:
        self.script.downloads.append("plan")
        return _download(self.script.plan)

    @handles(m.SpeedSample)
    def sample(self, ctx: Context, message: m.SpeedSample) -> Download:
        return _download(bytes(message.size))

    @handles(m.SpeedUpload)
    def upload(self, ctx: Context, message: m.SpeedUpload) -> Empty:
        ctx.body.drain()
        return Empty()

    @handles(m.Report)
    def report(self, ctx: Context, message: m.Report) -> m.ReportReply:
        script = self.script
        data = ctx.body.read_all()
        if message.kind == "sealed":
            script.sealed.append(bytes(data))
        diff = {} if message.kind == "sealed" else decode_tensors(data)
        if script.report_error is not None:
            error, script.report_error = script.report_error, None
            raise error
        if any(known.assignment_id == message.assignment_id for known in script.reports):
            raise Conflict("this assignment has reported already", reason="duplicate", status="reported")
        script.reports.append(message)
        script.model = {name: tensor - diff.get(name, 0) for name, tensor in script.model.items()}
        return m.ReportReply(
            assignment_id=message.assignment_id,
            cycle=len(script.reports),
            reported=1,
            cycle_status="aggregating",
        )

    @handles(GetOffer)
    def offer(self, ctx: Context, message: GetOffer) -> OfferReply:
        assert self.script.offer is not None
        return OfferReply(offer=self.script.offer(message.assignment_id))

    @handles(DeclareUpload)
    def declare(self, ctx: Context, message: DeclareUpload) -> Empty:
        self.script.declared.append(message)
        return Empty()

    @handles(p.ReportFailure)
    def failure(self, ctx: Context, message: p.ReportFailure) -> Empty:
        self.script.failures.append(message)
        return Empty()


def _download(data: bytes) -> Download:
    digest = blake3.blake3(data).hexdigest()
    reply = m.BlobView(digest=digest, size=len(data))
    return Download(reply, lambda start, stop: [data[start:stop]], len(data), digest)


def scripted_node(home: Path, database_url: str, script: Script) -> Node:
    services = (MetadataService, lambda node: ScriptedService(node, script))
    return open_node("domain", home, "scripted", services, database_url=database_url)


Fault = Callable[[Envelope], str | None]


class BrokenLine(Transport):
    """Hands frames to a node, unless ``fault(envelope)`` says "before" (the request is lost) or "after" (it
    arrives, and the answer is lost)."""

    def __init__(self, node: Node, fault: Fault) -> None:
        self.address = "local:"
        self.fault = fault
        self._line = LocalTransport(node)

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        where = self.fault(envelope)
        if where == "before":
            raise Unavailable("the line is down")
        frame = self._line.exchange(envelope, payload, timeout=timeout)
        if where == "after":
            raise Unavailable("the line went down")
        return frame


class Times:
    """A fault: the first ``count`` messages of ``operation`` break at ``where``."""

    def __init__(self, operation: str, count: int, where: str) -> None:
        self.operation, self.left, self.where = operation, count, where

    def __call__(self, envelope: Envelope) -> str | None:
        if envelope.operation != self.operation or not self.left:
            return None
        self.left -= 1
        return self.where
