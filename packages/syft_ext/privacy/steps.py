"""The steps of a private tensor as data; what they mean is in :mod:`syft_ext.privacy.expressions`, which needs
numpy."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["MAX_STEPS", "Operation", "Step"]

Operation = Literal[
    "column", "ones", "stack", "add", "subtract", "multiply", "negate", "matmul", "clip", "sum"
]
MAX_STEPS = 256


class Step(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """One value, made of earlier ones.

    Attributes:
        of: positions of earlier steps.
        table: position of the table, of a "column" or "ones". column: its name.
        low, high: of a "column": narrower bounds than its owner's (None: theirs); of a "clip": its ends.
        public: numbers that everybody may know, row by row: what is added, multiplied by, or a matrix. columns:
        how
            many columns a matrix has.
    """

    op: Operation
    of: list[int] = []
    table: int = 0
    column: str = ""
    low: float | None = None
    high: float | None = None
    public: list[float] = []
    columns: int = 0
