"""Ordinary plans on shares: every operation that has a protocol against torch, and twenty steps of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import syft_ext as sy
from syft_ext.errors import Unsupported
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.fixed import raw_bound
from syft_ext.mpc.interpreter import check_protocols, interpret
from syft_ext.mpc.shares import ShareTensor
from syft_ext.mpc.table import HANDLERS
from syft_ext.plans.graph.ops import ALLOWED
from tests.mpc.parties import PRECISION, STEP, Runner, stepped

Function = Callable[..., Any]


def _edges(*shape: int) -> torch.Tensor:
    """Numbers with 0, a step to either side, ties and whole numbers among them."""
    torch.manual_seed(sum(shape))
    x = stepped(torch.randn(*shape) * 2)
    flat = x.reshape(-1)
    special = torch.tensor([0.0, STEP, -STEP, 1.0, 1.0, -1.0, 1 + STEP, 2.0])[: flat.numel()].double()
    flat[: special.numel()] = special
    return x.float()


_X, _Y = _edges(4, 6), _edges(4, 6).flip(0)
_SQUARE = _edges(4, 4)
_POSITIVE = _X.abs() + 0.5
_IMAGE = _edges(2, 3, 7, 6)
_MASK = _Y > 0
_INDEX = torch.tensor([2, 0, 2])


def _grad(function: Function) -> Function:
    """Its gradient, so that the plan has the operations of the way back."""

    def back(x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        leaf = x.detach().requires_grad_()
        (function(leaf, *rest) ** 2).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    return back


CASES: list[tuple[Function, tuple[torch.Tensor, ...]]] = [
    (lambda x, y: x + y, (_X, _Y)),
    (lambda x, y: x - 2 * y, (_X, _Y)),
    (lambda x, y: torch.sub(x, y, alpha=3), (_X, _Y)),
    (lambda x: 1.5 - x, (_X,)),
    (lambda x: -x, (_X,)),
    (lambda x, y: x * y, (_X, _Y)),
    (lambda x: x * 0.3 + x / 7, (_X,)),
    (lambda x, y: x / y, (_X, _POSITIVE)),
    (lambda x, y: x / -y, (_X, _POSITIVE)),
    (lambda x: 1 / x, (_POSITIVE,)),
    (lambda x: x**2 + x**3, (_X,)),
    (lambda x: x**0.5, (_POSITIVE,)),
    (lambda x, y: torch.addcmul(x, x, y, value=0.5), (_X, _Y)),
    (lambda x, y, z: torch.addcdiv(x, y, z, value=2), (_X, _Y, _POSITIVE)),
    (lambda x, y: torch.lerp(x, y, 0.25), (_X, _Y)),
    (lambda x, y: x @ y.t(), (_X, _Y)),
    (lambda x, y: torch.bmm(x.reshape(2, 2, 6), y.reshape(2, 6, 2)), (_X, _Y)),
    (lambda x, y: x @ y[0], (_X, _Y)),
    (lambda x, y: x[0] @ y[0], (_X, _Y)),
    (lambda x, y, b: torch.addmm(b, x, y.t(), beta=0.5, alpha=2), (_X, _Y, _SQUARE)),
    (lambda x: x @ torch.linspace(-1, 1, 12).reshape(6, 2), (_X,)),
    (lambda x: torch.linspace(-1, 1, 8).reshape(2, 4) @ x, (_X,)),
    *[
        (lambda x, y, compare=compare: compare(x, y).float() * 2, (_X, _Y))
        for compare in (torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne)
    ],
    *[
        (lambda x, compare=compare: torch.where(compare(x, 1.0), x, 0 * x), (_X,))
        for compare in (torch.lt, torch.le, torch.gt, torch.ge, torch.eq, torch.ne)
    ],
    (torch.sign, (_X,)),
    (torch.abs, (_X,)),
    (torch.relu, (_X,)),
    (_grad(torch.relu), (_X,)),
    (lambda x: F.leaky_relu(x, 0.2), (_X,)),
    (lambda x, y: torch.where(_MASK, x, y), (_X, _Y)),
    (lambda x: x.masked_fill(_MASK, 3.0), (_X,)),
    (torch.maximum, (_X, _Y)),
    (torch.minimum, (_X, _Y)),
    (lambda x: x.clamp(-1, 0.5), (_X,)),
    (lambda x: x.clamp_min(0.5), (_X,)),
    (lambda x, y: torch.clamp(x, y, None), (_X, _Y)),
    (F.hardtanh, (_X,)),
    (lambda x: x.amax(1), (_X,)),
    (lambda x: x.amin(0, keepdim=True), (_X,)),
    (lambda x: (x.max(), x.min()), (_X,)),
    (lambda x: (x.max(1).values, x.min(0).values), (_X,)),
    (lambda x: (x.sum(), x.sum(1), x.mean(), x.mean(0, keepdim=True), x.cumsum(1)), (_X,)),
    (lambda x: (x.exp(), x.expm1()), (_X,)),
    (lambda x: (x.log(), x.log1p(), x.log2(), x.log10()), (_POSITIVE,)),
    (lambda x: (x.sqrt(), x.rsqrt()), (_POSITIVE,)),
    (lambda x: (x.sigmoid(), x.tanh()), (_X,)),
    (F.silu, (_X,)),
    (_grad(torch.sigmoid), (_X,)),
    (_grad(torch.tanh), (_X,)),
    (lambda x: (x.softmax(1), x.log_softmax(-1)), (_X,)),
    (_grad(lambda x: x.softmax(1) ** 2), (_X,)),
    (_grad(lambda x: (x.log_softmax(1) * _MASK / 16).sum(1, keepdim=True)), (_X,)),
    (lambda x: x.reshape(2, 12).permute(1, 0).transpose(0, 1).unsqueeze(0).squeeze(0), (_X,)),
    (lambda x: x[1:3, ::2].repeat(2, 1).flip(0), (_X,)),
    (lambda x: x.select(0, 1).expand(3, 6), (_X,)),
    (lambda x: (x.tril(), x.triu(1), x.diagonal()), (_SQUARE,)),
    (lambda x: x.index_select(0, _INDEX), (_X,)),
    (lambda x, y: (torch.cat([x, y], 1), torch.stack([x, y, torch.ones(4, 6)])), (_X, _Y)),
    (lambda x: F.pad(x, (1, 0, 0, 2)), (_X,)),
    (lambda x: (x.clone(), x.unsqueeze(1).squeeze((1,))), (_X,)),
    (lambda x: torch.ones_like(x) + torch.zeros_like(x) + torch.full_like(x, 3.0) + x, (_X,)),
    (_grad(lambda x: x[1:3, ::2] ** 2), (_X,)),
    (_grad(lambda x: x.select(0, 1) ** 2), (_X,)),
    (lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), (_IMAGE, _edges(4, 3, 3, 3), _edges(4))),
    (lambda x, w: F.conv2d(x, w, dilation=2), (_IMAGE, _edges(2, 3, 2, 2))),
    (_grad(lambda x, w: F.conv2d(x, w, stride=2, padding=1)), (_IMAGE, _edges(2, 3, 3, 3))),
    (_grad(lambda w, x: F.conv2d(x, w, padding=1)), (_edges(2, 3, 3, 3), _IMAGE)),
    (lambda x: F.avg_pool2d(x, 2), (_IMAGE,)),
    (lambda x: F.max_pool2d(x, 2), (_IMAGE,)),
]
#: What the tracer writes in another way today; a tensor here is shared.
NAMED: dict[str, tuple[Any, ...]] = {
    "aten.add.Scalar": (_X, 2.5),
    "aten.sub.Scalar": (_X, 2.5),
    "aten.div.Scalar": (_X, 7.0),
    "aten.mul.Scalar": (_X, 0.3),
    "aten.rsub.Scalar": (_X, 2.0),
    "aten.squeeze.dim": (_X.unsqueeze(1), 1),
    "aten.squeeze.dims": (_X.unsqueeze(1), [1]),
    "aten.clamp_min.default": (_X, 0.5),
    "aten.clamp.Tensor": (_X, _Y, None),
    "aten.hardtanh.default": (_X,),
    "aten._to_copy.default": (_X,),
    "aten.clone.default": (_X,),
    "aten.silu.default": (_X,),
    "aten.tril.default": (_SQUARE,),
    "aten.triu.default": (_SQUARE, 1),
    "aten.diagonal.default": (_SQUARE,),
    "aten.repeat.default": (_X, [2, 1]),
    "aten.dot.default": (_X[0], _Y[0]),
    "aten.mv.default": (_X, _Y[0]),
    "aten.stack.default": ([_X, _Y], 1),
    "aten.sum.default": (_X,),
    "aten.mean.default": (_X,),
    "aten.expm1.default": (_X,),
    "aten.log1p.default": (_POSITIVE,),
    "aten.log2.default": (_POSITIVE,),
    "aten.log10.default": (_POSITIVE,),
    "aten.reciprocal.default": (-_POSITIVE,),
    "aten.addcmul.default": (_X, _X, _Y),
    "aten.addcdiv.default": (_X, _Y, _POSITIVE),
    "aten.lerp.Scalar": (_X, _Y, 0.25),
    "aten.leaky_relu.default": (_X, 0.2),
    "aten.masked_fill.Scalar": (_X, _MASK, 3.0),
    "aten.zeros_like.default": (_X,),
    "aten.ones_like.default": (_X,),
    "aten.full_like.default": (_X, 3.0),
    "aten.flip.default": (_X, [0]),
    "aten.max.default": (_X,),
    "aten.min.default": (_X,),
    "aten.select_backward.default": (_X[0], [4, 6], 0, 1),
    "aten.slice_backward.default": (_X[:, ::2], [4, 6], 1, 0, 6, 2),
}


@cache
def _plan(function: Function, inputs: tuple[torch.Tensor, ...]) -> sy.Plan:
    arities: list[Function] = [
        lambda w: function(w),
        lambda w, theta: function(w, theta),
        lambda w, theta, bias: function(w, theta, bias),
    ]
    roles: Any = dict.fromkeys(("w", "theta", "bias")[: len(inputs)], "data")
    return sy.trace(arities[len(inputs) - 1], *inputs, symbols={}, roles=roles)


def _compare(run: Runner, function: Function, inputs: tuple[torch.Tensor, ...]) -> set[str]:
    plan = _plan(function, inputs)
    expected = plan.run(list(inputs))
    check_protocols(plan.document, [True] * len(inputs))

    def program(engine: ShareEngine, *shares: ShareTensor) -> Steps[list[ShareTensor]]:
        found = yield from interpret(engine, plan.document, list(shares), plan.bind(list(inputs)))
        return [
            engine.add(each, engine.public(0.0, 16))
            if isinstance(each, ShareTensor)
            else engine.public(each, 16)
            for each in found
        ]

    ran = run(program, *inputs, bound=16.0)
    for found, right in zip(ran.values, expected, strict=True):
        assert found.shape == right.shape
        assert torch.allclose(found, right.double(), atol=24 * STEP, rtol=2e-4), (found - right).abs().max()
    return set(plan.document.ops)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_operations_are_torchs(run: Runner, number: int) -> None:
    _compare(run, *CASES[number])


@pytest.mark.parametrize("name", sorted(NAMED))
def test_operations_by_name_are_torchs(run: Runner, name: str) -> None:
    args = NAMED[name]
    tensors = [each for each in _flat(args) if isinstance(each, torch.Tensor) and each.is_floating_point()]

    def program(engine: ShareEngine, *shares: ShareTensor) -> Steps[ShareTensor]:
        waiting = iter(shares)
        found = yield from HANDLERS[name](engine, *_put(args, waiting))
        return found if isinstance(found, ShareTensor) else engine.public(found, PRECISION)

    found, expected = run(program, *tensors, bound=16.0).value, ALLOWED[name](*args)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected.double(), atol=24 * STEP, rtol=2e-4)


def _flat(args: Any) -> list[Any]:
    return [leaf for each in args for leaf in (_flat(each) if isinstance(each, list) else [each])]


def _put(args: Any, shares: Iterator[ShareTensor]) -> list[Any]:
    return [
        _put(each, shares)
        if isinstance(each, list)
        else next(shares)
        if isinstance(each, torch.Tensor) and each.is_floating_point()
        else each
        for each in args
    ]


def test_every_protocol_has_a_case() -> None:
    seen = {name for function, inputs in CASES for name in _plan(function, inputs).document.ops}
    assert HANDLERS.keys() - seen - NAMED.keys() == set()


def test_an_operation_without_a_protocol_is_refused_by_name() -> None:
    plan = _plan(lambda x: x.sin() + 1, (_X,))
    with pytest.raises(Unsupported, match=r"aten\.sin\.default"):
        check_protocols(plan.document, [True])
    check_protocols(plan.document, [False])


def test_where_the_largest_is_stays_unknown() -> None:
    plan = _plan(lambda x: x.argmax(1), (_X,))
    with pytest.raises(Unsupported, match="argmax"):
        check_protocols(plan.document, [True])


def test_twenty_steps_of_a_training(passive: Runner) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 1))
    names = [name for name, _ in model.named_parameters()]

    @sy.make_plan
    def training_plan(
        xs: Any = torch.randn(64, 20),
        ys: Any = torch.randn(64, 1),
        lr: Any = torch.tensor(0.05),
        params: Any = sy.List(model.parameters()),
    ) -> Any:
        leaves = [each.detach().requires_grad_() for each in params]
        error = torch.func.functional_call(model, dict(zip(names, leaves, strict=True)), (xs,)) - ys
        loss = (error * error).mean()
        loss.backward()
        return (loss, *[each - lr * each.grad for each in leaves])

    xs = torch.randn(64, 20)
    ys = (xs[:, :1] * 2 - xs[:, 1:2]).tanh()
    expected = [each.detach() for each in model.parameters()]
    lr = torch.tensor(0.05)
    document = training_plan.document

    def program(engine: ShareEngine, x: ShareTensor, y: ShareTensor, *params: ShareTensor) -> Steps[Any]:
        state: list[Any] = list(params)
        loss: Any = None
        for _ in range(20):
            found: list[Any] = yield from interpret(engine, document, [x, y, lr, *state], {"B": 64})
            loss, *state = found
            state = [engine.within(each, raw_bound(4.0, PRECISION)) for each in state]
            yield from engine.settle()
        return [loss, *state]

    ran = passive(program, xs, ys, *expected, bound=[8.0, 2.0, *[4.0] * 4])
    loss = torch.zeros(())
    for _ in range(20):
        loss, *expected = training_plan.run([xs, ys, lr, *expected])
    assert abs(float(ran.values[0]) - float(loss)) < 1e-3
    for found, right in zip(ran.values[1:], expected, strict=True):
        assert float((found - right).abs().max()) < 1e-3
