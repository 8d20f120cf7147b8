"""Models with state beside their parameters: README's recipe for batch norm learns, others say what to write."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import syft_ext as sy
from grid.web.testing import ServedNode
from syft_ext.plans.tracing.errors import TraceError
from tests.sdk.live import log_in, serve

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture
def domain(tmp_path: Path, sqlite_template: Path) -> Iterator[ServedNode]:
    shutil.copyfile(sqlite_template, tmp_path / "node.db")
    patch = pytest.MonkeyPatch()
    with serve(tmp_path / "home", f"sqlite:///{tmp_path / 'node.db'}", patch) as served:
        yield served
    patch.undo()


def readme_recipe(folder: Path) -> dict[str, Any]:
    """The names of README's block about batch norm, after it ran from a file as a reader's would."""
    (block,) = (
        each
        for each in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
        if "BatchNorm1d" in each
    )
    file = folder / "recipe.py"
    file.write_text(block)
    names: dict[str, Any] = {}
    exec(compile(block, str(file), "exec"), names)
    return names


def test_the_recipe_of_readme_trains_parameters_and_running_statistics(
    domain: ServedNode, tmp_path: Path
) -> None:
    names = readme_recipe(tmp_path)
    net = names["net"]
    log_in(domain.url)
    client = sy.ModelCentricFLClient(domain.url)
    client.connect()
    client.host_federated_training(
        model=net,
        client_plans={"training_plan": names["norm_plan"]},
        client_config={"name": "norm", "version": "1.0", "batch_size": 16, "lr": 0.1, "drop_last": True},
        server_config={"num_cycles": 2, "max_diffs": 1, "cycle_length": 3600},
    )
    rows = torch.randn(32, 30, generator=torch.Generator().manual_seed(2)) + 1
    labels = (rows[:, 0] > 1).long()
    with sy.FLClient(domain.url, "") as participant:
        summary = participant.new_job("norm", "1.0").run(data=(rows, labels), seed=0)
    assert (summary.cycles, summary.failures) == (2, 0)
    trained = client.retrieve_model("norm", "1.0").state_dict()
    assert int(trained["1.num_batches_tracked"]) == 4
    assert not torch.equal(trained["1.running_mean"], net[1].running_mean)
    assert (trained["1.running_var"] > 0).all()
    client.close()


def instance_norm() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 3)), nn.InstanceNorm1d(1, affine=True, track_running_stats=True))


def closed_over(model: nn.Module) -> Any:
    """A plan whose author forgot the buffers."""
    names = [name for name, _ in model.named_parameters()]

    def step(xs: Any = sy.Batch(torch.randn(4, 3)), params: Any = sy.Param(model)) -> Any:
        leaves = [p.detach().requires_grad_() for p in params]
        out = torch.func.functional_call(model, dict(zip(names, leaves, strict=True)), (xs,))
        loss = (out**2).mean()
        return loss, *[p - 0.1 * g for p, g in zip(leaves, torch.autograd.grad(loss, leaves), strict=True)]

    return step


@pytest.mark.parametrize(
    ("model", "buffer"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), r"model\.1\.(num_batches|running)"),
        (instance_norm, r"model\.1\.(num_batches|running)"),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), r"_u|_v"),
    ],
    ids=["batch norm", "instance norm", "spectral norm"],
)
def test_forgotten_buffers_are_named_with_line_and_remedy(model: Any, buffer: str) -> None:
    step = closed_over(model())
    with pytest.raises(TraceError, match=rf"test_norms\.py, line \d+ .*writes to .*({buffer})") as caught:
        sy.make_plan(step)
    assert "sy.Buffer" in caught.value.extra["hint"] and "copy_" not in caught.value.detail


@pytest.mark.parametrize(
    "norm",
    [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm],
    ids=["weight", "spectral"],
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_weight_and_spectral_norm_are_recorded(norm: Any, training: bool) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1)).train(training)
    names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]

    def step(
        xs: Any = sy.Batch(torch.randn(4, 3)), params: Any = sy.Param(model), buffers: Any = sy.Buffer(model)
    ) -> Any:
        leaves = [p.detach().requires_grad_() for p in params]
        out = torch.func.functional_call(model, dict(zip(names, [*leaves, *buffers], strict=True)), (xs,))
        loss = F.softplus(out).mean()
        return loss, *torch.autograd.grad(loss, leaves), *buffers

    if not list(model.buffers()):
        whole, names = step, [name for name, _ in model.named_parameters()]

        def step(xs: Any = sy.Batch(torch.randn(4, 3)), params: Any = sy.Param(model)) -> Any:  # type: ignore[misc]
            return whole(xs, params, [])

    plan = sy.make_plan(step, outputs={"params": "result"})
    rows = torch.randn(6, 3)
    given = [p.detach() for p in model.parameters()], [b.clone() for b in model.buffers()]
    found = plan(rows, *(part for part in given if part))
    loss = F.softplus(model(rows)).mean()
    loss.backward()
    expected = [loss.detach(), *[p.grad for p in model.parameters()], *model.buffers()]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
