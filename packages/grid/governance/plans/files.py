"""Tensor files on one side, a plan's raw tensors on the other; no torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from syft_ext.errors import BadRequest, InvalidTensors
from syft_ext.tensors import Layout, TensorSpec

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["dtype_of", "find_tensor", "raw_of", "tensor_file"]


def dtype_of(code: str) -> str:
    """A tensor file's dtype ("F32") as plans write it."""
    return "b" if code == "BOOL" else code.lower()


def _code(dtype: str) -> str:
    return "BOOL" if dtype == "b" else dtype.upper()


def find_tensor(layout: Layout, name: str) -> TensorSpec:
    """The tensor of that name; "" is the only one. Raises :class:`BadRequest` where there is none such."""
    if not name and len(layout.specs) == 1:
        return layout.specs[0]
    for spec in layout.specs:
        if spec.name == name:
            return spec
    raise BadRequest(f"it has no tensor {name[:80]!r}" if name else "it has several tensors: name one")


def raw_of(content: memoryview, layout: Layout, spec: TensorSpec) -> Raw:
    """One tensor of a file, as a view on it."""
    data = np.frombuffer(content[layout.data_offset :], np.uint8)[spec.start : spec.stop]
    if spec.dtype == "BOOL" and data.size and data.max() > 1:
        raise InvalidTensors("a bool that is neither 0 nor 1")
    return dtype_of(spec.dtype), spec.shape, data


def tensor_file(tensors: Sequence[tuple[str, Raw]]) -> bytes:
    """A tensor file (:mod:`syft_ext.tensors`) with these names, in this order."""
    header, offset = {}, 0
    for name, (dtype, shape, raw) in tensors:
        span = [offset, offset + raw.nbytes]
        header[name] = {"dtype": _code(dtype), "shape": list(shape), "data_offsets": span}
        offset += raw.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(raw.tobytes() for _, (_, _, raw) in tensors)])
