"""A Domain with trainings that people take part in from their browsers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

import syft_ext as sy
from syft_ext.client.trainings import Training
from tests.browser.node import ROOT
from tests.nodes import NodeProcess
from tests.sdk.live import EMAIL, PASSWORD

__all__ = ["Site", "listing"]

TABLE = sy.TableInputs(
    columns=[
        sy.NumberColumn(name="age", unit="years", low=0, high=120, centre=50, scale=20, missing="drop"),
        sy.NumberColumn(name="mean radius", unit="mm", centre=14, scale=3.5),
        sy.CategoryColumn(name="ward", categories=["north", "south"], one_hot=True),
    ],
    label=sy.CategoryColumn(name="diagnosis", categories=["benign", "malignant"]),
)
CONFIG = {"num_cycles": 2, "max_diffs": 1, "cycle_length": 3600}


def listing(name: str) -> str:
    """The Python listing of docs/join.md in which this stands."""
    text = (ROOT / "docs" / "join.md").read_text()
    (found,) = [each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if name in each]
    return str(found)


class Site:
    """A Domain in a process of its own, and its owner, logged in."""

    def __init__(self, home: Path) -> None:
        owner = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
        arguments = [
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--name",
            "City hospital",
            "--hosts",
            "hospital.example",
        ]
        self.node = NodeProcess("domain", home, arguments, environment=owner)
        # A page needs an address that its browser trusts.
        self.url = self.node.url.replace("127.0.0.1", "localhost")
        client = sy.login(self.node.url, EMAIL, PASSWORD, save=True)
        assert isinstance(client, sy.DomainClient)
        self.owner = client

    def table(self, version: str, *, client: dict[str, Any] | None = None, **server: Any) -> Training:
        """A training on a table of three columns."""
        return self._host("wards", version, TABLE, [4], client or {}, server)

    def digits(self, version: str, *, client: dict[str, Any] | None = None, **server: Any) -> Training:
        """A training on small pictures of two digits."""
        inputs = sy.ArrayInputs(
            shape=[1, 14, 14], picture=True, label=sy.CategoryColumn(name="digit", categories=["0", "1"])
        )
        return self._host("two digits", version, inputs, [1, 14, 14], client or {}, server)

    def _host(
        self,
        name: str,
        version: str,
        inputs: Any,
        shape: list[int],
        client: dict[str, Any],
        server: dict[str, Any],
    ) -> Training:
        size = torch.Size(shape).numel()
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, 2))
        names = [each for each, _ in model.named_parameters()]

        @sy.make_plan
        def training_plan(
            xs=sy.Batch(torch.rand(4, *shape)),
            ys=sy.Target(torch.randint(0, 2, (4,))),
            lr=sy.Option(0.1),
            params=sy.Param(model),
        ):
            leaves = [p.detach().requires_grad_() for p in params]
            logits = torch.func.functional_call(model, dict(zip(names, leaves, strict=True)), (xs,))
            loss = torch.nn.functional.cross_entropy(logits, ys)
            loss.backward()
            accuracy = (logits.argmax(1) == ys).float().mean()
            return (loss, accuracy, *[p - lr * p.grad for p in leaves])

        hosted = sy.ModelCentricFLClient(self.node.url).host_federated_training(
            model=model,
            client_plans={"training_plan": training_plan},
            inputs=inputs,
            client_config={
                "name": name,
                "version": version,
                "batch_size": 4,
                "lr": 0.1,
                "epochs": 2,
                **client,
            },
            server_config={**CONFIG, **server},
        )
        del hosted
        return self.owner.trainings[f"{name}/{version}"]

    def link(self, training: Training, **how: Any) -> str:
        """An invitation's link."""
        return training.invite(address=self.url, **how).link

    def close(self) -> None:
        self.node.kill()
