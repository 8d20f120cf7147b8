"""A tensor file that is written column by column in any order, in an unnamed file on disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import TooLarge, Unavailable
from syft_ext.sources.content import PartsContent
from syft_ext.sources.files import OpenFile
from syft_ext.sources.parts import NUMPY, Part, raw_part
from syft_ext.tensors import DTYPES

__all__ = ["PlannedColumn", "Spool"]


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """A column that will be written; ``width``: numbers of one row."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    metadata: Mapping[str, Any] | None = None
    found: Mapping[str, Any] | None = None

    @property
    def width(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * DTYPES[self.dtype][1]


class Spool:
    """Room for ``rows`` rows of these columns.

    Args:
        directory: on a real disk: /tmp may be memory. None: in memory.

    Raises :class:`Unavailable` when the disk has no room, :class:`TooLarge` when the file system (or the limit of
    this process) takes no such file.
    """

    def __init__(self, columns: Sequence[PlannedColumn], rows: int, directory: Path | None) -> None:
        self._file = OpenFile.unnamed(directory)
        self.columns, self._rows = list(columns), rows
        self._offsets, size = [], 0
        for column in columns:
            self._offsets.append(size)
            size += column.width * rows
        if size:
            try:
                os.posix_fallocate(self._file.fd, 0, size)
            except OSError as error:
                if error.errno == errno.EFBIG:
                    raise TooLarge("the table is larger than it may be here", bytes=size) from error
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise Unavailable("the disk has no room to convert this", bytes=size) from error
                raise

    def write(self, index: int, first: int, values: NDArray[Any]) -> None:
        """Rows of column ``index`` from row ``first`` on."""
        column = self.columns[index]
        data = np.ascontiguousarray(values, dtype=NUMPY[column.dtype]).reshape(-1).view(np.uint8).data
        self._file.write(data, self._offsets[index] + first * column.width)

    def content(self, name: str, notes: Sequence[str] = ()) -> PartsContent:
        """What was written, to be read."""
        return PartsContent("tensors", [self._part(index) for index in range(len(self.columns))], name, notes)

    def _part(self, index: int) -> Part:
        column = self.columns[index]
        return raw_part(
            column.name,
            self._file,
            self._offsets[index],
            np.dtype(NUMPY[column.dtype]),
            (self._rows, *column.shape),
            column.metadata or {},
            column.dtype,
            column.found or {},
        )
