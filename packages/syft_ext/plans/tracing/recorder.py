"""Watches the user's function while it is traced: names the line, refuses what would be recorded wrongly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from syft_ext.plans.tracing.errors import SourceLine, TraceError, hint_for_op, hint_of_library, user_line
from syft_ext.plans.tracing.gradients import Gradients
from syft_ext.plans.tracing.instead import INSTEAD

__all__ = ["Recorder", "assigned_data"]

_VALUE = (
    "keep it a tensor: torch.where(condition, a, b) for a choice, no if, while, int(), float() or .item() on "
    "tensors; a number that never changes belongs outside the function"
)
_GENERATOR = "leave generator= out: what the plan draws follows from its argument named seed"
_REAL = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
_MASK = "keep the shape fixed: torch.where(mask, x, 0), or multiply by mask.to(x.dtype)"
_DECIDES = ("checks values that exist only when the plan runs",)
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
    torch.cov: (*_DECIDES, "x = x - x.mean(1, keepdim=True), then x @ x.T / (x.shape[1] - 1)"),
    torch.corrcoef: (*_DECIDES, "x = F.normalize(x - x.mean(1, keepdim=True), dim=1), then x @ x.T"),
    F.gaussian_nll_loss: (
        *_DECIDES,
        "v = var.clamp(min=1e-6), then 0.5 * (v.log() + (mean - target) ** 2 / v).mean()",
    ),
    torch._VF._pack_padded_sequence: (
        "packs sequences, whose form depends on data",
        "the padded batch as it is, and a mask by length: (torch.arange(x.shape[1]) < lengths[:, None])",
    ),
    F.ctc_loss: ("aligns sequences, which no operation of a plan does", "cross_entropy on aligned targets"),
    torch.Tensor.bincount: ("has a result whose size depends on data", hint_for_op("aten.bincount.default")),
}
_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]  # a getset descriptor
_INDEXING = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)


class _Functions(TorchFunctionMode):
    """Sees the calls as the user wrote them."""

    def __init__(self, gradients: Gradients) -> None:
        super().__init__()
        self._gradients = gradients

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _REFUSED and not _is_constant(args[0]):
            what, hint = _REFUSED[func]
            raise _refusal(what, hint)
        if func in _INDEXING and func is torch.Tensor.__getitem__ and _has_mask(args[1]):
            raise _refusal("selects with a boolean mask: the size of the result depends on data", _MASK)
        if assigned_data(func, args):
            return args[0]
        result = INSTEAD.get(func, func)(*args, **kwargs)
        self._gradients.note(func, (args, kwargs), result)
        return result


def assigned_data(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether the call is ``tensor.data = other``; then its values are copied. The recorder follows tensors, not
    their storage: replacing that would go unseen."""
    if func != _SET_DATA:
        return False
    target, source = args
    with torch.no_grad():
        target.copy_(source)
    return True


def _is_constant(tensor: Any) -> bool:
    """Made inside the function from plain numbers: its values are known while tracing."""
    return getattr(tensor, "constant", None) is not None


def _refusal(what: str, hint: str) -> TraceError:
    line = user_line()
    return TraceError(f"{line} {what}", hint=hint_of_library() or hint, file=line.file, line=line.number)


def _has_mask(index: Any) -> bool:
    if isinstance(index, tuple | list):
        return any(_has_mask(part) for part in index)
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) and index.dim() > 0


class _Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the line of every operation, for errors that only show in the finished graph."""

    def __init__(self, lines: dict[str, SourceLine], readers: dict[int, tuple[Any, SourceLine]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines, self.readers = lines, readers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet = str(func).split(".")[1]
        if packet == "_local_scalar_dense" and not _is_constant(args[0]):
            raise _refusal("needs a value that exists only when the plan runs", _VALUE)
        if (kwargs or {}).get("generator") is not None:
            raise _refusal("draws from a generator of its own, which a plan does not have", _GENERATOR)
        if packet not in self.lines:
            self.lines[packet] = user_line()
        for tensor in pytree.tree_leaves(args):
            if type(tensor) in _REAL and id(tensor) not in self.readers:
                self.readers[id(tensor)] = (tensor, user_line())
        return func(*args, **(kwargs or {}))


class Recorder:
    """What one trace saw of the user's function."""

    def __init__(self) -> None:
        self.lines: dict[str, SourceLine] = {}
        self.gradients = Gradients()
        self.readers: dict[int, tuple[Any, SourceLine]] = {}
        """Id of a tensor with values, from outside → that tensor, and the line that first uses it."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While the user's function runs."""
        with _Functions(self.gradients), _Dispatch(self.lines, self.readers):
            yield

    def line_of_tensor(self, tensor: torch.Tensor) -> SourceLine:
        """The first line that used this tensor from outside."""
        found = self.readers.get(id(tensor))
        return found[1] if found else SourceLine("", 0)

    def line_of(self, op: str) -> str:
        """The first line that used the operation (``aten.nonzero.default``), or a phrase."""
        packet = op.split(".")[1] if "." in op else op
        in_place = self.lines.get(f"{packet}_", "the function")
        return str(self.lines.get(packet, in_place))
