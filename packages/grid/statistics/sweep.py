"""One reading of a table, in which everything that was asked is computed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from grid.concurrency.offload import offload
from grid.statistics.columns import Column, Table, check_kind, table_of
from grid.statistics.groups import Groups
from grid.statistics.moments import Codes
from grid.statistics.reading import Doubles, stretches
from grid.storage.blobs.interface import BlobStore
from syft_ext.tensors import header_size, read_layout

__all__ = ["ColumnWork", "Opened", "Sink", "sweep"]


class Sink(Protocol):
    """Takes in stretches of a column's values without NaN, and the group of each."""

    def add(self, values: Doubles, codes: Codes | None) -> None:
        """``codes`` is None where there is one group only."""


@dataclass(slots=True)
class ColumnWork:
    """What is computed of one column.

    Attributes:
        missing: how many values of each group were NaN.
    """

    column: Column
    groups: int
    sinks: list[Sink] = field(default_factory=list)
    missing: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.missing = np.zeros(self.groups, dtype=np.int64)

    def add(self, raw: NDArray[Any], codes: Codes | None) -> None:
        """Take in a stretch as it was read: count NaN, and hand the rest to the sinks as doubles."""
        values = raw.astype(np.float64, copy=False)
        if raw.dtype.kind == "f" and (lost := np.isnan(values)).any():
            kept = ~lost
            if codes is None:
                self.missing[0] += np.count_nonzero(lost)
            else:
                self.missing += np.bincount(codes[lost], minlength=self.groups)
                codes = codes[kept]
            values = values[kept]
        for sink in self.sinks:
            sink.add(values, codes)


class Opened:
    """An open table. Deleting the object does not cut a reading off."""

    def __init__(self, blobs: BlobStore, digest: str, kind: str) -> None:
        check_kind(kind)
        with blobs.open(digest) as reader:
            self._file = reader.file()
        try:
            head = header_size(os.pread(self.descriptor, 8, 0))
            self.table: Table = table_of(read_layout(os.pread(self.descriptor, head, 0)))
        except BaseException:
            self._file.close()
            raise

    @property
    def descriptor(self) -> int:
        """Of the local file, for reads at a position."""
        return self._file.fileno()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def sweep(
    opened: Opened,
    work: Sequence[ColumnWork],
    *,
    keys: Sequence[Column] = (),
    groups: Groups | None = None,
    together: Sequence[Column] = (),
    rows: Callable[[Sequence[NDArray[Any]]], None] | None = None,
) -> None:
    """Read the columns once, beside the event loop.

    Args:
        work: what to do with single columns.
        keys, groups: the columns that are grouped by, and what makes groups of them.
        together: columns that ``rows`` takes stretches of, all of them at once.
    """
    columns = list(dict.fromkeys([*keys, *(each.column for each in work), *together]))
    place = {column: index for index, column in enumerate(columns)}

    def read() -> None:
        for stretch in stretches(opened.descriptor, opened.table.offset, columns):
            codes = groups.codes(stretch[: len(keys)]) if groups is not None else None
            for each in work:
                each.add(stretch[place[each.column]], codes)
            if rows is not None:
                rows([stretch[place[column]] for column in together])

    if columns:
        offload(read)
