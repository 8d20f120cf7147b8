"""``./grid-demo --confidential``: a training of which not even the Domain's operator sees an update; they try."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import syft_ext as sy
from demo.cheating import Attempts
from demo.consortium import CLIP, HOSTS, NOISE, PEOPLE, Consortium
from demo.data import Study, breast_cancer
from demo.models import MLP, accuracy, training_step
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.frames import RoundJob
from syft_ext.confidential.kernel.reports import report_layout
from syft_ext.confidential.policy import NANO, ConfidentialPolicy
from syft_ext.confidential.privacy import epsilon
from syft_ext.confidential.receipts import Receipt, ReceiptBundle
from syft_ext.tensors import encode_tensors, read_layout

__all__ = ["run_confidential"]

BATCH, LR, EPOCHS = 16, 0.2, 2
WARNING = (
    "[bold red]There is no enclave on this machine: its evidence is simulated, and insecure.[/bold red] "
    "Whoever has root here can read everything, also the worker's memory. A production policy refuses it."
)


def run_confidential(console: Console, folder: Path, rounds: int) -> dict[str, Any]:
    """Run it, and return what ``--json`` prints."""
    os.environ["GRID_USER_HOME"] = str(folder / "user")
    console.rule("[bold]Grid: not even root sees an update")
    console.print(WARNING)
    console.print("Starting three key hosts and a Domain; each key host stands for another organisation …")
    with Consortium(folder) as scene:
        for name, host in zip((*HOSTS, "Domain"), (*scene.hosts, scene.domain), strict=True):
            console.print(f"  {name:<11} {host.url}", highlight=False)
        return _run(console, scene, breast_cancer(), rounds)


def _run(console: Console, scene: Consortium, study: Study, rounds: int) -> dict[str, Any]:
    torch.manual_seed(1)
    model = MLP(study)
    plan = _trace(model, study)
    signed = scene.policy(plan.dumps(), rounds, scope=study.name)
    scene.approve(signed)
    policy = ConfidentialPolicy.decode(signed.body)
    console.print(
        f"The consortium's policy {policy.digest().hex()[:12]} is approved at all {len(policy.hosts)} hosts: "
        f"at least {policy.cohort.least} participants, updates clipped to {CLIP:g}, noise {NOISE:g} times that.",
        highlight=False,
    )
    training = _host(scene, study, model, plan, signed, "1.0", rounds)
    console.print(f"{len(PEOPLE)} participants, each with its own pins, check what is offered and seal …")
    scene.send_participants(study, "1.0")
    _wait(console, scene, study, training, rounds)
    scene.dismiss_participants()

    found = scene.client.confidential.rounds(training.view.process_id).rounds
    done = [each for each in found if each.state == "released"]
    if len(done) != rounds:
        raise SystemExit(f"{rounds} rounds were to be released, {len(done)} are")
    params = list(scene.client.trainings.model(study.name, "1.0", "latest").state_dict().values())
    right = accuracy(model, params[-len(list(model.parameters())) :], study.test)
    cost = epsilon(policy, rounds)
    receipt = scene.client.confidential.receipt(training.view.process_id, done[-1].checkpoint)
    said = Receipt.decode(ReceiptBundle.decode(receipt.receipt).receipt.body)
    console.print(
        f"{rounds} rounds, [bold]{right:.1%}[/bold] right on held-out data. Receipt of the last: "
        f"{said.participants} counted, ρ {said.rho / NANO:g}, simulated: {said.simulated}.",
        highlight=False,
    )
    console.print(
        f"All {rounds} rounds cost ε = {cost:.0f} at δ = 1e-6: with four participants, noise that "
        "protects would drown what they learn. What hides them here is the sum; ε counts in larger cohorts.",
        highlight=False,
    )
    console.print()
    console.rule("The operator of the Domain cheats")
    attempts = Attempts(console, scene, [])
    attempts.after_a_round(signed, receipt)
    weights = _weights(model)
    layout = report_layout(read_layout(weights)).encode()
    keys = scene.round_keys(training.view.process_id, done[-1].sequence)
    attempts.run_again(signed, receipt, RoundJob(signed.encode(), keys, layout, receipt.manifest))
    _host(scene, study, model, plan, signed, "2.0", 1)
    attempts.during_a_round(study, "2.0", signed, plan.dumps(), weights)
    console.print()
    console.print(WARNING)
    return {
        "confidential": {
            "rounds": rounds,
            "accuracy": round(right, 4),
            "refused": attempts.refused,
            "epsilon": round(cost, 3),
            "simulated": True,
        }
    }


def _trace(model: MLP, study: Study) -> sy.Plan:
    step = training_step(model)
    example_x, example_y = study.test.x[:BATCH], study.test.y[:BATCH]

    @sy.make_plan
    def training_plan(  # type: ignore[no-untyped-def]  # the paper's style: examples as defaults
        xs=sy.Batch(example_x), ys=sy.Target(example_y), lr=sy.Option(0.1), params=sy.Param(model)
    ):
        return step(xs, ys, lr, params)

    return training_plan


def _weights(model: MLP) -> bytes:
    return bytes(encode_tensors({name: value.detach() for name, value in model.named_parameters()}))


def _host(
    scene: Consortium,
    study: Study,
    model: MLP,
    plan: sy.Plan,
    signed: Signed[ConfidentialPolicy],
    version: str,
    rounds: int,
) -> sy.Training:
    client = sy.ModelCentricFLClient(address=scene.domain.url)
    client.connect()
    return client.host_federated_training(
        model=dict(model.named_parameters()),
        client_plans={"training_plan": plan},
        client_config={
            "name": study.name,
            "version": version,
            "batch_size": BATCH,
            "lr": LR,
            "epochs": EPOCHS,
        },
        server_config={
            "num_cycles": rounds,
            "min_diffs": len(PEOPLE),
            "max_diffs": len(PEOPLE),
            "max_workers": len(PEOPLE),
        },
        confidential=signed,
    )


def _wait(console: Console, scene: Consortium, study: Study, training: sy.Training, rounds: int) -> None:
    """Until all rounds are done, telling each."""
    seen, deadline = 0, time.monotonic() + 300 + 60 * rounds
    while seen < rounds:
        view = scene.client.trainings.find(study.name, "1.0").view
        if view.status not in ("running", "completed"):
            raise SystemExit(f"the training {view.status}: {view.reason}")
        if time.monotonic() > deadline:
            raise SystemExit("the rounds do not come to an end: " + scene.said_by_participants())
        if view.cycles_completed > seen:
            seen = view.cycles_completed
            console.print(f"  round {seen}: summed in the worker, opened once by all hosts", highlight=False)
        time.sleep(0.2)
