"""``Module``: a torch module written as in the paper's listings, and the calls those listings make on it."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Sequence
from types import ModuleType
from typing import Any, cast

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.values import RootClient
from syft_ext.plans.tracing.sender import send_module

__all__ = ["Module", "set_remote_model_params"]


class _Modules:
    """``module.modules``: called, torch's iterator over all modules; indexed, the direct children by name."""

    def __init__(self, module: torch.nn.Module, iterate: Callable[..., Iterator[torch.nn.Module]]) -> None:
        self._module, self._iterate = module, iterate

    def __call__(self, remove_duplicate: bool = True) -> Iterator[torch.nn.Module]:
        return self._iterate(remove_duplicate)

    def items(self) -> ItemsView[str, torch.nn.Module]:
        return cast(ItemsView[str, torch.nn.Module], self._module._modules.items())

    def keys(self) -> Any:
        return self._module._modules.keys()

    def values(self) -> Any:
        return self._module._modules.values()

    def __getitem__(self, name: str) -> torch.nn.Module:
        child = self._module._modules[name]
        assert child is not None
        return child

    def __contains__(self, name: object) -> bool:
        return name in self._module._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._module._modules)

    def __len__(self) -> int:
        return len(self._module._modules)


class Module(torch.nn.Module):
    """A ``torch.nn.Module`` that is told which torch to use.

    ``torch_ref`` is that torch; layers are made with ``self.torch_ref.nn.Linear(...)`` or plainly with
    ``torch.nn.Linear(...)``, which is the same.
    """

    def __init__(self, torch_ref: ModuleType = torch) -> None:
        super().__init__()
        self.torch_ref: Any = torch_ref

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        # torch calls modules(); the listings read modules.items(). Both must work on the same name.
        return _Modules(self, found) if name == "modules" else found

    def send(self, client: Any, send_parameters: bool = True, **options: Any) -> Module:
        """To a Domain: in place, as any module (:func:`syft_ext.send`). To ``ROOT_CLIENT``: a copy of the
        structure for use inside a plan, so that recording leaves this module untouched.

        With ``send_parameters=False`` the parameters must be set from the plan's arguments
        (:func:`set_remote_model_params`); with True the present values become constants of the plan, ready for
        ``loss.backward()``.
        """
        if not isinstance(client, RootClient):
            return cast(Module, send_module(self, client, **options))
        return cast(Module, _copy(self, send_parameters))


def _copy(module: torch.nn.Module, with_parameters: bool) -> torch.nn.Module:
    clone = module.__class__.__new__(module.__class__)
    clone.__dict__ = dict(module.__dict__)
    parameters = {
        name: parameter.detach().clone().requires_grad_()
        if with_parameters and parameter is not None
        else parameter
        for name, parameter in module._parameters.items()
    }
    children = {
        name: None if child is None else _copy(child, with_parameters)
        for name, child in module._modules.items()
    }
    # Buffers are copied: batch normalisation writes to them in place.
    buffers = {name: None if b is None else b.clone() for name, b in module._buffers.items()}
    clone.__dict__.update(_parameters=parameters, _modules=children, _buffers=buffers)
    return clone


def set_remote_model_params(modules: Any, params: Sequence[torch.Tensor]) -> None:
    """Put ``params`` in the place of the parameters of ``modules``, in the order of ``parameters()``.

    ``modules`` is what ``model.modules`` gives: direct children by name (or any mapping of modules, or a module).
    The tensors keep their history, so gradients reach the plan's arguments. Raises :class:`InvalidPlan` when
    the numbers or the shapes disagree.
    """
    children = [modules] if isinstance(modules, torch.nn.Module) else list(modules.values())
    slots = [
        (owner, name)
        for child in children
        for owner in child.modules()
        for name, parameter in owner._parameters.items()
        if parameter is not None
    ]
    if len(slots) != len(params):
        raise InvalidPlan(f"the model has {len(slots)} parameters, {len(params)} were given")
    for (owner, name), tensor in zip(slots, params, strict=True):
        expected = owner._parameters[name]
        if expected is not None and expected.shape != tensor.shape:
            raise InvalidPlan(
                f"parameter {name}: {list(expected.shape)} in the model, {list(tensor.shape)} given"
            )
        # register_parameter would refuse a tensor with a history.
        owner._parameters[name] = cast(torch.nn.Parameter, tensor)
