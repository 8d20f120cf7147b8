"""The operations whose result has no element that their first operand has not: its bounds are the operand's."""

from __future__ import annotations

__all__ = ["KEEPING"]

_KEEPING = """
reshape.default permute.default transpose.int t.default unsqueeze.default squeeze.dim squeeze.dims expand.default
slice.Tensor select.int flip.default repeat.default clone.default diagonal.default
"""
KEEPING = frozenset("aten." + name for name in _KEEPING.split())
