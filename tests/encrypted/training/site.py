"""What tests of encrypted trainings do at a Domain, over :class:`tests.federated.formats.home.Home`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.client.trainings import Training
from syft_ext.encrypted.context import EncryptionKeys
from tests.federated.formats.home import Home

__all__ = ["MODEL", "Site", "changes"]

MODEL = {
    "weight": torch.arange(4200, dtype=torch.float32).reshape(42, 100) / 4200,
    "bias": torch.ones(5, dtype=torch.float64),
}


def changes(seed: int, count: int, scale: float = 0.1) -> list[dict[str, torch.Tensor]]:
    """What some workers add to the model."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {name: scale * torch.randn(v.shape, generator=generator, dtype=v.dtype) for name, v in MODEL.items()}
        for _ in range(count)
    ]


class Site(Home):
    """``keys``: of who hosts trainings here."""

    def __init__(self, home: Path, url: str, patch: pytest.MonkeyPatch, keys: EncryptionKeys) -> None:
        super().__init__(home, url, patch)
        self.keys = keys

    def begin(self, name: str = "t", clip: float = 1.0, **config: Any) -> Training:
        """Host a training of encrypted reports."""
        server = {"num_cycles": 3, "max_diffs": 3, "max_workers": 6, **config}
        return self.offer(sy.EncryptedSums(keys=self.keys, clip=clip), name, server)

    def offer(
        self, encrypted: sy.EncryptedSums | None, name: str, server: dict[str, Any], **more: Any
    ) -> Training:
        """Host a training with just this configuration."""
        client = sy.ModelCentricFLClient(address=self.served.url.removeprefix("http://"))
        try:
            client.connect()
            return client.host_federated_training(
                model=MODEL,
                client_plans={},
                client_config={"name": name, "version": "1"},
                server_config=server,
                encrypted=encrypted,
                **more,
            )
        finally:
            client.close()

    def training(self, name: str = "t") -> Training:
        """As its host finds it, now."""
        return self.owner.trainings.find(name, "1")

    def summed(self, name: str = "t") -> Training:
        """Wait until the sum of the current cycle waits for its holder."""
        training, after = self.training(name), 0
        while True:
            events = self.pipeline.views.watch(training.id, after, 20.0)
            assert events.events, events.process
            after = events.last
            if any("waits_for" in e.detail and e.cycle == events.process.cycle for e in events.events):
                return training.refresh()
            assert events.process.status == "running", events.process.reason

    def open(self, name: str = "t") -> None:
        """Open the sum of the current cycle, as its host does."""
        training = self.summed(name)
        before = training.view.cycles_completed
        training.advance(training.decrypt(self.keys))
        self.until(training.id, before + 1)
