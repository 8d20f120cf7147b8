"""A canary row: what an attacker who sees the trained model tells of it, under DP-SGD as a plan.

    python -m tests.privacy.dp_sgd_canary --trainings 4000 --epochs 3 --noise 1.0 --seed 1

The plan that Workers run is run many times over the same rows, half of them with one row more that pulls as hard
as clipping lets it. The attacker knows everything but that, and looks how far the model moved the row's way. The
lower bound of ε that follows (:func:`tests.privacy.canary.lower_bound`, 95 %) lies below what the account of the
steps states. With ``--own`` the noise is the executor's, else a seeded one of the same size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch

from syft_ext.dp.learning import make_dp_sgd_plan
from syft_ext.plans import Plan
from syft_ext.plans.checking.noise import drawn_noise
from syft_ext.plans.graph.document import Input
from syft_ext.privacy.renyi import GaussianAccount
from tests.privacy.canary import lower_bound

__all__ = ["audit", "audited_plan", "stated"]

Draw = Callable[[Input], torch.Tensor]


def audited_plan() -> Plan:
    """Logistic regression of two classes."""
    model = torch.nn.Linear(4, 2)
    with torch.no_grad():
        for each in model.parameters():
            each.zero_()
    xs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    plan = make_dp_sgd_plan(model, xs, torch.tensor([0, 1, 0, 1, 0, 1]), lr=0.5)
    plan.sandbox = False
    return plan


def stated(noise: float, epochs: int, delta: float) -> float:
    """The ε that the account of so many epochs states."""
    account = GaussianAccount()
    account.compose(noise, epochs)
    return account.epsilon(delta)


def audit(
    plan: Plan, trainings: int, epochs: int, noise: float, delta: float, seed: int, draw: Draw | None = None
) -> float:
    """The lower bound; ``noise``: what is really added, in clipping norms. Each epoch is one batch of all rows."""
    random = torch.Generator().manual_seed(seed)
    drawn = draw or (lambda item: torch.randn([int(size) for size in item.shape], generator=random))
    rows, classes = torch.zeros(3, 4), torch.tensor([0, 1, 0])
    canary = torch.full((1, 4), 100.0)
    # A row of nothing stands where the canary is not: the batch is as large, and who sees it learns nothing of
    # that.
    data = {True: torch.cat([rows, canary]), False: torch.cat([rows, torch.zeros(1, 4)])}
    targets = torch.cat([classes, torch.tensor([1])])
    seen: dict[bool, list[float]] = {True: [], False: []}
    for number in range(trainings):
        there = number % 2 == 0
        params = [torch.zeros(2, 4), torch.zeros(2)]
        for _ in range(epochs):
            _, *params = plan.run(_flat(plan, data[there], targets, noise, params, drawn))
        seen[there].append(float((params[0][1] - params[0][0]).sum()))
    return lower_bound(seen[True], seen[False], delta)


def _flat(
    plan: Plan, xs: torch.Tensor, ys: torch.Tensor, noise: float, params: list[torch.Tensor], draw: Draw
) -> list[torch.Tensor]:
    given = {"xs": xs, "ys": ys, "lr": torch.tensor(0.5), "clip_norm": torch.tensor(1.0),
             "noise_multiplier": torch.tensor(noise)}  # fmt: skip
    waiting = list(params)
    flat = []
    for item in plan.inputs:
        if item.role == "noise":
            flat.append(draw(item))
        elif item.role == "param":
            flat.append(waiting.pop(0))
        else:
            flat.append(given[item.name])
    return flat


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainings", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--own", action="store_true")
    asked = parser.parse_args()
    draw = drawn_noise if asked.own else None
    found = audit(audited_plan(), asked.trainings, asked.epochs, asked.noise, asked.delta, asked.seed, draw)
    told = stated(asked.noise, asked.epochs, asked.delta)
    sys.stdout.write(f"found {found:.3f}, stated {told:.3f} at delta {asked.delta:g}\n")
    return int(found > told)


if __name__ == "__main__":
    sys.exit(main())
