"""One tensor of a tensor file to be, read row range by row range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.datasets import Column
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.files import OpenFile
from syft_ext.tensors import DTYPES

__all__ = [
    "NUMPY",
    "Part",
    "array_part",
    "code_of_dtype",
    "codes",
    "metadata_of",
    "raw_part",
]

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
#: numpy's kind and size → the narrowest number of the format that holds all its values.
_CODES = {
    "f8": "F64",
    "f4": "F32",
    "f2": "F16",
    "i8": "I64",
    "i4": "I32",
    "i2": "I16",
    "i1": "I8",
    "u1": "U8",
    "u2": "I32",
    "u4": "I64",
    "b1": "BOOL",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Attributes:
    dtype: as in the format ("F32"). shape: the first dimension counts rows; empty for a single number.
    rows: rows ``first`` to ``stop`` (exclusive) as numbers of that type; of a single number, row 0.
    metadata: what its owner says of it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: Rows
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in a tensor file."""
        return math.prod(self.shape) * DTYPES[self.dtype][1]

    def pieces(self, start: int = 0) -> Iterator[memoryview]:
        """The bytes from ``start`` on, about a megabyte at a time (one row, where that is more)."""
        if start >= self.nbytes:
            return
        count = self.shape[0] if self.shape else 1
        width = self.nbytes // count
        step = max(1, BLOCK // width)
        first, skip = divmod(start, width)
        for row in range(first, count, step):
            values = self.rows(row, min(row + step, count))
            raw = np.ascontiguousarray(values, dtype=NUMPY[self.dtype]).reshape(-1).view(np.uint8)
            if len(raw) != (min(row + step, count) - row) * width:
                raise BadRequest(f"{self.name or 'data'}: rows {row} and following have another shape")
            yield raw.data[skip:]
            skip = 0

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
            raise BadRequest(f"schema of {self.name or unnamed}: {error}") from error

    def without_rows(self) -> Part:
        """The same form with no rows: for what may be known of data that may not."""
        if not self.shape:
            return self
        return replace(self, shape=(0, *self.shape[1:]), rows=lambda first, stop: np.empty(0))


def metadata_of(metadata: ColumnMetadata, name: str) -> Mapping[str, Any]:
    """What its owner says of the column; empty where nothing is said."""
    return metadata.get(name, {})


def code_of_dtype(dtype: np.dtype[Any], name: str) -> str:
    """The format's type for numpy's; raises :class:`BadRequest` for what are no numbers that it holds."""
    code = _CODES.get(f"{dtype.kind}{dtype.itemsize}")
    if code is None:
        raise BadRequest(f"{name}: {dtype} is not numbers that can be kept; encode it as numbers first")
    return code


def array_part(name: str, array: Any, metadata: Mapping[str, Any], where: str) -> Part:
    """A part of whatever has ``dtype``, ``shape`` and slices as a numpy array has (a memory map, too)."""
    if array.dtype.kind in "OUST" and metadata.get("categories"):
        values = array.reshape(-1) if array.ndim != 1 else array
        return Part(
            name,
            "I64",
            (len(values),),
            lambda i, j: codes(values[i:j].tolist(), metadata["categories"], where, i),
            metadata,
        )
    if array.dtype.kind == "O":  # pandas' nullable numbers
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise BadRequest(f"{where}: {NOT_NUMBERS}") from None
    if array.dtype.kind in "UST":
        raise BadRequest(f"{where}: {NOT_NUMBERS}")
    code = code_of_dtype(array.dtype, where)
    flat = array.reshape(1) if array.ndim == 0 else array
    return Part(name, code, tuple(array.shape), lambda i, j: flat[i:j], metadata)


def raw_part(
    name: str,
    file: OpenFile,
    offset: int,
    stored: np.dtype[Any],
    shape: tuple[int, ...],
    metadata: Mapping[str, Any],
    code: str,
) -> Part:
    """A part that lies in a file, row after row, as numbers of the type ``stored``."""
    width = math.prod(shape[1:])

    def rows(first: int, stop: int) -> NDArray[Any]:
        count = (stop - first) * width * stored.itemsize
        data = file.read(count, offset + first * width * stored.itemsize, name or "data")
        return np.frombuffer(data, dtype=stored)

    return Part(name, code, shape, rows, metadata)


NOT_NUMBERS = (
    "not numbers; encode it as numbers first, or name the column's categories in the schema "
    '({"categories": ["first", "second", …]})'
)


def codes(values: Sequence[Any], categories: Sequence[str], where: str, first: int = 0) -> NDArray[np.int64]:
    """The places of texts among the named categories; what is missing is the category "", if there is one.

    ``first``: the number of the first row, for the error that names one.
    """
    places = {str(name): place for place, name in enumerate(categories)}
    if len(places) != len(categories):
        raise BadRequest(f"{where}: a category is named twice")
    try:
        return np.fromiter((places[_text(value)] for value in values), dtype=np.int64, count=len(values))
    except KeyError as error:
        row = next(i for i, value in enumerate(values) if _text(value) not in places)
        raise BadRequest(
            f"{where}, row {first + row + 1}: {str(error.args[0])[:80]!r} is not among its categories"
        ) from None


def _text(value: Any) -> str:
    missing = value is None or isinstance(value, float) or type(value).__name__ == "NAType"  # NaN, pandas' NA
    return "" if missing else str(value)
