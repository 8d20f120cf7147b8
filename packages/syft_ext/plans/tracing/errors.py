"""Errors of the tracer: which line of the user's function cannot be recorded, and what to write instead."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.source_roots import PACKAGE

__all__ = [
    "SourceLine",
    "TraceError",
    "TraceWarning",
    "comes_from",
    "hint_for_op",
    "hint_of_library",
    "is_user_code",
    "line_of_traceback",
    "user_line",
]

# Frames of installed packages, of the standard library and of this package are not the user's; neither is code
# that torch generated.
_OURS = (
    str(Path(torch.__file__).parents[1]),
    str(Path(linecache.__file__).parent),
    str(PACKAGE),
    "<",
)


class TraceError(InvalidPlan):
    """The function cannot become a plan. ``extra`` has ``line``, ``file`` and ``hint`` where they are known."""

    code, title = "untraceable-plan", "The function cannot be recorded as a plan"

    def __init__(self, detail: str = "", *, hint: str = "", **extra: Any) -> None:
        if hint:
            extra["hint"] = hint
        super().__init__(detail, **extra)
        if hint:
            self.noted(f"Instead: {hint}")


class TraceWarning(UserWarning):
    """The function became a plan, and something of it is fixed in there that its author may not mean to be."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of the user's code."""

    file: str
    number: int

    def __str__(self) -> str:
        if not self.number:
            return "the function"
        text = linecache.getline(self.file, self.number).strip()
        name = "this notebook's cell" if "ipykernel_" in self.file else Path(self.file).name
        where = f"{name}, line {self.number}"
        return f"{where} ({text})" if text else where


_UNKNOWN = SourceLine("", 0)


def is_user_code(code: CodeType) -> bool:
    """Whether the code is the user's, as against torch's, Python's or ours."""
    file = code.co_filename
    return not file.startswith(_OURS) or file.startswith(("<ipython", "<stdin"))


def user_line() -> SourceLine:
    """The innermost line of user code on the stack of the caller, while a function is traced."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_user_code(frame.f_code):
            return SourceLine(frame.f_code.co_filename, frame.f_lineno)
        # Above the traced function stands the tracer: a line further up only called make_plan.
        if frame.f_code.co_name == "_call_user_function":
            break
        frame = frame.f_back
    return _UNKNOWN


#: Where a library selects by data → how it is told not to.
_LIBRARIES = {
    "/torch_geometric/utils/loop.py": "the layer with add_self_loops=False, and the loops among the edges before: "
    "edges, _ = torch_geometric.utils.add_self_loops(edges), outside the function",
    "/torch_geometric/nn/pool/": "pooling with the number of graphs said: global_mean_pool(x, batch, size=n)",
    "/torch_geometric/utils/num_nodes.py": "the number of nodes as an argument: num_nodes=x.shape[0], size=n",
}


def hint_of_library() -> str:
    """What to write instead, where the code on the stack is a library's that is known for it; else ""."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "_call_user_function":
        for place, hint in _LIBRARIES.items():
            if place in frame.f_code.co_filename:
                return hint
        frame = frame.f_back
    return ""


def comes_from(traceback: TracebackType | None, package: str) -> bool:
    """Whether the traceback ends inside the installed ``package``."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and f"/{package}/" in traceback.tb_frame.f_code.co_filename


def line_of_traceback(traceback: TracebackType | None) -> SourceLine:
    """The innermost line of user code in a traceback."""
    found, inside = _UNKNOWN, False
    while traceback is not None:
        code = traceback.tb_frame.f_code
        inside = inside or code.co_name == "_call_user_function"
        if inside and is_user_code(code):
            found = SourceLine(code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


_ALTERNATIVES: dict[str, str] = {
    "nonzero": "keep the shape fixed: multiply by the mask or use torch.where(mask, x, 0)",
    "masked_select": "keep the shape fixed: multiply by the mask or use torch.where(mask, x, 0)",
    "unique": "count with torch.nn.functional.one_hot(x, classes).sum(0)",
    "_unique2": "count with torch.nn.functional.one_hot(x, classes).sum(0)",
    "bincount": "torch.nn.functional.one_hot(x, classes).sum(0), or zeros(classes).index_add(0, x, ones)",
    "histc": "torch.bucketize(x, edges), then zeros(bins).index_add(0, index, ones)",
    "repeat_interleave": "x.unsqueeze(1).expand(-1, n).reshape(-1) with a fixed n",
    "as_strided": "slicing, reshape or permute",
    "embedding_renorm": "torch.nn.Embedding without max_norm, and F.normalize on the rows that it gives",
    "_pdist": "torch.cdist(x, x), and its entries above the diagonal",
    "polygamma": "a loss without the gradient of digamma",
    "linalg": "matrix products; decompositions are not in the op set (run them outside the plan)",
    "_linalg": "matrix products; decompositions are not in the op set (run them outside the plan)",
    "cholesky": "matrix products; decompositions are not in the op set (run them outside the plan)",
    "_fft": "a product with a fixed DFT matrix",
    "grid_sampler": "slicing, or average pooling to resample",
    "upsample": "for whole factors, unsqueeze, expand and reshape",
    "_ctc_loss": "cross_entropy on aligned targets",
    "mode": "torch.nn.functional.one_hot(x, classes).sum(0).argmax()",
    "multinomial": "compare torch.rand_like(p) with cumulative sums",
    "_local_scalar_dense": "keep it a tensor: torch.where(condition, a, b) instead of if, no .item()",
}


def hint_for_op(name: str) -> str:
    """The nearest alternative to an operation that is outside the op set (``aten.nonzero.default``)."""
    packet = name.split(".")[1] if "." in name else name
    for prefix, alternative in _ALTERNATIVES.items():
        if packet.startswith(prefix):
            return alternative
    near = _nearest(packet)
    return f"one of {near}" if near else "operations of the op set (syft_ext.plans.graph.ops.ALLOWED)"


def _nearest(packet: str) -> str:
    from difflib import get_close_matches

    from syft_ext.plans.graph.ops import ALLOWED

    packets = sorted({name.split(".")[1] for name in ALLOWED})
    return ", ".join(get_close_matches(packet, packets, n=3, cutoff=0.5))
