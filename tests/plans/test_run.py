"""Calling plans: structure, defaults, types, memory, the self-test, what a reviewer sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from syft_ext.errors import InvalidPlan
from syft_ext.plans import Int, Limits, Plan, make_plan, trace
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.checking.propagate import propagate
from syft_ext.plans.checking.selftest import make_inputs
from syft_ext.plans.graph.document import Document, Summary
from syft_ext.plans.running.codegen import Generated, generate

from .documents import forge, ref


def reload(plan: Plan) -> Plan:
    return Plan.loads(plan.dumps())


def compiled(document: Document, sizes: dict[str, int], *, reuse: bool = True) -> Generated:
    consts = [const_tensor(const) for const in document.consts]
    return generate(document, propagate(document, sizes, Limits()), sizes, consts, reuse=reuse)


def test_results_keep_their_structure() -> None:
    def nested(x: Any, ab: Any, d: Any, k: Any = 2) -> Any:
        return {"sum": ab[0] + ab[1], "all": (x * k, [d["u"] - d["v"], (x,)])}

    one = torch.ones(3)
    plan = reload(trace(nested, one, (one, one), {"u": one, "v": one}))
    result = plan(one, [one, 2 * one], {"v": one, "u": 3 * one}, k=5)
    assert torch.equal(result["sum"], 3 * one)
    scaled, (difference, (same,)) = result["all"]
    assert type(result["all"]) is tuple and type(result["all"][1]) is list
    assert torch.equal(scaled, 5 * one) and torch.equal(difference, 2 * one) and torch.equal(same, one)


def test_a_single_tensor_comes_back_bare_and_a_tuple_as_a_tuple() -> None:
    one = torch.ones(2)
    assert isinstance(trace(lambda x: x + 1, one)(one), Tensor)
    assert isinstance(trace(lambda x: (x + 1,), one)(one), tuple)
    assert isinstance(trace(lambda x: [x + 1], one)(one), list)


def test_results_share_no_memory_with_inputs_constants_or_each_other() -> None:
    weight = torch.ones(2, 2)

    def views(x: Any) -> Any:
        y = x * 2
        return x, x.T, weight.T + 0 * x, weight.clone(), y, y.T, y[0]

    plan = reload(trace(views, torch.ones(2, 2), symbols={}))
    x = torch.ones(2, 2)
    results = plan(x)
    expected = [r.clone() for r in results]
    for result in results:
        result.fill_(7)
    assert torch.equal(x, torch.ones(2, 2))
    assert all(torch.equal(a, b) for a, b in zip(plan(x), expected, strict=True))
    addresses = {r.untyped_storage().data_ptr() for r in results}
    assert len(addresses) == len(results)


def test_results_are_ordinary_tensors() -> None:
    plan = trace(lambda x: x * 2, torch.ones(3))
    parameter = nn.Parameter(plan(torch.ones(3, requires_grad=True)))
    (parameter * parameter).sum().backward()
    assert parameter.grad is not None and torch.equal(parameter.grad, 4 * torch.ones(3))


def test_code_that_writes_to_its_arguments_is_recorded_and_the_inputs_stay() -> None:
    def writes(x: Any, y: Any) -> Any:
        x += 1
        x[0] = 5.0
        y.relu_()
        total = torch.zeros(3)
        total += x.sum(0)
        return x, y, total

    plan = reload(trace(writes, torch.zeros(4, 3), torch.zeros(2), symbols={"x": {0: "B"}}))
    x, y = torch.randn(6, 3), torch.randn(2)
    before = x.clone(), y.clone()
    found = plan(x, y)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])
    for a, b in zip(found, writes(x.clone(), y.clone()), strict=True):
        torch.testing.assert_close(a, b)


def test_numbers_defaults_and_wrong_arguments() -> None:
    def step(x: Any, lr: Any = 0.5, count: Any = Int(3), params: Any = ()) -> Any:
        return params[0] - lr * x.sum(0) / count

    plan = reload(trace(step, torch.ones(4, 2), params=[torch.zeros(2)]))
    x, zeros = torch.ones(5, 2), [torch.zeros(2)]
    assert torch.allclose(plan(x, params=zeros), torch.tensor(-2.5 / 3))
    assert torch.allclose(plan(x, 1, 5, zeros), torch.tensor(-1.0))
    assert torch.allclose(plan(x, torch.tensor(1.0), torch.tensor(5), tuple(zeros)), torch.tensor(-1.0))
    for arguments, keywords, message in (
        ((x,), {}, "params.0 is missing"),
        ((x, 1, 5, zeros, 1), {}, "takes 4 arguments"),
        ((x,), {"q": 1, "params": zeros}, "no argument 'q'"),
        ((x,), {"x": x, "params": zeros}, "given twice"),
        ((x.double(),), {"params": zeros}, r"x: the plan takes f32\[B, 2\], this is f64\[5, 2\]"),
        ((torch.ones(5),), {"params": zeros}, "x: the plan takes"),
        ((torch.ones(5, 3),), {"params": zeros}, "x: the plan takes"),
        ((x, 1, 2.5), {"params": zeros}, "count: i64 is needed"),
        ((x, "1"), {"params": zeros}, "lr: a tensor is needed"),
        ((x,), {"params": zeros * 2}, "a list of 1 is needed"),
        ((x,), {"params": zeros[0]}, "a list of 1 is needed"),
        ((torch.ones(0, 2),), {"params": zeros}, "outside"),
    ):
        with pytest.raises(InvalidPlan, match=message):
            plan(*arguments, **keywords)


def test_the_bounds_of_a_symbol_are_kept() -> None:
    plan = trace(lambda x: x.sum(), torch.ones(4), symbols={"x": {0: "N"}}, bounds={"N": (2, 8)})
    assert plan.symbols == {"N": (2, 8)} and reload(plan)(torch.ones(8)) == 8
    for size in (1, 9):
        with pytest.raises(InvalidPlan, match=r"outside \[2, 8\]"):
            plan(torch.ones(size))
    with pytest.raises(InvalidPlan, match=r"outside \[2, 8\]"):
        plan.check(N=9)
    with pytest.raises(InvalidPlan, match="no symbol M"):
        plan.check(M=9)


def test_a_branch_on_a_size_narrows_the_bounds() -> None:
    def large(x: Any) -> Any:
        return x.sum() if x.shape[0] >= 5 else x.mean()

    plan = trace(large, torch.ones(9), symbols={"x": {0: "N"}})
    assert plan.symbols == {"N": (5, 65536)}
    both = trace(
        lambda x: x.sum() if 5 < x.shape[0] <= 100 else x.mean(), torch.ones(9), symbols={"x": {0: "N"}}
    )
    assert both.symbols == {"N": (6, 100)}
    # torch's own choice of a kernel by size (convolutions have one at 16) narrows nothing.
    weight = torch.ones(16, 12, 3, 3)
    conv = trace(lambda x: torch.conv2d(x, weight), torch.ones(13, 12, 14, 15), symbols={"x": {0: "N"}})
    assert conv.symbols == {"N": (1, 65536)}


def test_two_symbols_and_an_example_batch_of_one() -> None:
    plan = trace(
        lambda x, w: (x @ w).reshape(-1),
        torch.ones(1, 3),
        torch.ones(3, 1),
        symbols={"x": {0: "B"}, "w": {1: "K"}},
    )
    assert reload(plan)(torch.ones(5, 3), torch.ones(3, 2)).shape == (10,)
    assert plan.outputs[0].shape == [["*", ["sym", "B"], ["sym", "K"]]]


def test_eval_mode_batch_norm_and_common_layers() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.AvgPool2d(2), nn.GroupNorm(2, 4), nn.ELU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LayerNorm(16), nn.Softplus(), nn.Dropout(0.5),
        nn.Linear(16, 3),
    ).eval()  # fmt: skip
    net[1].running_mean += 0.3
    names = [name for name, _ in net.named_parameters()]

    def gradients(x: Any, params: Any) -> Any:
        leaves = [p.detach().requires_grad_() for p in params]
        out = torch.func.functional_call(net, dict(zip(names, leaves, strict=True)), (x,))
        (out * out).mean().backward()
        grads = [p.grad for p in leaves]
        return out, grads

    params = [p.detach() for p in net.parameters()]
    said: Any = {"symbols": {"x": {0: "B"}}, "outputs": {"grads": "result"}}
    plan = reload(trace(gradients, torch.randn(4, 2, 10, 10), params, **said))
    x = torch.randn(3, 2, 10, 10)
    torch.testing.assert_close(plan(x, params), gradients(x, params), rtol=1e-4, atol=1e-5)


def test_buffers_are_reused_but_never_wrongly(traced: Callable[[str], Plan]) -> None:
    """With and without reuse of buffers the generated function gives the same bits."""
    for name in ("mlp_adam", "cnn_batchnorm", "mlp_dropout", "statistics", "lstm_sgd"):
        plan = traced(name)
        sizes = plan.document.selftest.symbols
        inputs = make_inputs(plan.document, plan.document.selftest)
        made = [compiled(plan.document, sizes, reuse=reuse) for reuse in (True, False)]
        answers = [each.function(*inputs) for each in made]
        assert all(torch.equal(a, b) or a.isnan().any() for a, b in zip(*answers, strict=True))
        assert made[0].functions_in_place > 0 and made[1].functions_in_place == 0


def test_generated_source_holds_no_text_of_the_plan() -> None:
    document = forge(
        [("aten.gelu.default", [ref(0)], {"approximate": "tanh"}), ("aten.mul.Tensor", [ref(1), 0.125])]
    )
    made = compiled(document, {})
    assert "tanh" not in made.source.replace("approximate", "") and "0.125" not in made.source
    assert made.function.__globals__["__builtins__"] == {}


def test_the_self_test_finds_a_machine_that_answers_differently(traced: Callable[[str], Plan]) -> None:
    plan = traced("mlp_sgd")
    plan.self_test()
    test = plan.document.selftest
    wrong = Summary(test.outputs[2].shape, test.outputs[2].mean + 0.01, *_rest(test.outputs[2]))
    outputs = [*test.outputs[:2], wrong, *test.outputs[3:]]
    selftest = msgspec.structs.replace(test, outputs=outputs)
    tampered = Plan(msgspec.structs.replace(plan.document, selftest=selftest))
    with pytest.raises(InvalidPlan, match=r"self-test: .* new_params.0 "):
        tampered.self_test()


def _rest(summary: Summary) -> tuple[float, list[float]]:
    return summary.abs_mean, summary.first


def test_a_reviewer_can_read_the_plan(traced: Callable[[str], Plan]) -> None:
    plan = traced("logistic_regression")
    text = plan.text()
    for line in (
        "param     w: f32[30]",
        "data      x: f32[B, 30]",
        "sizes: B in 1..65536",
        "metric    loss: f32[]",
    ):
        assert line in text
    assert f"id {plan.id}" in text and "= mv(" in text
    assert "logistic_regression(x, y, lr, w, b) training" in repr(plan)
    assert "<table>" in plan._repr_html_() and "755 FLOP" in plan._repr_html_()
    assert "FLOP, peak" in str(plan.cost(B=64)) and plan.cost(B=64).flops > plan.cost(B=8).flops


def test_html_escapes_what_a_stranger_wrote() -> None:
    document = msgspec.structs.replace(
        forge([("aten.relu.default", [ref(0)])]), doc="<script>alert(1)</script>"
    )
    assert "&lt;script&gt;" in Plan(document)._repr_html_() and "<script>" not in Plan(document)._repr_html_()


def test_a_failure_on_values_is_an_invalid_plan() -> None:
    plan = trace(lambda x, index: x[index], torch.ones(4), torch.tensor([0, 1]))
    assert plan(torch.ones(4), torch.tensor([3, 3])).shape == (2,)
    with pytest.raises(InvalidPlan, match="failed on these values"):
        plan(torch.ones(4), torch.tensor([0, 99]))


def test_the_decorator_takes_names_roles_and_kinds() -> None:
    @make_plan(
        symbols={"rows": {0: "N"}},
        roles={"rows": "data", "limit": "hyper"},
        outputs={"count": "metric"},
        kind="statistics",
        name="count_above",
    )
    def counter(rows=torch.zeros(4, 2), limit=torch.zeros(2)):
        count = (rows > limit).sum(0)
        return count  # noqa: RET504  # the name of the result

    assert counter.name == "count_above" and counter.symbols == {"N": (1, 65536)}
    assert [item.role for item in counter.inputs] == ["data", "hyper"] and counter.outputs[0].role == "metric"
    assert counter(torch.ones(9, 2)).tolist() == [9, 9]
    assert counter.split(counter(torch.ones(9, 2)))["metric"][0][0] == "count"
