"""Plans run by onnxruntime in the sandbox: confined as ever, without torch there, and nothing falls back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from grid.config import WorkerSettings
from grid.worker.sandboxed import SandboxedPlans
from syft_ext.errors import InvalidPlan
from syft_ext.plans import Plan
from syft_ext.plans.sandbox.sandbox import PlanSandbox

from ..documents import forge


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PlanSandbox]:
    with PlanSandbox(executor="onnx", seconds=120) as made:
        yield made


def test_a_step_is_torchs_and_its_process_has_no_torch(
    sandbox: PlanSandbox, traced: Callable[[str], Plan]
) -> None:
    plan = traced("logistic_regression")
    shapes = [(5, *each.shape[1:]) if each.role in ("data", "target") else each.shape for each in plan.inputs]
    flat = [torch.rand(shape) for shape in shapes]
    found = sandbox.run_flat(plan.loaded(), flat)
    for ours, theirs in zip(plan.run(flat), found, strict=True):
        np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=1e-5, atol=1e-6)
    loaded = Path(f"/proc/{sandbox.pid}/maps").read_text()
    assert "onnxruntime" in loaded and "libtorch" not in loaded
    assert {"rlimits", "seccomp"} <= set(sandbox.protections)


def test_a_chain_of_steps_stays_with_the_child(sandbox: PlanSandbox) -> None:
    plan = Plan(forge([("aten.add.Tensor", [["r", 0], ["r", 0]])]))
    start = torch.ones(4, 4)
    results = sandbox.run_chain(plan.loaded(), [[start], [0], [0]], wanted=[])
    assert results[0] == results[1] == [None]
    assert torch.equal(results[2][0], start * 8)


def test_what_onnx_cannot_say_is_refused_by_name_and_not_run_by_torch(sandbox: PlanSandbox) -> None:
    plan = Plan(forge([("aten.lgamma.default", [["r", 0]])]))
    with pytest.raises(InvalidPlan, match=r"aten\.lgamma\.default"):
        sandbox.run_flat(plan.loaded(), [torch.ones(4, 4)])


def test_a_worker_runs_what_its_owner_chose(traced: Callable[[str], Plan]) -> None:
    """Setting ``plan_executor``: the sandboxes of a Worker's trainings and runs."""
    plans = SandboxedPlans(seconds=120, memory=4 << 30, executor="onnx")
    try:
        plan = plans.load(traced("logistic_regression").dumps())
        assert plan.sandbox is plans.sandbox
        assert "libtorch" not in Path(f"/proc/{plans.sandbox.pid}/maps").read_text()
    finally:
        plans.close()
    assert WorkerSettings(plan_executor="onnx").plan_executor == "onnx"


def test_a_price_and_a_proof(sandbox: PlanSandbox, traced: Callable[[str], Plan]) -> None:
    plan = traced("kmeans")
    document = sandbox.prove(plan.dumps())
    shapes = [
        (each.dtype, [7 if isinstance(size, list) else size for size in each.shape])
        for each in document.inputs
    ]
    _, sizes, cost = sandbox.price(plan.dumps(), shapes)
    assert set(sizes.values()) == {7} and cost.flops > 0 and cost.peak_bytes > 0


def test_a_machine_without_torch_proves_and_runs_plans(traced: Callable[[str], Plan], tmp_path: Path) -> None:
    """The whole of a child's work, where torch cannot be imported; SandboxProcess is what its parent needs."""
    path = tmp_path / "a.plan"
    path.write_bytes(traced("mlp_sgd").dumps())
    program = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
import numpy as np
from syft_ext.plans.sandbox.process import SandboxProcess

data = Path({str(path)!r}).read_bytes()
with SandboxProcess(executor="onnx", seconds=120) as sandbox:
    document = sandbox.prove(data)
    kinds = {{"f32": np.float32, "i64": np.int64}}
    shapes = [[8 if isinstance(size, list) else size for size in each.shape] for each in document.inputs]
    arrays = [np.zeros(shape, kinds[each.dtype]) for each, shape in zip(document.inputs, shapes)]
    raw = [(each.dtype, a.shape, a.reshape(-1).view(np.uint8)) for each, a in zip(document.inputs, arrays)]
    results = sandbox.run_raw(data, raw)
    loss = results[0][2].view(np.float32)[0]
    assert abs(loss - np.log(10)) < 1e-5, loss
print("ran")
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout == "ran\n"
