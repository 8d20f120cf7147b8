"""``./grid-demo``: the paper's proof of concept (section 4) on real data, from search to trained model."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from torch import nn

import syft_ext as sy
from demo.confidential import run_confidential
from demo.consent import approve, refuse_mallory
from demo.data import Study, breast_cancer, digits
from demo.hospitals import HOSPITALS, SCIENTIST, Scene
from demo.models import CNN, MLP, accuracy, train_locally, training_step
from demo.outcome import Outcome, as_json, plot, show
from demo.peers import run_peers

#: study, model, learning rate, batch size, passes over the data in each round
RUNS = ((breast_cancer, MLP, 0.2, 16, 4), (digits, CNN, 0.2, 32, 2))
ROUNDS, CONFIDENTIAL_ROUNDS, PEER_ROUNDS = 20, 5, 10
MODEL_NAMES = {MLP: "MLP", CNN: "CNN"}


def main() -> None:
    options = parse()
    console = Console(stderr=options.json, highlight=False)
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the nodes are stopped, too
    begun = time.perf_counter()
    if options.confidential:
        with folder_of(options) as folder:
            found = run_confidential(console, folder, options.rounds or CONFIDENTIAL_ROUNDS)
        if options.json:
            print(json.dumps(found))
        return
    if options.peers:
        with folder_of(options) as folder:
            met = run_peers(console, folder, options.rounds or PEER_ROUNDS)
        if options.json:
            print(json.dumps(met))
        return
    with folder_of(options) as folder:
        os.environ["GRID_USER_HOME"] = str(folder / "user")  # the demonstration's logins are not yours
        console.rule("[bold]Grid: learning from data that never leaves its owner")
        console.print("Starting a Network and the Domains of two hospitals …")
        with Scene(folder) as scene:
            scene.open_for_business()
            console.print(f"  Network  {scene.network.url}")
            for name, domain in zip(HOSPITALS, scene.domains, strict=True):
                console.print(f"  {name:<7}  {domain.url}")
            outcomes = []
            for make_study, model_type, lr, batch_size, epochs in RUNS:
                study = make_study()
                outcomes.append(
                    run(console, scene, study, model_type, lr, batch_size, epochs, options.rounds or ROUNDS)
                )
                if len(outcomes) == 1:
                    console.print(f"[dim]First result after {time.perf_counter() - begun:.0f} s.[/dim]")
            console.print()
            show(console, outcomes)
            picture = options.out / "learning-curves.png"
            plot(outcomes, picture)
            console.print(f"Learning curves: [bold]{picture}[/bold]")
            if options.keep:
                keep(console, scene)
    if options.json:
        print(json.dumps(as_json(outcomes)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./grid-demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"federated rounds on each dataset ({ROUNDS}; with --confidential {CONFIDENTIAL_ROUNDS},"
        f" with --peers {PEER_ROUNDS})",
    )
    parser.add_argument(
        "--confidential",
        action="store_true",
        help="key hosts, sealed updates, a confidential worker; and an operator who cheats",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="a Domain that nobody can connect to, a Python peer, and a browser where Chromium is installed",
    )
    parser.add_argument("--keep", action="store_true", help="leave the nodes up and say where to look")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="where the plot goes (demo-out)")
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


@contextlib.contextmanager
def folder_of(options: argparse.Namespace) -> Iterator[Path]:
    """Where the nodes keep their state: removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="grid-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(
    console: Console,
    scene: Scene,
    study: Study,
    model_type: type[MLP] | type[CNN],
    lr: float,
    batch_size: int,
    epochs: int,
    rounds: int,
) -> Outcome:
    """One dataset: publish, search, trace, host, watch, compare."""
    console.print()
    console.rule(study.title)
    scene.publish(study)
    torch.manual_seed(1)
    model = model_type(study)

    # -- the data scientist -----------------------------------------------------------------------
    network = sy.login(scene.network.url, SCIENTIST, scene.password)
    assert isinstance(network, sy.NetworkClient)
    hits = network.search(text=study.name, kind="dataset")
    console.print(f'Searching the Network for "{study.name}":')
    for hit in sorted(hits, key=lambda hit: hit.domain_name):
        console.print(f"  [bold]{hit.domain_name:<7}[/bold] {hit.description}", highlight=False)
    if {hit.domain_name for hit in hits} != set(HOSPITALS):
        raise SystemExit(f"the search should have found both hospitals: {hits}")
    host = next(hit for hit in hits if hit.domain_name == HOSPITALS[0])
    plan = trace(model, study, batch_size)
    cost = plan.cost()
    console.print(
        f"Traced the training plan: {len(plan.dumps()):,} bytes, {cost.flops / 1e6:.1f} MFLOP a step"
    )
    domain = sy.login(host.domain_address, SCIENTIST, scene.password)
    assert isinstance(domain, sy.DomainClient)
    client = sy.ModelCentricFLClient(address=host.domain_address, secure=False)
    client.connect()
    training = client.host_federated_training(
        model=model,
        client_plans={"training_plan": plan},
        client_protocols={},
        server_averaging_plan=None,
        inputs=study.inputs(),
        client_config={
            "name": study.name,
            "version": "1.0",
            "batch_size": batch_size,
            "lr": lr,
            "epochs": epochs,
        },
        server_config={
            "num_cycles": rounds,
            "cycle_length": 600,
            "max_diffs": len(study.parts),
            "min_workers": len(study.parts),
            "max_workers": len(study.parts),
            "weighting": "samples",
        },
        reason=f"a study of {study.title}",
        wait=False,
    )
    console.print(f"Hosted at {host.domain_name}, where it waits for the hospital's reviewer.")

    # -- the hospital's reviewer -------------------------------------------------------------------
    approve(console, scene, study)
    if study.columns:
        refuse_mallory(console, scene, study, batch_size)
    sy.login(host.domain_address, SCIENTIST, scene.password)
    training.wait()
    console.print("Approved, it begins by itself; four Workers join, two of each hospital …")

    # -- the data owners' Workers ------------------------------------------------------------------
    scene.send_workers(study, host.domain_address)
    metrics = client.watch(study.name, "1.0")
    scene.dismiss_workers()

    # -- what came of it ---------------------------------------------------------------------------
    curve = tuple(
        accuracy(model, list(client.retrieve_model(study.name, "1.0", checkpoint=n)), study.test)
        for n in range(1, rounds + 2)
    )
    total = epochs * rounds
    alone = [train_locally(model, study.site(s), epochs=total, batch_size=batch_size, lr=lr) for s in (0, 1)]
    central = train_locally(model, study.everything(), epochs=total, batch_size=batch_size, lr=lr)
    size = sum(4 * p.numel() for p in model.parameters())
    outcome = Outcome(
        dataset=study.name,
        title=study.title,
        split=study.split,
        model=MODEL_NAMES[model_type],
        domains=len(HOSPITALS),
        workers=len(study.parts),
        rounds=len([cycle for cycle in metrics if cycle.status == "completed"]),
        federated=curve[-1],
        single_site=tuple(accuracy(model, params, study.test) for params in alone),
        central=accuracy(model, central, study.test),
        curve=curve,
        seconds=duration(domain.trainings.find(study.name)),
        bytes_moved=sum(cycle.bytes_received + cycle.admitted * size for cycle in metrics),
    )
    console.print(
        f"{outcome.rounds} rounds in {outcome.seconds:.1f} s: [bold]{outcome.federated:.1%}[/bold] right "
        f"on held-out data."
    )
    return outcome


