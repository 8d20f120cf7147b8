"""A Domain with trainings in some report format, and the workers that take part in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import syft_ext as sy
from apps.assembly import open_node
from grid.federated.pipeline import TrainingPipeline
from grid.federated.service import FederatedService
from grid.web.testing import ServedNode
from syft_ext.federated.formats import EncodedReport, encoder_of
from syft_ext.messages.federated import Report, ReportReply
from syft_ext.plans.training.parameters import Parameters
from tests.open_site import open_site
from tests.sdk.live import SERVICES, log_in, serve

__all__ = ["Home", "Part"]

Buffer = bytes | bytearray | memoryview


class Home:
    """Attributes: ``served``: the node that runs on it now."""

    def __init__(self, path: Path, url: str, patch: pytest.MonkeyPatch) -> None:
        self._path, self._url, self._patch = path, url, patch
        self._clients: list[sy.FLClient] = []
        self.start()

    def start(self) -> None:
        if (self._path / "node.key").exists():
            node = open_node("domain", self._path, "hospital", SERVICES, database_url=self._url)
            self.served = ServedNode(node)
        else:
            self.served = serve(self._path, self._url, self._patch)
        self.owner = log_in(self.served.url)

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.served.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def pipeline(self) -> TrainingPipeline:
        return self.served.node.service(FederatedService).pipeline

    def set_policy(self, **fields: Any) -> None:
        open_site(self.pipeline.store.database, **fields)

    # -- trainings ----------------------------------------------------------------------------------

    def host(self, model: Mapping[str, torch.Tensor], name: str = "t", **server_config: Any) -> str:
        """The id of a new training. Reports are ``model`` plus something."""
        client = sy.ModelCentricFLClient(address=self.served.url.removeprefix("http://"), secure=False)
        try:
            client.connect()
            training = client.host_federated_training(
                model=model,
                client_plans={},
                client_config={"name": name, "version": "1"},
                server_config=server_config,
            )
            return str(training.view.process_id)
        finally:
            client.close()

    def until(self, process_id: str, cycles: int) -> Any:
        """Wait until so many cycles are completed; the training as it is then."""
        after = 0
        while True:
            events = self.pipeline.views.watch(process_id, after, 20.0)
            assert events.events, events.process
            after = events.last
            if events.process.cycles_completed >= cycles:
                return events.process
            assert events.process.status == "running", events.process.reason

    def model(self, name: str = "t") -> Parameters:
        return self.owner.trainings.model(name, "1", "latest")

    # -- workers ------------------------------------------------------------------------------------

    def join(self, name: str = "t") -> Part:
        """A new worker that has its part in the current cycle."""
        client = sy.FLClient(self.served.url)
        self._clients.append(client)
        return Part(client.new_job(name, "1"))

    def cycle(self, reports: Sequence[Mapping[str, torch.Tensor]], name: str = "t") -> None:
        """As many new workers as there are ``reports`` learn that: what is added to the model."""
        parts = [self.join(name) for _ in reports]
        for part, change in zip(parts, reports, strict=True):
            part.learn(change)


class Part:
    """One worker's part in a cycle, step by step."""

    def __init__(self, job: sy.FLJob) -> None:
        self.job = job
        job.authenticate()
        self.assignment = job.session.check_in(f"key of {id(self)}")
        assert self.assignment.status == "accepted", self.assignment
        job.take(self.assignment)

    def trained(self, change: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: value + change[name] for name, value in self.job.model.state_dict().items()}

    def learn(self, change: Mapping[str, torch.Tensor]) -> ReportReply | None:
        """Report the model plus ``change``, as any user of the SDK does."""
        return self.job.report(self.trained(change))

    def encode(self, change: Mapping[str, torch.Tensor]) -> EncodedReport:
        encoder = encoder_of(self.assignment.report_format)
        return encoder.encode(self.job.report_context(), self.trained(change))

    def send(self, pieces: Sequence[Buffer], kind: str = "", **fields: Any) -> ReportReply:
        """Report these very bytes."""
        message = Report(
            assignment_id=self.assignment.assignment_id,
            request_key=self.assignment.request_key,
            kind=kind,
            **fields,
        )
        reply: ReportReply = self.job.session.call(message, pieces)
        return reply
