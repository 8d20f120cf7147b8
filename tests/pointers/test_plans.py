"""Blocks that are captured once and sent whole."""

from __future__ import annotations

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import Forbidden, InvalidPlan
from tests.pointers.site import Site, seeded


@sy.make_plan
def step(
    xs: torch.Tensor = torch.zeros(4, 3),
    ys: torch.Tensor = torch.zeros(4),
    w: torch.Tensor = torch.zeros(3),
    lr: torch.Tensor = torch.tensor(0.1),
) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = w.detach().requires_grad_()
    loss = ((xs @ leaf - ys) ** 2).mean()
    loss.backward()
    assert leaf.grad is not None
    return loss, w - lr * leaf.grad


def test_a_plan_runs_where_its_arguments_are(north: Site) -> None:
    x, y, w = seeded(6, 3), seeded(6, seed=1), torch.zeros(3)
    shared = north.lend({"x": x, "y": y}, read=True)
    remote: torch.Tensor = w
    for _ in range(3):
        loss, remote = step(xs=shared["x"], ys=shared["y"], w=remote)
        expected, w = step(xs=x, ys=y, w=w)
    assert isinstance(remote, sy.RemoteTensor) and remote.shape == (3,)
    torch.testing.assert_close(remote.get(), w)
    torch.testing.assert_close(loss.get(), expected)
    with pytest.raises(InvalidPlan, match="takes"):
        step(xs=shared["y"], ys=shared["y"], w=torch.zeros(3))


def test_results_of_plans_follow_their_inputs(north: Site) -> None:
    private = north.lend({"x": seeded(4, 3), "y": torch.ones(4)})
    loss, _ = step(xs=private["x"], ys=private["y"], w=torch.zeros(3))
    with pytest.raises(Forbidden):
        loss.get()


def test_a_decorated_function_goes_whole(north: Site) -> None:
    calls = []

    @sy.remote
    def block(pair: list[torch.Tensor], scale: int = 2) -> dict[str, torch.Tensor]:
        """Sums."""
        calls.append(1)
        a, b = pair
        return {"sum": (a + b).sum() * scale, "top": torch.maximum(a, b)}

    a, b = seeded(5), seeded(5, seed=1)
    here = block([a, b])
    there = block([a.send(north.sue), b], scale=2)
    recorded = len(calls)
    for _ in range(2):
        there = block([a.send(north.sue), b], scale=2)
    assert len(calls) == recorded, "recorded once"
    values = sy.RemoteDict(there).get()
    torch.testing.assert_close(values["sum"], here["sum"])
    assert torch.equal(values["top"], here["top"])
