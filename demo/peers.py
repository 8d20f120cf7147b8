"""``--peers``: a Domain that nobody can connect to, a Python peer and a browser that meet it through a Network."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import syft_ext as sy
from demo.browser import CHROMIUM, train_in_browser
from demo.data import Part, Study, breast_cancer
from demo.hospitals import write_part
from demo.models import MLP, accuracy, training_step
from demo.processes import NodeProcess
from syft_ext.errors import NotFound, Unavailable
from syft_ext.federated.joining import Joined
from syft_ext.messages.network import RequestAssociation

__all__ = ["run_peers"]

OWNER, PEER = "owner@north.example", "peer@lab.example"
BATCH, RATE, EPOCHS = 32, 0.2, 2
PATIENCE = 120.0  # seconds


class PeerScene:
    """A Network, and a Domain without an address that keeps a line to it.

    Attributes:
        owner: a client of the Domain, as its owner. through: the Domain's address at the Network, for peers.
    """

    def __init__(self, folder: Path) -> None:
        self.password = secrets.token_urlsafe(12)
        owner = {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": self.password}
        flags = ["--host", "127.0.0.1", "--port", "0"]
        self.network = NodeProcess(
            "network", folder / "net", [*flags, "--name", "Registry", "--auto-accept"], environment=owner
        )
        self.domain = NodeProcess(
            "domain",
            folder / "north",
            [*flags, "--name", "North", "--keep-line", "--heartbeat-interval", "1", "--peers"],
            environment=owner,
        )
        self.owner = sy.login(self.domain.url, OWNER, self.password, save=True)
        self.owner.users.create(email=PEER, password=self.password)
        self.owner.call(RequestAssociation(address=self.network.url))
        self.through = f"{self.network.url.replace('http', 'grid+http', 1)}/{self.owner.verify_key}"
        _until(self._reached)

    def _reached(self) -> bool:
        try:
            sy.login(self.through, PEER, self.password, save=True)
        except (NotFound, Unavailable):  # the line is not there yet
            return False
        return True

    def host(
        self, model: torch.nn.Module, plan: sy.Plan, inputs: Any, *, name: str, version: str, rounds: int,
        peers: int = 1, **client_config: Any,
    ) -> sy.Training:  # fmt: skip
        """Host a training as the Domain's owner, whose own it is: nobody else has to approve it."""
        return sy.ModelCentricFLClient(self.domain.url).host_federated_training(
            model=model,
            client_plans={"training_plan": plan},
            inputs=inputs,
            client_config={"name": name, "version": version, **client_config},
            server_config={
                "num_cycles": rounds,
                "cycle_length": 600,
                "max_diffs": peers,
                "min_workers": peers,
                "max_workers": peers,
                "weighting": "samples",
            },
        )

    def close(self) -> None:
        self.owner.close()
        self.domain.stop()
        self.network.stop()


def run_peers(console: Console, folder: Path, rounds: int) -> dict[str, Any]:
    """The same training twice: by two Python peers, then by one and a browser. What the last line tells."""
    os.environ["GRID_USER_HOME"] = str(folder / "user")  # the demonstration's logins are not yours
    console.rule("[bold]Grid: peers behind NATs and in browsers")
    study = breast_cancer()
    sites = [study.site(0), study.site(1)]
    console.print("Starting a Network, and a Domain that nobody can connect to …")
    scene = PeerScene(folder)
    try:
        console.print(f"  Network  {scene.network.url}\n  Domain   {scene.through}")
        torch.manual_seed(1)
        model = MLP(study)
        alone, ways = _train(console, scene, study, model, "python", rounds, sites)
        trained, browsers = alone, 0
        if shutil.which(CHROMIUM) is None:
            console.print(
                f"[yellow]No browser takes part:[/yellow] {CHROMIUM} is not installed "
                "(Debian: apt install chromium)."
            )
        else:
            browsers, file = 1, write_part(study, sites[1], folder)
            trained, ways = _train(console, scene, study, model, "mixed", rounds, sites[:1], file)
        right = accuracy(model, trained, study.test)
        apart = max(float((one - other).abs().max()) for one, other in zip(alone, trained, strict=True))
    finally:
        scene.close()
    (way,) = set(ways)
    console.print(f"{rounds} rounds: [bold]{right:.1%}[/bold] right on held-out data; reached by {way}.")
    if browsers:
        console.print(f"Largest difference to the model of two Python peers: {apart:.1e}.")
    found = {
        "python": 1 if browsers else 2,
        "browser": browsers,
        "path": way,
        "rounds": rounds,
        "accuracy": right,
        "largest_difference_to_python": apart if browsers else None,
    }
    return {"peers": found}


def _train(
    console: Console,
    scene: PeerScene,
    study: Study,
    model: MLP,
    version: str,
    rounds: int,
    python: list[Part],
    file: Path | None = None,
) -> tuple[list[torch.Tensor], list[str]]:
    """One training: a Python peer for each of ``python``, and a browser with ``file``. The model, and the ways in
    which the Python peers reached the Domain."""
    peers = len(python) + (file is not None)
    step = training_step(model)
    example = study.test

    @sy.make_plan
    def training_plan(  # type: ignore[no-untyped-def]  # the paper's style: examples as defaults
        xs=sy.Batch(example.x[:BATCH]),
        ys=sy.Target(example.y[:BATCH]),
        lr=sy.Option(RATE),
        params=sy.Param(model),
    ):
        return step(xs, ys, lr, params)

    # In the order in which the rows stand: the same steps whoever takes them.
    training = scene.host(
        model, training_plan, study.inputs(), name=study.name, version=version, rounds=rounds, peers=peers,
        batch_size=BATCH, lr=RATE, epochs=EPOCHS, shuffle=False,
    )  # fmt: skip
    console.print(f"Training {version}: {len(python)} in Python{', one in a browser' if file else ''} …")
    joined: list[Joined] = []
    failed: list[BaseException] = []

    def take_part(part: Part) -> None:
        try:
            name = f"{study.name}/{version}"
            joined.append(sy.join(scene.through, name, _columns(study, part), say=lambda line: None))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=take_part, args=(part,), daemon=True) for part in python]
    for thread in threads:
        thread.start()
    if file is not None:
        invitation = training.invite("the demonstration's browser", accepted=True, address=_page(scene))
        train_in_browser(invitation.link, file)
    training.watch(timeout=PATIENCE * rounds, say=lambda line: None)
    for thread in threads:
        thread.join(PATIENCE)
    if failed:
        raise failed[0]
    return list(training.model()), [each.path["taken"] for each in joined]


def _page(scene: PeerScene) -> str:
    """Browsers give a page keys over https, or from this machine by this name."""
    return scene.domain.url.replace("127.0.0.1", "localhost")


def _columns(study: Study, part: Part) -> dict[str, Any]:
    """A part as a mapping of columns, with the digits that its file has."""
    columns: dict[str, Any] = {
        name: [float(f"{value:.7g}") for value in part.x[:, place].tolist()]
        for place, (name, _, _) in enumerate(study.columns)
    }
    return columns | {"label": [str(number) for number in part.y.tolist()]}


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the Domain has not come to its Network")
        time.sleep(0.2)
