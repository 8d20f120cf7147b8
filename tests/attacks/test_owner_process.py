"""A training's plan that breaks the kernels it runs on: the data owner's own process never runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import syft_ext as sy
from grid.web.testing import ServedNode
from syft_ext.errors import GridError, InvalidPlan
from syft_ext.plans import TraceError, make_plan
from syft_ext.plans.running.run import Executor
from tests.sdk.live import log_in, serve

ROWS = 8
#: The owner, as README shows them; the last line is only reached by a process that lives.
OWNER = """
import sys, torch, syft_ext as sy
from syft_ext.plans.running.run import Executor
def never(*arguments):
    raise SystemExit("the owner's process ran the plan itself")
if "--watch" in sys.argv:
    Executor.run = never
x, y = torch.rand(8, 4) * 80, torch.randint(0, 2, (8,))
job = sy.FLClient(url=sys.argv[1], auth_token="", secure=False).new_job(sys.argv[2], "1.0")
def accepted(job):
    (params,) = job.plans["training_plan"](xs=x, ys=y, params=job.model)
    job.report(params)
    print("reported", flush=True)
job.add_listener(job.EVENT_ACCEPTED, accepted)
job.add_listener(job.EVENT_ERROR, lambda job, error: print("error", type(error).__name__, error, flush=True))
job.start()
print("alive", flush=True)
"""


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ServedNode]:
    root = tmp_path_factory.mktemp("live")
    shutil.copyfile(sqlite_template, root / "node.db")
    patch = pytest.MonkeyPatch()
    with serve(root / "home", f"sqlite:///{root / 'node.db'}", patch) as served:
        yield served
    patch.undo()


def _writes_where_it_likes(index: int) -> Any:
    """Passes its self-test on small numbers; on the owner's it writes far outside of its tensors."""

    @make_plan
    def training_plan(
        xs=torch.rand(ROWS, 4),
        ys=torch.randint(0, 2, (ROWS,)),
        params=sy.List([torch.zeros(2, 4)]),
    ):  # type: ignore[no-untyped-def]
        (p,) = params
        target = ((xs.amax() > 10.0).to(torch.int64) * index).reshape(1)
        written = torch.ops.aten.nll_loss_backward.default(
            torch.ones(1), torch.zeros(1, 3), target, None, 0, -100, torch.tensor(1.0)
        )
        loss = (p * 0).sum() + written.sum() * 0
        return loss, p * 1.0 + loss

    return training_plan


def _harmless() -> Any:
    @make_plan
    def training_plan(
        xs=torch.rand(ROWS, 4),
        ys=torch.randint(0, 2, (ROWS,)),
        params=sy.List([torch.zeros(2, 4)]),
    ):  # type: ignore[no-untyped-def]
        (p,) = params
        loss = xs.sum() + ys.sum() + (p * 0).sum()
        return loss, p + loss

    return training_plan


def _host(domain: ServedNode, name: str, plan: Any) -> None:
    log_in(domain.url)
    client = sy.ModelCentricFLClient(address=domain.url.removeprefix("http://"), secure=False)
    client.connect()
    client.host_federated_training(
        model=[torch.zeros(2, 4)],
        client_plans={"training_plan": plan},
        client_protocols={},
        server_averaging_plan=None,
        client_config={"name": name, "version": "1.0", "batch_size": ROWS, "epochs": 1},
        server_config={"num_cycles": 1, "max_diffs": 1, "cycle_length": 600},
    )


def _owner(domain: ServedNode, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", OWNER, domain.url, name, *options], capture_output=True, text=True, timeout=200
    )


@pytest.mark.parametrize("index", [1 << 45, -(1 << 45), (1 << 62) + 7])
def test_a_plan_that_writes_outside_its_tensors_does_not_reach_its_owner(
    index: int, domain: ServedNode, own_folder: Path
) -> None:
    name = f"outside {index}"
    try:
        _host(domain, name, _writes_where_it_likes(index))
    except (TraceError, InvalidPlan):
        return  # refused before it came to anybody
    done = _owner(domain, name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("alive\n")
    if "reported" not in done.stdout:
        assert "error InvalidPlan" in done.stdout


def test_the_owners_process_runs_no_operation_of_a_downloaded_plan(
    domain: ServedNode, own_folder: Path
) -> None:
    _host(domain, "harmless", _harmless())
    done = _owner(domain, "harmless", "--watch")
    assert done.stdout.endswith("reported\nalive\n"), done.stdout + done.stderr


def test_what_was_read_runs_apart_and_what_was_traced_here_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = _harmless()
    values: dict[str, Any] = {"xs": torch.rand(ROWS, 4), "ys": torch.zeros(ROWS, dtype=torch.int64)}
    values["params"] = [torch.zeros(2, 4)]
    expected = plan(**values)[0]
    read = sy.Plan.loads(plan.dumps())
    beside = sy.Plan.loads(plan.dumps(), sandbox=False)
    assert capsys.readouterr().out == (
        f"sandbox=False: plan {plan.id[:12]} of others will run in this process, with all its rights\n"
    )

    def never(*arguments: Any) -> Any:
        raise AssertionError("it ran in this process")

    monkeypatch.setattr(Executor, "run", never)
    torch.testing.assert_close(read(**values)[0], expected)
    read.self_test()
    with pytest.raises(AssertionError):
        plan(**values)
    with pytest.raises(AssertionError):
        beside(**values)


def test_a_client_that_asks_for_no_sandbox_says_so(
    domain: ServedNode, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _host(domain, "beside", _harmless())
    with sy.FLClient(url=domain.url, sandbox=False) as client:
        job = client.new_job("beside", "1.0")
        values = torch.rand(ROWS, 4), torch.zeros(ROWS, dtype=torch.int64)
        job.add_listener(
            job.EVENT_ACCEPTED,
            lambda job: job.report(job.plans["training_plan"](*values, params=job.model).params),
        )
        job.start()
        assert job.reported and job.plans["training_plan"].sandbox is False
    assert capsys.readouterr().out.count("sandbox=False: plan ") == 1


def test_a_machine_that_cannot_confine_runs_no_strangers_plan(own_folder: Path) -> None:
    from tests.confinement.without import command

    script = """
import sys, torch, syft_ext as sy
from syft_ext.plans import trace
plan = trace(lambda x: x * 2, torch.ones(3))
print(plan(torch.ones(3)).tolist())
try:
    sy.Plan.loads(plan.dumps())(torch.ones(3))
except sy.errors.GridError as error:
    print(error.code, error.detail)
"""
    done = subprocess.run(
        [*command("landlock"), sys.executable, "-c", script], capture_output=True, text=True, timeout=200
    )
    own, refused = done.stdout.splitlines()
    assert own == "[2.0, 2.0, 2.0]" and refused.startswith("unconfined "), done.stderr
    assert "Landlock: not in this kernel" in refused
    assert issubclass(sy.errors.Unconfined, GridError)
