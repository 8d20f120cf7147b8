"""Mocks from the form of the data: the right types and shapes, made-up numbers."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.catalogue.forms import Form
from syft_ext.messages.datasets import Column
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import NUMPY, Part
from syft_ext.tensors import TensorSpec

__all__ = ["mock_content"]

_SMALL = 10  # whole numbers without bounds lie below
_ROUGH = {"F16": np.float64, "F32": np.float64, "F64": np.float64, "BF16": np.float32}

Range = tuple[float, float]


def mock_content(
    kind: str, form: Form, columns: Sequence[Column], ranges: Mapping[str, Range], rows: int, seed: int
) -> PartsContent:
    """A content of ``kind`` and ``form``, with ``rows`` entries.

    Args:
        columns: of the schema, as far as it is published: bounds and categories are taken from it.
        ranges: by column, smallest and largest value, where these are published.
        seed: the same seed gives the same numbers.
    """
    described = {column.name: column for column in columns}
    only = columns[0] if len(columns) == 1 and len(form.specs) == 1 else None
    parts = []
    for spec in form.specs:
        column = described.get(spec.name) or only
        bounds, whole = _bounds(column, ranges), column is not None and bool(column.categories)
        seeds = np.random.SeedSequence([seed, zlib.crc32(spec.name.encode())])
        parts.append(_part(spec, bounds, rows, seeds, whole=whole))
    return PartsContent(kind, parts)


def _bounds(column: Column | None, ranges: Mapping[str, Range]) -> Range | None:
    if column is None:
        return None
    if column.categories:
        return (0, len(column.categories) - 1)
    if column.low is not None and column.high is not None:
        return (column.low, column.high)
    return ranges.get(column.name)


def _part(
    spec: TensorSpec, bounds: Range | None, rows: int, seed: np.random.SeedSequence, *, whole: bool
) -> Part:
    """``whole``: places of categories, which a column with gaps keeps as floats."""
    shape = (rows, *spec.shape[1:]) if spec.shape else ()

    def values(first: int, stop: int) -> NDArray[Any]:
        # A generator per stretch, so that a stretch is the same whenever it is asked for.
        random = np.random.default_rng([*seed.generate_state(2), first])
        kept = "I64" if whole and spec.dtype in _ROUGH and spec.dtype != "BF16" else spec.dtype
        return _numbers(kept, bounds, random, (stop - first, *shape[1:]))

    return Part(spec.name, spec.dtype, shape, values)


def _numbers(
    dtype: str, bounds: Range | None, random: np.random.Generator, shape: tuple[int, ...]
) -> NDArray[Any]:
    if dtype == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if dtype in _ROUGH:
        drawn = random.standard_normal(shape) if bounds is None else random.uniform(*bounds, shape)
        if dtype == "BF16":  # the upper half of a float32
            return (drawn.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return drawn.astype(NUMPY[dtype])
    limits = np.iinfo(NUMPY[dtype])
    low, high = (0, 255 if dtype == "U8" else _SMALL - 1) if bounds is None else bounds
    low, high = max(int(np.ceil(low)), limits.min), min(int(np.floor(high)), limits.max)
    return random.integers(low, max(low, high), shape, endpoint=True, dtype=NUMPY[dtype])
