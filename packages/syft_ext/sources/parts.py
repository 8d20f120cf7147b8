"""One tensor of a tensor file to be, read row range by row range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.datasets import Column
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.files import OpenFile
from syft_ext.tensors import DTYPES

__all__ = ["NUMPY", "Part", "metadata_of", "raw_part"]

Rows = Callable[[int, int], NDArray[Any]]

BLOCK = 1 << 20
NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # numpy has no such numbers; their bytes are passed on
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Attributes:
    dtype: as in the format ("F32"). shape: the first dimension counts rows; empty for a single number.
    rows: rows ``first`` to ``stop`` (exclusive) as numbers of that type; of a single number, row 0.
    metadata: what its schema says of it beyond its form. found: what of this its values tell of themselves.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: Rows
    metadata: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in a tensor file."""
        return math.prod(self.shape) * DTYPES[self.dtype][1]

    def pieces(self, start: int = 0) -> Iterator[memoryview]:
        """The bytes from ``start`` on, about a megabyte at a time (one row, where that is more)."""
        if start >= self.nbytes:
            return
        count, step = self.shape[0] if self.shape else 1, self.step
        width = self.nbytes // count
        first, skip = divmod(start, width)
        for row in range(first, count, step):
            values = self.rows(row, min(row + step, count))
            raw = np.ascontiguousarray(values, dtype=NUMPY[self.dtype]).reshape(-1).view(np.uint8)
            if len(raw) != (min(row + step, count) - row) * width:
                raise BadRequest(f"{self.name or 'data'}: rows {row} and following have another shape")
            yield raw.data[skip:]
            skip = 0

    @property
    def step(self) -> int:
        """How many rows are read at a time."""
        count = self.shape[0] if self.shape else 1
        return max(1, BLOCK * count // max(1, self.nbytes))

    def called(self, name: str, metadata: Mapping[str, Any]) -> Part:
        """The same numbers under another name, with what is said of them."""
        return replace(self, name=name, metadata=metadata)

    def described(self, unnamed: str) -> Column:
        """Its column of a schema, called ``unnamed`` where it has no name. Raises :class:`BadRequest`."""
        try:
            return Column(
                name=self.name or unnamed,
                dtype=DTYPES[self.dtype][0],
                shape=list(self.shape[1:]),
                **self.metadata,
            )
        except (TypeError, ValueError) as error:
            known = [name for name in Column.__struct_fields__ if name not in ("name", "shape")]
            if unknown := [name for name in self.metadata if name not in known]:
                told = f"there is no {unknown[0]!r}; there are: {', '.join(known)}"
                raise BadRequest(f"schema of {self.name or unnamed}: {told}") from error
            raise BadRequest(f"schema of {self.name or unnamed}: {error}") from error

    def without_rows(self) -> Part:
        """The same form with no rows: for what may be known of data that may not."""
        if not self.shape:
            return self
        return replace(self, shape=(0, *self.shape[1:]), rows=lambda first, stop: np.empty(0))


def metadata_of(metadata: ColumnMetadata, name: str) -> Mapping[str, Any]:
    """What its owner says of the column; empty where nothing is said."""
    return metadata.get(name, {})


def raw_part(
    name: str,
    file: OpenFile,
    offset: int,
    stored: np.dtype[Any],
    shape: tuple[int, ...],
    metadata: Mapping[str, Any],
    code: str,
    found: Mapping[str, Any] = MappingProxyType({}),
) -> Part:
    """A part that lies in a file, row after row, as numbers of the type ``stored``."""
    width = math.prod(shape[1:])

    def rows(first: int, stop: int) -> NDArray[Any]:
        count = (stop - first) * width * stored.itemsize
        data = file.read(count, offset + first * width * stored.itemsize, name or "data")
        return np.frombuffer(data, dtype=stored)

    return Part(name, code, shape, rows, metadata, found)
