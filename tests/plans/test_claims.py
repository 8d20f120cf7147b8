"""A plan is its function for every size that it claims; what would be fixed is told, and nothing is touched."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

import syft_ext as sy
from syft_ext.errors import InvalidPlan
from syft_ext.plans import Plan, TraceError, TraceWarning, make_plan, trace
from syft_ext.plans.checking.binding import const_tensor

X = torch.arange(24.0).reshape(8, 3) / 7 - 1


# -- every claimed size, by a generated family ----------------------------------------------------------------

LAYERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "scale": lambda x: x * 3 - 1,
    "centre": lambda x: x - x.mean(0),
    "standardise": lambda x: x / (x.std(0) + 1),
    "spread": lambda x: x - x.std(0, keepdim=True),
    "softmax over rows": lambda x: F.softmax(x, 0),
    "squeeze": lambda x: x.squeeze().reshape(-1, 3) if x.shape[0] > 1 else x * 5,
    "first and last": lambda x: x + x[0] - x[-1],
    "neighbours": lambda x: x + torch.cat([x[1:], x[:1]]),
    "by number of rows": lambda x: x / x.shape[0],
    "five or more": lambda x: x * 2 if x.shape[0] >= 5 else x - 2,
    "nine at most": lambda x: x + 1 if x.shape[0] <= 9 else x - 1,
    "one is special": lambda x: torch.zeros_like(x) if x.shape[0] == 1 else x,
    "half of them": lambda x: torch.cat([x[: x.shape[0] // 2] * 2, x[x.shape[0] // 2 :]]),
    "batch norm": lambda x: F.batch_norm(x, None, None, training=True),
    "layer norm": lambda x: F.layer_norm(x, (3,)),
    "sorted": lambda x: x.sort(0).values,
    "pairwise": lambda x: x + (x @ x.t()).mean(1, keepdim=True),
    "outer": lambda x: (x.unsqueeze(0) - x.unsqueeze(1)).mean(0),
    "cumulated": lambda x: x.cumsum(0),
}
ENDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rows": lambda x: x,
    "mean": lambda x: x.mean(),
    "squeezed": lambda x: x.squeeze(),
    "columns": lambda x: x.sum(0),
    "variance": lambda x: x.var(0),
    "largest": lambda x: x.max(0).values,
}


def eager(names: list[str], end: str) -> Callable[..., Any]:
    def function(x: torch.Tensor, w: torch.Tensor) -> Any:
        y = x * w
        for name in names:
            y = LAYERS[name](y)
        return ENDS[end](y)

    return function


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and torch.allclose(a, b, rtol=2e-5, atol=2e-6, equal_nan=True)
    )


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=3), st.sampled_from(sorted(ENDS)))
def test_a_plan_is_its_function_at_every_size_that_it_claims(names: list[str], end: str) -> None:
    function = eager(names, end)
    try:
        plan = trace(function, X, torch.ones(3), symbols={"x": {0: "B"}})
    except TraceError:
        return  # told, which is as good
    low, high = plan.symbols["B"]
    assert low >= 1
    for size in (0, 1, 2, 5, 9, 10):
        rows = torch.linspace(-1, 1, size * 3).reshape(size, 3) ** 3 if size else torch.zeros(0, 3)
        inputs = (rows, torch.tensor([1.0, -2.0, 0.5]))
        if not low <= size <= high:
            with pytest.raises(InvalidPlan, match="outside"):
                plan(*inputs)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = function(*inputs)
        assert same(plan(*inputs), expected), (names, end, size)


@pytest.mark.parametrize(
    ("function", "bounds"),
    [
        (lambda x: x.squeeze().sum(0), (2, 65536)),
        (lambda x: F.batch_norm(x, None, None, training=True), (2, 65536)),
        (lambda x: x if x.shape[0] == 1 else x * 2, (2, 65536)),
        (lambda x: x * 2 if x.shape[0] < 2 else x, (2, 65536)),
        (lambda x: x.std(0), (1, 65536)),  # NaN in both
        (lambda x: x * 2 if x.shape[0] * 2 <= 60 else x, (1, 30)),
        (lambda x: F.conv1d(x.t().reshape(1, 3, -1), torch.ones(1, 3, 3)), (3, 65536)),
    ],
)
def test_bounds(function: Callable[..., Any], bounds: tuple[int, int]) -> None:
    plan = trace(function, X, symbols={"x": {0: "B"}})
    assert plan.symbols["B"] == bounds


def test_a_branch_of_a_library_is_a_bound_too(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    site = Path(torch.__file__).parents[1]
    source = "def halved(x):\n    return x / 2 if x.shape[0] >= 5 else x\n"
    space: dict[str, Any] = {}
    exec(compile(source, str(site / "somelibrary" / "ops.py"), "exec"), space)
    plan = trace(lambda x: space["halved"](x), X, symbols={"x": {0: "B"}})
    assert plan.symbols["B"] == (5, 65536)


# -- what would be fixed without a word -----------------------------------------------------------------------


class Counter:
    calls = 0


def counted(x: Any) -> Any:
    Counter.calls += 1
    return x / Counter.calls  # here


def drawn(x: Any) -> Any:
    return x * random.random()  # here


def drawn_by_numpy(x: Any) -> Any:
    import numpy as np

    return x + torch.from_numpy(np.random.randn(3)).float()  # here


def timed(x: Any) -> Any:
    return x * (time.perf_counter_ns() % 1_000_003)  # here


KEPT: list[int] = []


def grown(x: Any) -> Any:
    KEPT.append(1)
    for _ in KEPT:
        x = x + 1  # here
    return x


GENERATOR = torch.Generator()


def own_generator(x: Any) -> Any:
    return x + torch.rand(3, generator=GENERATOR)  # here


@pytest.mark.parametrize("function", [counted, drawn, drawn_by_numpy, timed, grown, own_generator])
def test_what_changes_at_every_call_is_refused_with_its_line(function: Callable[..., Any]) -> None:
    import inspect

    lines, first = inspect.getsourcelines(function)
    number = first + next(i for i, line in enumerate(lines) if "# here" in line)
    with pytest.raises(TraceError, match=r"every call|generator") as caught:
        trace(function, X, symbols={"x": {0: "B"}})
    assert f"test_claims.py, line {number} " in str(caught.value) and "seed" in str(caught.value)


def test_a_fixed_number_of_rows_is_told_where_it_was_guessed_and_refused_where_it_is_declared() -> None:
    def plan(xs: Any = torch.zeros(8, 3), params: Any = (torch.zeros(8, 3),)) -> Any:
        return (xs - params[0]).mean(), [params[0] + xs]

    with pytest.warns(TraceWarning, match="exactly 8 rows"):
        made = make_plan(plan)
    assert made.symbols == {}

    def declared(xs: Any = sy.Batch(torch.zeros(8, 3)), params: Any = sy.Param([torch.zeros(8, 3)])) -> Any:
        return (xs - params[0]).mean(), [params[0] + xs]

    with pytest.raises(TraceError, match=r"fixes the size B|B varies"):
        make_plan(declared)


def test_parameters_of_a_closure_are_told() -> None:
    model = torch.nn.Linear(3, 1)

    def loss(x: Any = torch.zeros(8, 3), y: Any = torch.zeros(8, 1)) -> Any:
        value = F.mse_loss(model(x), y)
        value.backward()
        return value

    with pytest.warns(TraceWarning, match=r"model.weight, model.bias.*sy.Param"):
        make_plan(loss)
    assert model.weight.grad is None
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trace(
        torch.nn.Linear(3, 1).forward, X, symbols={}
    )  # a module of one's own, as it is, with nothing to tell


def test_a_write_to_what_is_no_argument_is_refused_by_name() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        TraceError, match=r"writes to model.1.(num_batches_tracked|running_mean).*\n.*sy.Buffer"
    ):
        trace(lambda x: model(x), X)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# -- checkpointing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_with_dropout_draws_the_same_masks_again(reentrant: bool) -> None:
    def made(checkpointed: bool) -> Plan:
        def plan(
            xs: Any = sy.Batch(torch.randn(8, 6)),
            seed: Any = sy.Seed(0),
            params: Any = sy.Param([torch.eye(6)]),
        ) -> Any:
            w = params[0].detach().requires_grad_()

            def part(x: Any, w: Any) -> Any:
                return F.dropout((x @ w).tanh(), 0.5).exp()

            out = checkpoint(part, xs, w, use_reentrant=reentrant) if checkpointed else part(xs, w)
            loss = out.pow(2).mean()
            loss.backward()
            return loss, [w - 0.1 * w.grad]

        return make_plan(plan)

    inputs = {
        "xs": torch.randn(16, 6, generator=torch.Generator().manual_seed(1)),
        "seed": 5,
        "params": [torch.eye(6)],
    }
    (plain_loss, plain), (loss, again) = made(False)(**inputs), made(True)(**inputs)
    assert torch.equal(plain_loss, loss) and torch.equal(plain[0], again[0])


# -- declared roles -------------------------------------------------------------------------------------------


def test_declarations_say_roles_and_sizes_whatever_the_names() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))

    @make_plan
    def step(  # type: ignore[no-untyped-def]
        features=sy.Batch(torch.randn(8, 3)),
        outcome=sy.Target(torch.randint(0, 2, (8,))),
        temperature=sy.Option(2.0),
        learned=sy.Param(model),
        kept=sy.Buffer(model),
        moments=sy.State([torch.full((3,), 2.0)]),
        draw=sy.Seed(0),
    ):
        state = dict(zip([n for n, _ in model.named_parameters()], learned, strict=True))
        state |= dict(zip([n for n, _ in model.named_buffers()], [b.clone() for b in kept], strict=True))
        logits = torch.func.functional_call(model, state, (features,)) / temperature
        loss = F.cross_entropy(logits, outcome)
        return loss, *learned, *[state[n] for n, _ in model.named_buffers()], *moments

    roles = {item.name.split(".")[0]: item.role for item in step.inputs}
    assert roles == {
        "features": "data", "outcome": "target", "temperature": "hyper", "learned": "param", "kept": "buffer",
        "moments": "state", "draw": "seed",
    }  # fmt: skip
    assert step.symbols == {"B": (2, 65536)} and not step.guessed
    assert [o.role for o in step.outputs] == ["metric", *["param"] * 4, *["buffer"] * 3, "state"]


def test_roles_that_are_guessed_are_told() -> None:
    plan = trace(lambda xs, lr, weights: xs * lr * weights.sum(), X, 0.5, torch.ones(2))
    assert plan.guessed == {"xs": "data", "lr": "hyper", "weights": "count"}


def test_a_guess_fills_nothing_with_zeros() -> None:
    def plan(
        xs: Any = torch.ones(4, 3), t: Any = 0.5, v: Any = torch.ones(3), m: Any = torch.zeros(2000)
    ) -> Any:
        return xs * t + v, m

    defaults = {item.name: item.default for item in make_plan(plan).inputs}
    assert defaults["t"] is not None and const_tensor(defaults["t"]).item() == 0.5
    assert defaults["v"] is not None and const_tensor(defaults["v"]).tolist() == [1.0] * 3
    assert defaults["m"] is None  # begins at zero, as its example

    def large(xs: Any = sy.Batch(torch.ones(4, 3)), moments: Any = sy.State([torch.ones(2000)])) -> Any:
        return xs.mean(), moments

    state = next(item for item in make_plan(large).inputs if item.role == "state")
    assert state.default is not None and bool((const_tensor(state.default) == 1).all())


def test_declarations_that_cannot_be_meant() -> None:
    with pytest.raises(TraceError, match="declared as rows"):
        trace(lambda x: x, sy.Batch(torch.tensor(1.0)))
    with pytest.raises(TraceError, match="holds no tensors"):
        trace(lambda x: x, sy.Option("fast"))


# -- what is touched ------------------------------------------------------------------------------------------


def test_the_module_is_as_it_was() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
    model.eval()
    handle = model[0].register_forward_hook(lambda *_: None)
    model[0].weight.grad = torch.full((4, 3), 7.0)
    parameters, grads = list(model.parameters()), [p.grad for p in model.parameters()]
    values = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = set(vars(model[0]))
    rng = (torch.get_rng_state(), random.getstate())
    names = [name for name, _ in model.named_parameters()]

    def step(xs: Any = torch.randn(8, 3), seed: Any = 0, params: Any = parameters) -> Any:
        model.train()
        model[0].extra = 1
        model[0].weight.requires_grad_(False)
        model[1].track_running_stats = False
        model[1].running_mean = model[1].running_var = None
        sy.set_remote_model_params(model, [p.detach().requires_grad_() for p in params])
        loss = model(xs).pow(2).mean()
        loss.backward()
        random.random()
        return loss, *[p - p.grad for p in model.parameters()]

    rng = (torch.get_rng_state(), random.getstate())
    plan = make_plan(step)
    assert plan.kind == "training"
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert [p.grad for p in model.parameters()] == grads and not model.training
    assert all(p.requires_grad for p in model.parameters())
    assert [name for name, _ in model.named_parameters()] == names
    assert all(torch.equal(values[name], value) for name, value in model.state_dict().items())
    assert set(vars(model[0])) == attributes and model[1].track_running_stats
    assert len(model[0]._forward_hooks) == 1 and handle.id in model[0]._forward_hooks
    assert torch.equal(rng[0], torch.get_rng_state()) and rng[1] == random.getstate()


def test_the_module_is_as_it_was_after_an_error_too() -> None:
    model = torch.nn.Linear(3, 1)
    weight = model.weight

    def broken(x: Any = X, params: Any = (torch.zeros(1, 3), torch.zeros(1))) -> Any:
        model.train(False)
        sy.set_remote_model_params(model, params)
        return model(x).nonzero()

    with pytest.raises(TraceError):
        make_plan(broken)
    assert model.weight is weight and model.training


def test_an_optimizer_of_the_author_keeps_its_state() -> None:
    weight = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    optimizer = torch.optim.SGD([weight], lr=0.5, momentum=0.9)

    def step(xs: Any = X) -> Any:
        optimizer.param_groups[0]["lr"] = 0.1
        return (xs * weight).sum()

    make_plan(step)
    assert optimizer.param_groups[0]["lr"] == 0.5 and optimizer.param_groups[0]["params"][0] is weight
