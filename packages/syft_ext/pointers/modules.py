"""``model.send(location)`` and ``model.get()``: the parameters move, the module and its optimisers stay.

The very parameter objects change, as in PySyft: whoever refers to them, an optimiser for instance, refers to
the remote ones from then on, and to the local ones after ``get()``.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, TypeVar

import torch

from syft_ext.errors import Conflict, GridError
from syft_ext.pointers.containers import RemoteList
from syft_ext.pointers.location import Location
from syft_ext.pointers.record import put
from syft_ext.pointers.session import RemoteSession
from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["get_module", "is_remote", "send_module", "swap"]

M = TypeVar("M", bound=torch.nn.Module)


def _tensors(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and buffers, each once."""
    seen: set[int] = set()
    for tensor in (*module.parameters(), *module.buffers()):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield tensor


def is_remote(module: torch.nn.Module) -> bool:
    """Whether its parameters or buffers are elsewhere."""
    return any(isinstance(tensor, RemoteTensor) for tensor in _tensors(module))


def send_module(module: M, location: Location) -> M:
    """Send parameters, buffers and gradients; the same module comes back.

    Raises :class:`Conflict` when it is at another place already.
    """
    session = location.session
    for tensor in _tensors(module):
        if isinstance(tensor, RemoteTensor) and tensor._session is not session:
            raise Conflict(f"the module is at {tensor.location.name}: .get() it first")
    with _RecurrentWeights(module):
        for tensor in _tensors(module):
            if not isinstance(tensor, RemoteTensor):
                swap(tensor, _remote(session, tensor))
    return module


def _remote(session: RemoteSession, tensor: torch.Tensor) -> RemoteTensor:
    remote = put(session, tensor)
    if isinstance(tensor, torch.nn.Parameter):
        remote._is_param = True  # what makes a subclass a Parameter for torch
    remote.requires_grad_(tensor.requires_grad)
    if tensor.grad is not None:
        remote.grad = put(session, tensor.grad)
    return remote


def get_module(module: M, **options: Any) -> M:
    """Fetch parameters, gradients and buffers in one answer; the same module, here again."""
    remote = [tensor for tensor in _tensors(module) if isinstance(tensor, RemoteTensor)]
    if not remote:
        return module
    if any(tensor._session is not remote[0]._session for tensor in remote):
        raise Conflict("parts of the module are in different places")
    gradients = {
        index: tensor.grad for index, tensor in enumerate(remote) if isinstance(tensor.grad, RemoteTensor)
    }
    parts = [*remote, *gradients.values()]
    values = RemoteList([RemoteTensor(part._session, part.cell) for part in parts]).get(**options)
    local = values[: len(remote)]
    for index, gradient in zip(gradients, values[len(remote) :], strict=True):
        local[index].grad = gradient
    with _RecurrentWeights(module):
        for tensor, value in zip(remote, local, strict=True):
            swap(tensor, _local(tensor, value))
    return module


def _local(tensor: RemoteTensor, value: torch.Tensor) -> torch.Tensor:
    gradient, value.grad = value.grad, None
    if isinstance(tensor, torch.nn.Parameter):
        value = torch.nn.Parameter(value, tensor.requires_grad)
    value.grad = gradient
    return value


def swap(one: torch.Tensor, other: torch.Tensor) -> None:
    """Exchange what two tensors are; whoever refers to ``one`` sees ``other`` from now on.

    As torch.utils.swap_tensors, which gives up where an old graph is still referred to. Here a backward pass
    through such a graph is what fails, with a message that says why.
    """
    if weakref.getweakrefs(one):
        raise GridError(
            "something refers weakly to a parameter of the module, so it cannot be moved in place"
        )
    for tensor in (one, other):
        if tensor.requires_grad and tensor.is_leaf:
            torch.autograd.graph.get_gradient_edge(tensor).node.register_prehook(_moved)
    _exchange(one, other, "__class__")
    _exchange(one, other, "__dict__")
    torch._C._swap_tensor_impl(one, other)


def _exchange(one: Any, other: Any, name: str) -> None:
    value = getattr(one, name)
    setattr(one, name, getattr(other, name))
    setattr(other, name, value)


def _moved(gradients: Any) -> Any:
    raise GridError(
        "backward() through a result that was computed before model.send() or model.get() moved the parameters.\n"
        "  Instead: compute it again, or call backward() before the module is moved"
    )


class _RecurrentWeights:
    """Recurrent modules keep weak references to their weights: taken away for the exchange, and put back."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.modules = [m for m in module.modules() if isinstance(m, torch.nn.RNNBase)]

    def __enter__(self) -> None:
        for module in self.modules:
            module._flat_weight_refs = []

    def __exit__(self, *_: object) -> None:
        for module in self.modules:
            module._flat_weight_refs = [
                weakref.ref(weight) if weight is not None else None for weight in module._flat_weights
            ]
