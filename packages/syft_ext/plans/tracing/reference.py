"""The traced function run as it is, on tensors with values: what its plan is held against.

Only random operations are replaced, by those of the plan, so that both draw the same; every other operation is
torch's own. What the function writes to outside its arguments is written back.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from blake3 import blake3
from torch._decomp import get_decompositions
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from syft_ext.plans.tracing.errors import SourceLine, user_line
from syft_ext.plans.tracing.instead import INSTEAD
from syft_ext.plans.tracing.recorder import assigned_data
from syft_ext.tensors import raw_bytes

__all__ = ["Reference", "Repeated"]

aten = torch.ops.aten
_HASHED = 1 << 20
"""Bytes of a tensor from outside that two runs are compared by."""
_Step: TypeAlias = tuple[str, str]
"""An operation with its numbers, and what tensors from outside hold."""


def _random_operations() -> Mapping[Any, Callable[..., Any]]:
    found: Mapping[Any, Callable[..., Any]] = get_decompositions(
        [aten.native_dropout, aten.bernoulli, aten.uniform, aten.rand_like, aten.randn_like]
    )
    return found


class _Assignments(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if assigned_data(func, args):
            return args[0]
        # torch's decompositions that differ from its kernels act below a dispatch mode as well.
        return INSTEAD.get(func, func)(*args, **(kwargs or {}))


class _Real(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Replaces what is random, keeps what is written to, and notes every operation."""

    def __init__(self, table: Mapping[Any, Callable[..., Any]], inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._table = table
        self._made = WeakIdKeyDictionary()
        self._kept: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self.stream: list[_Step] = []
        self.before: list[_Step] | None = None
        self.differs_at: SourceLine | None = None
        """Where another operation or another number came than before."""
        self.other_values_at: SourceLine | None = None
        """Where a tensor from outside had other values than before."""
        for tensor in inputs:
            self._made[tensor] = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self._table:
            with self:
                out = self._table[func](*args, **kwargs)
            if out is not NotImplemented:
                return out
        self._note(func, args, kwargs)
        if func._schema.is_mutable:
            self._keep(func, args, kwargs)
        out = func(*args, **kwargs)
        for tensor in _tensors(out):
            self._made[tensor] = True
        return out

    def _note(self, func: Any, args: Any, kwargs: Any) -> None:
        self._contents: list[str] = []
        text = f"{func}{self._described(args)}{self._described(kwargs)}"
        place, step = len(self.stream), (text, ",".join(self._contents))
        self.stream.append(step)
        if self.before is None or self.differs_at is not None:
            return
        if place >= len(self.before) or self.before[place][0] != text:
            self.differs_at = user_line()
        elif self.before[place] != step and self.other_values_at is None:
            self.other_values_at = user_line()

    def _described(self, value: Any) -> str:
        if isinstance(value, torch.Tensor):
            if value not in self._made:
                self._contents.append(self._content(value))
            return "t"
        if isinstance(value, list | tuple):
            return f"[{','.join(self._described(part) for part in value)}]"
        if isinstance(value, dict):
            return f"{{{','.join(f'{key}={self._described(part)}' for key, part in value.items())}}}"
        plain = value is None or isinstance(value, bool | int | float | complex | str | torch.dtype)
        return repr(value) if plain else type(value).__name__  # the others name addresses

    def _content(self, tensor: torch.Tensor) -> str:
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or not tensor.numel():
            return f"{tensor.dtype}{list(tensor.shape)}"
        with torch.utils._python_dispatch._disable_current_modes():
            raw = raw_bytes(tensor.detach())[:_HASHED]
            return blake3(raw.numpy().data).hexdigest()[:16]

    def _keep(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copy what is written to, unless it was made here, before it is written to."""
        for argument, value in _paired(func._schema, args, kwargs):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            for tensor in _tensors(value):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._kept:
                    self._kept[storage._cdata] = (storage, copy.deepcopy(storage))

    def write_back(self) -> None:
        for storage, content in self._kept.values():
            if storage.nbytes() == content.nbytes():
                storage.copy_(content)


def _paired(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    for position, argument in enumerate(schema.arguments):
        if position < len(args):
            yield argument, args[position]
        elif argument.name in kwargs:
            yield argument, kwargs[argument.name]


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


@dataclass(frozen=True)
class Repeated:
    """Results of two runs on the same inputs.

    Attributes:
        another_way: the user's line where the second run took another operation or number; None: nowhere.
        other_values: where a tensor from outside had other values; that may be rounding.
    """

    first: list[torch.Tensor]
    second: list[torch.Tensor]
    another_way: SourceLine | None
    other_values: SourceLine | None


class Reference:
    """Runs one function again and again on inputs with values.

    Args:
        function: from flat inputs to flat outputs.
        random: what stands for random operations, beside torch's own rules for them.
        within: what each run happens in.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[torch.Tensor]],
        random: Mapping[Any, Callable[..., Any]],
        within: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._function, self._within = function, within
        self._table = {**_random_operations(), **random}

    def run(self, flat: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The function's results, in memory of their own. Raises whatever the function does."""
        return self._run(flat)[0]

    def repeated(self, flat: Sequence[torch.Tensor]) -> Repeated:
        """As :meth:`run`, twice."""
        results, first = self._run(flat)
        again, second = self._run(flat, first.stream)
        shorter = len(second.stream) < len(first.stream)
        another_way = second.differs_at or (SourceLine("", 0) if shorter else None)
        return Repeated(results, again, another_way, second.other_values_at)

    def _run(
        self, flat: Sequence[torch.Tensor], before: list[_Step] | None = None
    ) -> tuple[list[torch.Tensor], _Real]:
        mode = _Real(self._table, flat)
        mode.before = before
        try:
            with warnings.catch_warnings(), self._within(), _Assignments(), mode:
                warnings.simplefilter("ignore")  # said of the author's own inputs, or not at all
                results = self._function(*flat)
            return [result.detach().clone() for result in results], mode
        finally:
            mode.write_back()
