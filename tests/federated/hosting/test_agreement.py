"""Plans, model and configuration are held against each other when a training is hosted, at both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

import syft_ext as sy
from grid.federated.averaging.plan_process import AveragingSandbox
from grid.node.plan_processes import PlanProcesses
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.confinement.gate import Gate
from syft_ext.errors import GridError, InvalidConfig, InvalidPlan, InvalidTensors
from syft_ext.plans import Plan, make_plan
from syft_ext.plans.training.hosted_model import hosted_model
from syft_ext.tensors import encode_tensors, kinds_metadata, read_layout
from tests.federated.driver import Driver

WEIGHTS = {"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}
NAMES = {"name": "t", "version": "1"}


def linear(**more: Any) -> Plan:
    """``w x + b`` by gradient descent; ``more``: other examples."""

    def training_plan(
        xs: Any = more.get("xs", sy.Batch(torch.randn(8, 3))),
        ys: Any = more.get("ys", sy.Target(torch.zeros(8, 1))),
        lr: Any = sy.Option(0.1),
        params: Any = sy.Param(list(WEIGHTS.values())),
    ) -> Any:
        w, b = (p.detach().requires_grad_() for p in params)
        loss = (xs @ w.t() + b - ys).pow(2).mean()
        loss.backward()
        return loss, w - lr * w.grad, b - lr * b.grad

    return make_plan(training_plan)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return linear()


@pytest.fixture(scope="module")
def fixed() -> Plan:
    """One that takes exactly 8 rows."""
    return linear(xs=sy.Batch(torch.randn(8, 3), size=""), ys=sy.Target(torch.zeros(8, 1), size=""))


@pytest.fixture(scope="module")
def normalised() -> Plan:
    """One with a batch normalisation, and so for two rows and more."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))

    def training_plan(
        xs: Any = sy.Batch(torch.randn(8, 3)),
        ys: Any = sy.Target(torch.zeros(8, 2)),
        params: Any = sy.Param(model),
        buffers: Any = sy.Buffer(model),
    ) -> Any:
        leaves = [p.detach().requires_grad_() for p in params]
        kept = [b.clone() for b in buffers]
        state = dict(zip([n for n, _ in model.named_parameters()], leaves, strict=True))
        state |= dict(zip([n for n, _ in model.named_buffers()], kept, strict=True))
        loss = (torch.func.functional_call(model, state, (xs,)) - ys).pow(2).mean()
        loss.backward()
        return loss, *[p - 0.1 * p.grad for p in leaves], *kept

    return make_plan(training_plan)


def of_normalised() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


# -- at the Domain, which takes no SDK's word -----------------------------------------------------------------


@pytest.fixture(scope="module")
def plans() -> Iterator[AveragingSandbox]:
    processes = PlanProcesses(Gate())
    yield AveragingSandbox(processes)
    processes.close()


@pytest.fixture
def driver(sqlite_url: str, blobs: FileBlobStore, plans: AveragingSandbox) -> Iterator[Driver]:
    database = Database(sqlite_url)
    driver = Driver(database, blobs, plans=plans)
    driver.pipeline.start()
    yield driver
    driver.pipeline.stop()
    database.close()


def at_the_domain(
    driver: Driver, plan: Plan, model: Mapping[str, torch.Tensor], config: dict[str, Any]
) -> str:
    tasks = driver.pipeline.tasks
    driver.process_id = tasks.create(
        "owner",
        client_plans={"training_plan": plan.dumps()},
        client_config={**NAMES, **config},
        server_config={"num_cycles": 1, "max_diffs": 1},
    )
    tasks.upload_model(driver.process_id, [encode_tensors(dict(model))])
    return driver.process_id


def at_the_sdk(plan: Plan, model: Any, config: Mapping[str, Any]) -> Any:
    return hosted_model(model, {"training_plan": plan}, {**NAMES, **config})


