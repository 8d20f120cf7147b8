"""The tensor types of a plan in ONNX, and torch's rule of which type two operands have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx

__all__ = [
    "FLOATS",
    "INTEGERS",
    "NUMPY",
    "ONNX",
    "Number",
    "Operand",
    "Shape",
    "Value",
    "common",
    "default_of",
]

Shape: TypeAlias = tuple[int, ...]
Number: TypeAlias = bool | int | float

ONNX: dict[str, int] = {
    "f64": onnx.TensorProto.DOUBLE,
    "f32": onnx.TensorProto.FLOAT,
    "i64": onnx.TensorProto.INT64,
    "i32": onnx.TensorProto.INT32,
    "i16": onnx.TensorProto.INT16,
    "i8": onnx.TensorProto.INT8,
    "u8": onnx.TensorProto.UINT8,
    "b": onnx.TensorProto.BOOL,
}
"""f16 and bf16 are not among them: torch computes those in single precision, and ONNX does not say how."""

NUMPY: dict[str, np.dtype[Any]] = {
    "f64": np.dtype("<f8"),
    "f32": np.dtype("<f4"),
    "i64": np.dtype("<i8"),
    "i32": np.dtype("<i4"),
    "i16": np.dtype("<i2"),
    "i8": np.dtype("i1"),
    "u8": np.dtype("u1"),
    "b": np.dtype("?"),
}

FLOATS = ("f32", "f64")
INTEGERS = ("u8", "i8", "i16", "i32", "i64")
_ORDER = ("b", *INTEGERS, *FLOATS)


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the graph: its name there, type and sizes.

    Attributes:
        bounds: every element is in [first, second), whatever the plan's inputs hold; None: not known.
    """

    name: str
    dtype: str
    shape: Shape
    bounds: tuple[int, int] | None = None

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def floating(self) -> bool:
        """Whether its elements are fractions."""
        return self.dtype in FLOATS

    @property
    def size(self) -> int:
        """How many elements it has."""
        count = 1
        for each in self.shape:
            count *= each
        return count


Operand: TypeAlias = Value | Number


def default_of(number: Number) -> str:
    """The type of a number that stands alone."""
    if isinstance(number, bool):
        return "b"
    return "i64" if isinstance(number, int) else "f32"


def _promoted(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    if {one, other} == {"u8", "i8"}:
        return "i16"
    return max(one, other, key=_ORDER.index)


def _combined(higher: str | None, lower: str | None) -> str | None:
    if higher in FLOATS:
        return higher
    if higher is None or higher == "b" or lower in FLOATS:
        return _promoted(higher, lower)
    return higher


def common(*operands: Operand) -> str:
    """The type in which torch computes on these: of tensors with dimensions first, then of those without,
    then of plain numbers, where a later one counts only if it is of a higher kind (torch.result_type)."""

    def of(found: Iterable[str]) -> str | None:
        result: str | None = None
        for dtype in found:
            result = _promoted(result, dtype)
        return result

    tensors = [each for each in operands if isinstance(each, Value)]
    numbers = [each for each in operands if not isinstance(each, Value)]
    found = _combined(
        of(each.dtype for each in tensors if each.rank),
        _combined(of(each.dtype for each in tensors if not each.rank), of(map(default_of, numbers))),
    )
    assert found is not None  # an operation has operands
    return found
