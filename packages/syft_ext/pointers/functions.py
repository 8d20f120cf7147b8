"""Functions of torch that are caught as the user wrote them, before torch takes them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch._decomp import decompositions

from syft_ext.pointers.dispatch_context import factories_at
from syft_ext.pointers.record import needs_value
from syft_ext.pointers.routes import add_functions
from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["CAUGHT"]

_rnn: Any = decompositions


def _refused(what: str) -> Callable[..., Any]:
    def refuse(tensor: Any, *_: Any, **__: Any) -> Any:
        raise needs_value(tensor, what)

    return refuse


def _plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return function(*args, **kwargs)


def _backward(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> None:
    assert isinstance(tensor, RemoteTensor)
    with factories_at(tensor._session):
        torch.Tensor.backward(tensor, *args, **kwargs)  # type: ignore[no-untyped-call]


def _grad(outputs: Any, *args: Any, **kwargs: Any) -> Any:
    found = [t for t in _tensors(outputs) if isinstance(t, RemoteTensor)]
    if not found:
        return _plainly(torch.autograd.grad, outputs, *args, **kwargs)
    with factories_at(found[0]._session):
        return torch.autograd.grad(outputs, *args, **kwargs)


def _tensors(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _set_data(target: torch.Tensor, source: torch.Tensor) -> None:
    """``x.data = y``: x holds what y holds."""
    with torch.no_grad():
        target.copy_(source)


# Recurrent networks in torch's Python form: in C++ some pick a fused kernel for this machine's processor.


def _lstm(*args: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        packed = isinstance(args[1], torch.Tensor)
        hidden, rest = (args[2], args[3:]) if packed else (args[1], args[2:])
        weights, has_biases, layers, dropout, train, both = rest[:6]
        weights = _rnn.gather_params(weights, has_biases, hidden[0].size(2) != hidden[1].size(2))
        pairs = list(zip(hidden[0], hidden[1], strict=True))
        out, final = _rnn._rnn_helper(
            args[0],
            pairs,
            weights,
            has_biases,
            layers,
            dropout,
            train,
            both,
            False if packed else rest[6],
            partial(decompositions.one_layer_lstm_data, batch_sizes=args[1])
            if packed
            else decompositions.one_layer_lstm,
        )
        h, c = zip(*final, strict=True)
        return out, torch.stack(h, 0), torch.stack(c, 0)


def _recurrent(whole: Callable[..., Any], packed: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        return _plainly(packed if isinstance(args[2], torch.Tensor) else whole, *args)

    return run


_NUMPY = _refused("leaves torch for numpy: it needs the values of a tensor")
_ONE = _refused("needs the value of a tensor")

CAUGHT: dict[Any, Callable[..., Any]] = {
    torch.Tensor.backward: _backward,
    torch.autograd.grad: _grad,
    torch.Tensor.data.__set__: _set_data,  # type: ignore[attr-defined]  # a getset descriptor
    torch.Tensor.item: _ONE,
    torch.Tensor.tolist: _ONE,
    torch.Tensor.__bool__: _refused("decides on the value of a tensor"),
    torch.Tensor.__int__: _ONE,
    torch.Tensor.__float__: _ONE,
    torch.Tensor.__index__: _ONE,
    torch.Tensor.__complex__: _ONE,
    torch.Tensor.__contains__: _ONE,
    torch.Tensor.numpy: _NUMPY,
    torch.Tensor.__array__: _NUMPY,
    torch.equal: _ONE,
    torch.Tensor.equal: _ONE,
    torch.allclose: _ONE,
    torch.Tensor.allclose: _ONE,
    torch.lstm: _lstm,
    torch.gru: _recurrent(decompositions.gru_impl, decompositions.gru_impl_data),
    torch.rnn_tanh: _recurrent(decompositions.rnn_tanh_input, decompositions.rnn_tanh_data),
    torch.rnn_relu: _recurrent(decompositions.rnn_relu_input, decompositions.rnn_relu_data),
}
add_functions(CAUGHT)