REFUSED: list[tuple[str, dict[str, torch.Tensor], dict[str, Any], type[GridError], str]] = [
    ("too few", {"weight": torch.zeros(1, 3)}, {}, InvalidPlan, "takes 2 parameters .* the model has 1 tensors"),
    ("another shape", {**WEIGHTS, "bias": torch.zeros(2)}, {}, InvalidPlan, "'bias', is f32"),
    ("another dtype", {**WEIGHTS, "bias": torch.zeros(1).double()}, {}, InvalidPlan, "'bias', is f64"),
    ("another order", dict(reversed(WEIGHTS.items())), {}, InvalidPlan, "the same tensors in the plan's order"),
    ("a name that nothing reads", WEIGHTS, {"learning_rate": 0.1}, InvalidConfig, "learning_rate.*custom"),
    ("one that is nearly right", WEIGHTS, {"epoch": 2}, InvalidConfig, "did you mean 'epochs'"),
    ("one of the data", WEIGHTS, {"xs": 2}, InvalidConfig, "takes it as data"),
    ("text for a number", WEIGHTS, {"lr": "0.1"}, InvalidConfig, "'0.1' is no number"),
    ("half an epoch", WEIGHTS, {"epochs": 0.5}, InvalidConfig, "epochs"),
    ("a number for a switch", WEIGHTS, {"drop_last": 1}, InvalidConfig, "drop_last"),
    ("more rows than it takes", WEIGHTS, {"batch_size": 70_000}, InvalidConfig, "1 to 65536 rows"),
    ("overflow", {**WEIGHTS, "bias": torch.tensor([1e30])}, {}, InvalidPlan, "loss .metric. that is not finite"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "config", "error", "text"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_does_not_fit_is_refused_on_both_sides_alike(
    plan: Plan,
    driver: Driver,
    model: dict[str, torch.Tensor],
    config: dict[str, Any],
    error: type[GridError],
    text: str,
) -> None:
    with pytest.raises(error, match=text) as here:
        at_the_sdk(plan, model, config)
    with pytest.raises(error, match=text) as there:
        at_the_domain(driver, plan, model, config)
    assert type(here.value) is type(there.value) and here.value.detail == there.value.detail


def test_what_fits_runs(plan: Plan, driver: Driver) -> None:
    config = {
        "batch_size": 4,
        "epochs": 2,
        "lr": 0.2,
        "shuffle": False,
        "drop_last": True,
        "custom": {"my": [1]},
    }
    assert at_the_sdk(plan, WEIGHTS, config)
    at_the_domain(driver, plan, WEIGHTS, config)
    assert driver.view.status == "running"


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"batch_size": 8}, ""),
        ({"batch_size": 8, "drop_last": False}, "exactly 8 rows.*drop_last"),
        ({"batch_size": 4, "drop_last": True}, "exactly 8 rows in a step, not 4"),
        ({"batch_size": 8, "drop_last": True}, ""),
        ({"drop_last": True}, ""),
    ],
)
def test_a_fixed_number_of_rows(fixed: Plan, config: dict[str, Any], refused: str) -> None:
    if not refused:
        assert at_the_sdk(fixed, WEIGHTS, config)
        return
    with pytest.raises(InvalidConfig, match=refused):
        at_the_sdk(fixed, WEIGHTS, config)


def test_a_normalisation_says_that_last_batches_of_one_row_do_not_go(
    normalised: Plan, driver: Driver
) -> None:
    assert normalised.symbols["B"] == (2, 65536)
    with pytest.raises(InvalidConfig, match=r"2 to 65536 rows.*drop_last"):
        at_the_sdk(normalised, of_normalised(), {"batch_size": 4})
    pieces = at_the_sdk(normalised, of_normalised(), {"batch_size": 4, "drop_last": True})
    layout = read_layout(pieces[0])
    assert {spec.name: spec.kind for spec in layout.specs} == {
        "0.weight": "parameter",
        "0.bias": "parameter",
        "1.weight": "parameter",
        "1.bias": "parameter",
        "1.running_mean": "statistic",
        "1.running_var": "variance",
        "1.num_batches_tracked": "counter",
    }
    file = b"".join(pieces)
    tasks = driver.pipeline.tasks
    driver.process_id = tasks.create(
        "owner",
        client_plans={"training_plan": normalised.dumps()},
        client_config={**NAMES, "batch_size": 4, "drop_last": True},
        server_config={"num_cycles": 1, "max_diffs": 1},
    )
    with pytest.raises(InvalidTensors, match=r"'1.running_mean': the plan takes it as a buffer"):
        tensors = {name: value.detach() for name, value in of_normalised().state_dict().items()}
        order = [spec.name for spec in layout.specs]
        tasks.upload_model(driver.process_id, [encode_tensors({name: tensors[name] for name in order})])
    tasks.upload_model(driver.process_id, [file])
    kinds = [spec.kind for spec in driver.pipeline.definitions.layout(driver.process_id).specs]
    assert kinds == ["parameter"] * 4 + ["statistic", "variance", "counter"]


def test_a_module_is_hosted_by_its_parameters(plan: Plan) -> None:
    assert [s.name for s in read_layout(at_the_sdk(linear(), torch.nn.Linear(3, 1), {})[0]).specs] == [
        "weight",
        "bias",
    ]


