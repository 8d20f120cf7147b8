"""A Domain with trainings whose reports are masked, and participants over sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import syft_ext as sy
from grid.federated.pipeline import TrainingPipeline
from grid.federated.service import FederatedService
from syft_ext.identity import Identity
from tests.sdk.live import log_in, serve

__all__ = ["MODEL", "Home", "Participant"]

MODEL = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "steps": torch.tensor([7]),
    "bias": torch.ones(5, dtype=torch.float64),
}
RULES = {"clip": 4.0, "phase_seconds": 20.0}


class Home:
    """Attributes: ``served``: the node that runs on it now."""

    def __init__(self, path: Path, url: str, patch: pytest.MonkeyPatch) -> None:
        self._path, self._url = path, url
        self.clients: list[sy.FLClient] = []
        self.served = serve(path, url, patch)
        self.owner = log_in(self.served.url)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.served.close()

    @property
    def pipeline(self) -> TrainingPipeline:
        return self.served.node.service(FederatedService).pipeline

    def host(self, name: str = "t", secure: Mapping[str, Any] | None = None, **server_config: Any) -> str:
        client = sy.ModelCentricFLClient(address=self.served.url.removeprefix("http://"), secure=False)
        try:
            client.connect()
            config = {
                "num_cycles": 1,
                "max_diffs": 3,
                "max_workers": 6,
                "secure_aggregation": {**RULES, **(secure or {})},
                **server_config,
            }
            training = client.host_federated_training(
                model=MODEL,
                client_plans={},
                client_config={"name": name, "version": "1"},
                server_config=config,
            )
            return str(training.view.process_id)
        finally:
            client.close()

    def participant(self, change: float, samples: int | None = None, name: str = "t") -> Participant:
        client = sy.FLClient(self.served.url, identity=Identity.generate())
        self.clients.append(client)
        return Participant(client, name, change, samples)

    def until(self, process_id: str, condition: Callable[[Any], bool]) -> Any:
        after = 0
        while True:
            events = self.pipeline.views.watch(process_id, after, 20.0)
            assert events.events, events.process
            after = events.last
            if condition(events.process):
                return events.process

    def model(self, name: str = "t") -> dict[str, torch.Tensor]:
        return self.owner.trainings.model(name, "1", "latest").state_dict()


class Participant:
    """One who learns ``change``: what is added to every number of the model. Runs in a thread of its own."""

    def __init__(self, client: sy.FLClient, name: str, change: float, samples: int | None) -> None:
        self.client, self.change, self.samples = client, change, samples
        self.job = client.new_job(name, "1")
        self.error: BaseException | None = None
        self.summary: Any = None

    def train(self, job: Any) -> None:
        trained = {
            name: value + self.change if value.is_floating_point() else value + 1
            for name, value in job.model.state_dict().items()
        }
        job.report(trained, samples=self.samples, loss=0.5)

    def start(self, **options: Any) -> threading.Thread:
        def run() -> None:
            try:
                self.summary = self.job.run(self.train, **options)
            except BaseException as error:
                self.error = error

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


def together(participants: Sequence[Participant], **options: Any) -> None:
    """All of them, until each has done what it was to do."""
    threads = [each.start(**options) for each in participants]
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
