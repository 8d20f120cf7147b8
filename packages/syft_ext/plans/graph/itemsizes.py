"""Bytes per element of the tensor types of a plan: for those who move tensors without torch."""

from __future__ import annotations

__all__ = ["ITEMSIZES"]

ITEMSIZES: dict[str, int] = {
    "f64": 8,
    "f32": 4,
    "f16": 2,
    "bf16": 2,
    "i64": 8,
    "i32": 4,
    "i16": 2,
    "i8": 1,
    "u8": 1,
    "b": 1,
}