def test_names_of_a_state_dict_keep_their_order() -> None:
    def training_plan(
        xs: Any = sy.Batch(torch.ones(4, 2)),
        ys: Any = sy.Target(torch.ones(4)),
        params: Any = sy.Param({"a": torch.zeros(2), "b": torch.ones(2)}),
    ) -> Any:
        loss = (xs * params["a"] * params["b"]).mean() + ys.mean()
        return loss, params["a"] + loss, params["b"] - loss

    plan = make_plan(training_plan)
    assert at_the_sdk(plan, {"a": torch.zeros(2), "b": torch.ones(2)}, {})
    with pytest.raises(InvalidPlan, match="'b': another order"):
        at_the_sdk(plan, {"b": torch.ones(2), "a": torch.zeros(2)}, {})


def _plan(outputs: Callable[..., Any]) -> Plan:
    def training_plan(
        xs: Any = sy.Batch(torch.ones(4, 3)),
        ys: Any = sy.Target(torch.ones(4)),
        params: Any = sy.Param([torch.ones(3)]),
    ) -> Any:
        return outputs(xs, ys, params[0])

    return make_plan(training_plan)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        (lambda xs, ys, p: ((xs * p).mean() + ys.mean(),), "returns none that are updated"),
        (lambda xs, ys, p: (ys.mean(), (p * xs.mean()).double()), "returns none that are updated"),
        (lambda xs, ys, p: ((xs * p).mean() + ys.mean(), p / 0 * 0), "param. that is not finite"),
        (lambda xs, ys, p: ((xs * p).log().sub(5).log().mean() + ys.mean(), p), "loss|out0"),
    ],
)
def test_what_a_step_gives_is_looked_at(outputs: Callable[..., Any], text: str) -> None:
    with pytest.raises(InvalidPlan, match=text):
        at_the_sdk(_plan(outputs), [torch.ones(3)], {})


def test_an_averaging_plan_is_held_against_the_model(plan: Plan, driver: Driver) -> None:
    shapes = [torch.zeros(1, 3), torch.zeros(2)]

    def averaging(avg: Any = sy.List(shapes), item: Any = sy.List(shapes), num: Any = sy.Int(0)) -> Any:
        return [(a * num + i) / (num + 1) for a, i in zip(avg, item, strict=True)]

    with pytest.raises(InvalidPlan):
        driver.host(
            {"num_cycles": 1, "max_diffs": 1, "iterative_plan": True},
            client_plans={"training_plan": plan.dumps()},
            averaging_plan=make_plan(averaging).dumps(),
            model={"weight": np.zeros((1, 3), np.float32), "bias": np.zeros(1, np.float32)},
        )


def test_kinds_that_are_declared_reach_the_domain(plan: Plan, driver: Driver) -> None:
    file = encode_tensors(WEIGHTS, kinds_metadata({"weight": "parameter", "bias": "statistic"}))
    driver.process_id = driver.pipeline.tasks.create(
        "owner",
        client_plans={"training_plan": plan.dumps()},
        client_config=NAMES,
        server_config={"num_cycles": 1, "max_diffs": 1},
    )
    driver.pipeline.tasks.upload_model(driver.process_id, [file])
    layout = driver.pipeline.definitions.layout(driver.process_id)
    assert [spec.kind for spec in layout.specs] == ["parameter", "statistic"]


# -- what only participants find ------------------------------------------------------------------------------


def test_a_training_in_which_everybody_fails_says_so_and_why(plan: Plan, driver: Driver) -> None:
    driver.host(
        {"num_cycles": 1, "max_diffs": 3, "max_workers": 3},
        client_plans={"training_plan": plan.dumps()},
        model={"weight": np.zeros((1, 3), np.float32), "bias": np.zeros(1, np.float32)},
    )
    assert driver.view.reason == ""
    for number in (1, 2):
        worker, reply = driver.join()
        driver.pipeline.collector.give_up(reply.assignment_id, worker, reply.request_key, "InvalidTensors")
        assert driver.view.status == "running"
        assert f"{number} participant" in driver.view.reason
        assert "nobody has reported in cycle 1" in driver.view.reason
        assert "the same cause: InvalidTensors" in driver.view.reason
    worker, reply = driver.join()
    driver.pipeline.collector.give_up(reply.assignment_id, worker, reply.request_key, "MemoryError")
    assert "InvalidTensors (2×); MemoryError (1×)" in driver.view.reason
    part = driver.join()
    driver.report(part, {"weight": np.zeros((1, 3), np.float32), "bias": np.zeros(1, np.float32)})
    assert driver.view.reason == ""


def test_under_noise_what_single_participants_come_to_is_not_told(driver: Driver) -> None:
    from tests.open_site import open_site

    open_site(driver.pipeline.store.database, clip_norm=1.0, noise_multiplier=1.0, min_participants=1)
    driver.host({"num_cycles": 1, "max_diffs": 2, "max_workers": 3}, client_plans={})
    worker, reply = driver.join()
    driver.pipeline.collector.give_up(reply.assignment_id, worker, reply.request_key, "InvalidTensors")
    assert driver.view.reason == ""
