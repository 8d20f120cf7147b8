"""What a traced function reaches beside its arguments: modules, optimisers, tensors - by name, and as they were.

A plan is recorded by running its function, with tensors that have no values and then, to compare, with values.
Whoever traces must find their modules as they left them: mode, hooks, parameters (the same objects), gradients,
buffers and the state of the random number generators.
"""

from __future__ import annotations

import functools
import random
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from syft_ext.plans.tracing.errors import is_user_code

__all__ = ["Surroundings"]

_MOST = 20_000
_PLAIN = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_SMALL = 4096
"""Elements of tensors whose values are kept. While recording, torch still computes on single ones (counters)."""
_Named = tuple[str, Any]


class Surroundings:
    """What ``function`` can reach: its closure, its globals by the names that it uses, ``self``, and their parts.

    Attributes:
        names: id of a tensor → how the user's code calls it (``model.0.weight``).
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.names: dict[int, str] = {}
        self._tensors: list[tuple[torch.Tensor, torch.Tensor | None, bool]] = []
        self._values: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._modules: list[tuple[torch.nn.Module, dict[str, Any], dict[str, dict[Any, Any]]]] = []
        self._optimizers: list[tuple[torch.optim.Optimizer, dict[Any, Any], list[dict[str, Any]]]] = []
        self.owner = getattr(function, "__self__", None)
        self._walk(function)
        self._random = (torch.get_rng_state(), random.getstate(), np.random.get_state())

    def _walk(self, function: Callable[..., Any]) -> None:
        waiting: list[_Named] = [("", function)]
        seen: dict[int, Any] = {}  # holds them: an id means something only while its object lives
        while waiting and len(seen) < _MOST:
            name, value = waiting.pop()
            if id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, torch.Tensor):
                if type(value) not in _PLAIN:
                    continue  # a pointer: its values are elsewhere
                self.names[id(value)] = name
                if value.numel() <= _SMALL and value.layout == torch.strided:
                    self._values.append((value, value.detach().clone()))
                if value.is_leaf:
                    self._tensors.append((value, value.grad, value.requires_grad))
                continue
            if isinstance(value, torch.nn.Module):
                state = vars(value)
                tables = {key: dict(part) for key, part in state.items() if isinstance(part, dict)}
                self._modules.append((value, dict(state), tables))
            elif isinstance(value, torch.optim.Optimizer):
                groups = [dict(group) for group in value.param_groups]
                self._optimizers.append((value, dict(value.state), groups))
            waiting.extend(_parts(name, value))

    def restore(self) -> None:
        """Make everything as it was."""
        for module, state, tables in self._modules:
            now = vars(module)
            now.clear()
            now.update(state)
            for key, content in tables.items():
                now[key].clear()
                now[key].update(content)
        for optimizer, kept, groups in self._optimizers:
            optimizer.state.clear()
            optimizer.state.update(kept)
            for group, before in zip(optimizer.param_groups, groups, strict=False):
                group.clear()
                group.update(before)
        self.restore_tensors()
        torch.set_rng_state(self._random[0])
        random.setstate(self._random[1])
        np.random.set_state(self._random[2])

    def restore_tensors(self) -> None:
        """Small tensors' values as they were; and gradients: the same tensors, or none."""
        with torch.no_grad():
            for tensor, values in self._values:
                if not torch.equal(tensor, values):
                    tensor.copy_(values)
        for tensor, grad, requires_grad in self._tensors:
            tensor.grad = grad
            if tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)


def _parts(name: str, value: Any) -> Iterator[_Named]:
    if isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, types.MethodType):
        yield from (("self", value.__self__), ("", value.__func__))
    elif isinstance(value, functools.partial):
        yield from (("", value.func), ("", value.args), ("", value.keywords))
    elif isinstance(value, torch.nn.Module):
        yield from _of_module(name, value)
    elif isinstance(value, torch.optim.Optimizer):
        yield (f"{name}.param_groups", value.param_groups)
    elif isinstance(value, Mapping):
        yield from ((f"{name}[{key!r}]", part) for key, part in list(value.items()) if _may_hold(part))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"{name}[{i}]", part) for i, part in enumerate(list(value)) if _may_hold(part))
    elif (isinstance(value, type) or hasattr(value, "__dict__")) and _is_users(value):
        yield from ((_dotted(name, key), part) for key, part in list(vars(value).items()))


def _of_function(function: types.FunctionType) -> Iterator[_Named]:
    # What comes last is looked at first, and names what it holds: a model rather than the list of its parameters.
    yield from (("", part) for part in function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    if is_user_code(function.__code__):
        for name in _names_in(function.__code__):
            if name in function.__globals__:
                found = function.__globals__[name]
                if isinstance(found, types.ModuleType):
                    yield from _of_python_module(name, found, function.__code__)
                elif _may_hold(found):
                    yield name, found


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _names_in(const)


def _of_python_module(name: str, module: types.ModuleType, code: types.CodeType) -> Iterator[_Named]:
    file = getattr(module, "__file__", None) or ""
    if file and is_user_code(code.replace(co_filename=file)):
        yield from ((f"{name}.{key}", vars(module)[key]) for key in _names_in(code) if key in vars(module))


def _of_module(name: str, module: torch.nn.Module) -> Iterator[_Named]:
    for key, part in list(vars(module).items()):
        if key in ("_parameters", "_buffers", "_modules"):
            yield from ((_dotted(name, inner), found) for inner, found in list(part.items()))
        elif _may_hold(part):
            yield _dotted(name, key), part


def _dotted(name: str, key: str) -> str:
    return f"{name}.{key}" if name and name != "self" else key


def _is_users(value: Any) -> bool:
    kind = value if isinstance(value, type) else type(value)
    top = kind.__module__.partition(".")[0]
    return top not in ("builtins", "torch", "numpy", "syft_ext", "typing", "collections", "re", "enum")


def _may_hold(value: Any) -> bool:
    """Whether a tensor or a module can be in there: not in numbers and text, which are most of what there is."""
    return value is not None and not isinstance(value, int | float | complex | str | bytes | type(...))
