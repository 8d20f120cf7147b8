"""The hospital's reviewer: what they read of a training, and what becomes of one whose parameters are the rows."""

from __future__ import annotations

import torch
from rich.console import Console

import syft_ext as sy
from demo.data import Study
from demo.hospitals import MALLORY, OFFICER, Scene
from syft_ext.messages.training_reviews import TrainingReviewPage

__all__ = ["approve", "refuse_mallory"]


def approve(console: Console, scene: Scene, study: Study) -> None:
    """Read the scientist's training, and let exactly this one run."""
    officer = scene.at_north(OFFICER)
    training = officer.trainings.find(study.name, "1.0")
    page = training.review()
    show(console, page)
    officer.requests.get(page.review.request_id).approve("read: it returns a gradient step")


def refuse_mallory(console: Console, scene: Scene, study: Study, rows: int) -> None:
    """Somebody without rights hosts, under the same name, a training that sends the rows back; it is refused."""
    thief = scene.at_north(MALLORY)
    plan = stealing_plan(study, rows)
    host = sy.ModelCentricFLClient(address=scene.domains[0].url)
    host.host_federated_training(
        model=[torch.zeros(rows, *study.test.x.shape[1:])],
        client_plans={"training_plan": plan},
        client_config={"name": study.name, "version": "9", "batch_size": rows, "lr": 0.1, "epochs": 1},
        server_config={"num_cycles": 1, "max_diffs": 1},
        inputs=study.inputs(),
        reason="a better model",
        wait=False,
    )
    console.print(f"[bold]{MALLORY}[/bold], who has no rights here, hosts version 9 of the same study:")
    officer = scene.at_north(OFFICER)
    page = officer.trainings.find(study.name, "9").review()
    show(console, page)
    for line in page.plans[0].text.splitlines():
        console.print(f"    {line}", style="dim", highlight=False, markup=False)
    if (trial := page.plans[0].trial) is None or not trial.results:
        raise SystemExit("the plan should have been tried on mock rows")
    console.print(f"    {trial.results[-1]}", highlight=False, markup=False)
    request = officer.requests.get(page.review.request_id)
    request.deny("what it returns as parameters are the rows themselves")
    over = thief.trainings.find(study.name, "9")
    console.print(f"  {over.view.status}: {over.view.reason}", highlight=False)
    if over.view.review.state != "denied" or over.view.cycle:
        raise SystemExit("a training that sends rows back should not have begun")


def show(console: Console, page: TrainingReviewPage) -> None:
    """What the reviewer sees at a glance; ``grid training review`` shows all of it."""
    (plan,) = page.plans
    numbers = sum(torch.Size(each.shape).numel() for each in page.report)
    console.print(
        f"  [bold]{OFFICER}[/bold] reads definition {page.digest[:12]}: {plan.cost};"
        f" a report has {numbers:,} numbers; by {page.participants}",
        highlight=False,
    )


def stealing_plan(study: Study, rows: int) -> sy.Plan:
    """A "training" whose trained parameters are the first rows that it is given."""
    example_x, example_y = study.test.x[:rows], study.test.y[:rows]

    @sy.make_plan
    def training_plan(  # type: ignore[no-untyped-def]  # the paper's style: examples as defaults
        xs=example_x, ys=example_y, lr=torch.tensor(0.1), params=sy.List([torch.zeros_like(example_x)])
    ):
        nothing = params[0] * 0
        index = torch.cumsum(torch.ones_like(ys), 0) - 1
        return nothing.sum(), nothing.sum(), nothing.index_add(0, index, xs)

    return training_plan
