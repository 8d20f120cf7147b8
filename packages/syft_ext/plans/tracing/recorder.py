"""Watches the user's function while it is traced: names the line, refuses what would be recorded wrongly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from syft_ext.plans.tracing.errors import SourceLine, TraceError, hint_for_op, user_line

__all__ = ["Recorder"]

_VALUE = (
    "keep it a tensor: torch.where(condition, a, b) for a choice, no if, while, int(), float() or .item() on "
    "tensors; a number that never changes belongs outside the function"
)
_MASK = "keep the shape fixed: torch.where(mask, x, 0), or multiply by mask.to(x.dtype)"
_REFUSED: dict[Any, tuple[str, str]] = {
    torch.Tensor.item: ("needs a value that exists only when the plan runs", _VALUE),
    torch.Tensor.tolist: ("needs values that exist only when the plan runs", _VALUE),
    torch.Tensor.__bool__: ("decides on a value that exists only when the plan runs", _VALUE),
    torch.Tensor.__int__: ("needs a value that exists only when the plan runs", _VALUE),
    torch.Tensor.__float__: ("needs a value that exists only when the plan runs", _VALUE),
    torch.Tensor.__index__: ("needs a value that exists only when the plan runs", _VALUE),
    torch.Tensor.numpy: ("leaves torch for numpy", "the torch function of the same name"),
    torch.Tensor.__array__: ("leaves torch for numpy", "the torch function of the same name"),
    torch.Tensor.nonzero: ("has a result whose size depends on data", _MASK),
    torch.nonzero: ("has a result whose size depends on data", _MASK),
    torch.Tensor.masked_select: ("has a result whose size depends on data", _MASK),
    torch.masked_select: ("has a result whose size depends on data", _MASK),
    torch.unique: ("has a result whose size depends on data", hint_for_op("aten.unique.default")),
    torch.Tensor.unique: ("has a result whose size depends on data", hint_for_op("aten.unique.default")),
    torch.bincount: ("has a result whose size depends on data", hint_for_op("aten.bincount.default")),
    torch.Tensor.bincount: ("has a result whose size depends on data", hint_for_op("aten.bincount.default")),
}
_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]  # a getset descriptor
_INDEXING = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)


class _Functions(TorchFunctionMode):
    """Sees the calls as the user wrote them."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _REFUSED and not _is_constant(args[0]):
            what, hint = _REFUSED[func]
            raise _refusal(what, hint)
        if func in _INDEXING and func is torch.Tensor.__getitem__ and _has_mask(args[1]):
            raise _refusal("selects with a boolean mask: the size of the result depends on data", _MASK)
        if func == _SET_DATA:
            # The recorder follows tensors, not their storage: replacing .data would go unseen.
            target, source = args
            with torch.no_grad():
                return target.copy_(source)
        return func(*args, **kwargs)


def _is_constant(tensor: Any) -> bool:
    """Made inside the function from plain numbers: its values are known while tracing."""
    return getattr(tensor, "constant", None) is not None


def _refusal(what: str, hint: str) -> TraceError:
    line = user_line()
    return TraceError(f"{line} {what}", hint=hint, file=line.file, line=line.number)


def _has_mask(index: Any) -> bool:
    if isinstance(index, tuple | list):
        return any(_has_mask(part) for part in index)
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) and index.dim() > 0


class _Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the line of every operation, for errors that only show in the finished graph."""

    def __init__(self, lines: dict[str, SourceLine]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines = lines

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = str(func).split(".")[1]
        if packet == "_local_scalar_dense" and not _is_constant(args[0]):
            raise _refusal("needs a value that exists only when the plan runs", _VALUE)
        if packet not in self.lines:
            self.lines[packet] = user_line()
        return func(*args, **(kwargs or {}))


class Recorder:
    """What one trace saw of the user's function."""

    def __init__(self) -> None:
        self.lines: dict[str, SourceLine] = {}

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While the user's function runs."""
        with _Functions(), _Dispatch(self.lines):
            yield

    def line_of(self, op: str) -> str:
        """The first line that used the operation (``aten.nonzero.default``), or a phrase."""
        packet = op.split(".")[1] if "." in op else op
        return str(self.lines.get(packet, "the function"))
