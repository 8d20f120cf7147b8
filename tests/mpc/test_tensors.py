"""Expressions over shared tensors, in SyMPC's words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import BadRequest, OutOfRange, Unsupported

_X = torch.linspace(-2, 2, 12).reshape(3, 4)
_W = torch.linspace(-1, 1, 8).reshape(4, 2)
KINDS = [("Beaver", "semi-honest"), ("Falcon", "semi-honest"), ("Falcon", "malicious")]


@pytest.mark.parametrize(("protocol", "security"), KINDS)
def test_an_expression_is_what_torch_makes_of_it(protocol: str, security: str) -> None:
    session = sy.LocalSession(protocol, security_type=security)
    x, w = sy.MPCTensor(_X, session, bound=4.0), sy.MPCTensor(secret=_W, session=session, bound=2.0)
    y = (x @ w - 1).relu() * 2 + w.sum(0)
    assert y.shape == (3, 2) and len(y.plan.inputs) == 2
    right = (_X @ _W - 1).relu() * 2 + _W.sum(0)
    assert float((y.reconstruct() - right).abs().max()) < 1e-3


OPERATORS = [
    lambda x: x + 1,
    lambda x: 1 + x,
    lambda x: 1 - x,
    lambda x: x - _X,
    lambda x: 3 * x,
    lambda x: _X * x,
    lambda x: x / 4,
    lambda x: 1 / (x + 3),
    lambda x: _W.t() @ x.t(),
    lambda x: -x,
    lambda x: x**2,
    lambda x: x[1:, 0],
    lambda x: x.softmax(dim=1).mean(0, keepdim=True),
    lambda x: x.maximum(x - 1).clamp(-1, 0.5),
]
COMPARISONS = [lambda x: x < 0.5, lambda x: x <= _X, lambda x: x > 0, lambda x: x >= _X]


@pytest.mark.parametrize("number", range(len(OPERATORS) + len(COMPARISONS)))
def test_operators_are_those_of_tensors(number: int) -> None:
    function: Any = (OPERATORS + COMPARISONS)[number]
    found = function(sy.MPCTensor(_X, sy.LocalSession(), bound=4.0))
    assert isinstance(found, sy.MPCTensor) and tuple(found.shape) == tuple(function(_X).shape)
    assert float((found.reconstruct() - function(_X).double()).abs().max()) < 1e-3


def test_a_secret_is_one_input_however_often_it_is_used() -> None:
    x = sy.MPCTensor(_X, sy.LocalSession(), bound=4.0)
    found = sy.MPCTensor.map(torch.maximum, x * x, x + x)
    assert len(found.plan.inputs) == 1 and "secrets=1" in repr(found)
    assert float((found.reconstruct() - torch.maximum(_X * _X, _X + _X)).abs().max()) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_secrets_are_taken_in_the_type_that_they_are_of(dtype: torch.dtype) -> None:
    x = sy.MPCTensor(_X.to(dtype), sy.LocalSession(), bound=4.0)
    off = (x * 2).reconstruct() - _X.to(dtype).double() * 2
    assert float(off.abs().max()) <= 2**-14  # two roundings of a step, doubled


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_what_is_not_of_floating_point_is_refused_with_its_type(dtype: torch.dtype) -> None:
    with pytest.raises(BadRequest, match=f"is of {str(dtype)[6:]}, and only numbers of floating point"):
        sy.MPCTensor(torch.ones(3, dtype=dtype), sy.LocalSession(), bound=4.0)
    with pytest.raises(BadRequest, match="torch has no type 'f8'"):
        sy.MPCTensor(torch.ones(3), sy.LocalSession(), bound=4.0, dtype="f8")  # type: ignore[arg-type]


def test_what_is_no_question_is_refused() -> None:
    session = sy.LocalSession()
    x = sy.MPCTensor(_X, session, bound=4.0)
    with pytest.raises(BadRequest, match="one session"):
        x + sy.MPCTensor(_X, sy.LocalSession(), bound=4.0)
    with pytest.raises(BadRequest, match="one session"):
        sy.MPCTensor.map(torch.relu, _X)
    with pytest.raises(BadRequest, match="decides nothing"):
        bool(x < 1)
    with pytest.raises(BadRequest, match="nobody to ask"):
        x.request()
    with pytest.raises(BadRequest, match="shape"):
        sy.MPCTensor("0" * 32, session, bound=1.0)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        x.numpy()
    with pytest.raises(Unsupported, match="sin"):
        sy.MPCTensor.map(torch.sin, x).reconstruct()
    with pytest.raises(OutOfRange):
        sy.MPCTensor(_X, session, bound=1.0).reconstruct()
    with pytest.raises(OutOfRange):
        (x - 2.5).sqrt().reconstruct()
    with pytest.raises(BadRequest):
        session.run(x.plan, {}, bounds={})
    with pytest.raises(BadRequest):
        sy.LocalSession("SPDZ")
    with pytest.raises(BadRequest):
        sy.LocalSession("Beaver", security_type="malicious")
    with pytest.raises(BadRequest):
        sy.LocalSession(precision=40)
