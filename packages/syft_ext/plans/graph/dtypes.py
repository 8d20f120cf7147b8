"""The tensor types a plan may use, by the short names that stand in its bytes."""

from __future__ import annotations

import torch

__all__ = ["DTYPES", "dtype_name"]

DTYPES: dict[str, torch.dtype] = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u8": torch.uint8,
    "b": torch.bool,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(dtype: torch.dtype) -> str | None:
    """The short name of ``dtype``, or None if a plan cannot hold it."""
    return _NAMES.get(dtype)