def duration(training: sy.Training) -> float:
    """Seconds from the first assignment to the last model: waiting for the Workers to start is not training."""
    history = training.history()
    first = next(event.at for event in history if event.entity == "assignment" and event.after == "assigned")
    return history[-1].at - first


def trace(model: nn.Module, study: Study, batch_size: int) -> sy.Plan:
    """The training plan: :func:`~demo.models.training_step`, recorded with example inputs."""
    step = training_step(model)
    example_x, example_y = study.test.x[:batch_size], study.test.y[:batch_size]

    @sy.make_plan
    def training_plan(  # type: ignore[no-untyped-def]  # the paper's style: examples as defaults
        xs=sy.Batch(example_x), ys=sy.Target(example_y), lr=sy.Option(0.1), params=sy.Param(model)
    ):
        return step(xs, ys, lr, params)

    return training_plan


def keep(console: Console, scene: Scene) -> None:
    """Leave the nodes up until Ctrl-C."""
    console.print()
    console.rule("The nodes stay up until you press Ctrl-C")
    for name, node in zip(("Network", *HOSPITALS), (scene.network, *scene.domains), strict=True):
        console.print(f"  {name:<7}  {node.url}   operations: {node.url}/docs   metrics: {node.url}/metrics")
    console.print(f"  Log in as {SCIENTIST} or owner@north.example with the password {scene.password}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    main()
