"""Tensor files checked while they stream in: a wrong one is refused before its last byte has come.

Nothing is kept in memory but the header and a few bytes between two chunks.
"""

from __future__ import annotations

import numpy as np

from grid.aggregation.numbers import all_finite, first_beyond, wide_dtype
from grid.aggregation.tensor_file import Run, read_header
from syft_ext.errors import InvalidTensors, TooLarge
from syft_ext.tensors import DTYPES, Layout, header_size

__all__ = ["TensorStream"]


class TensorStream:
    """Feed it the chunks of a tensor file; it raises as soon as something is wrong.

    Args:
        expected: names, dtypes and shapes that the file must have (the order of names may differ);
            None = any model is welcome.
        limit: bytes of the whole file.
        values: look at the numbers too; else :meth:`check` does, when the file is there.
        finite: refuse numbers that are not finite; False: nobody looks at them.
        bools: truth values are welcome, as constants: nothing is averaged of them.
    """

    def __init__(
        self,
        expected: Layout | None,
        limit: int,
        *,
        values: bool = True,
        finite: bool = True,
        bools: bool = False,
    ) -> None:
        self._bools = bools
        self._expected, self.limit = expected, limit
        self._values, self._later = values and finite, finite and not values
        self._head = bytearray()
        self._layout: Layout | None = None
        self._runs: list[Run] = []
        self._size = self._position = 0
        self._carry = b""

    def feed(self, chunk: bytes | bytearray | memoryview) -> None:
        """Check the next bytes. Raises :class:`InvalidTensors`, or :class:`TooLarge` beyond the limit."""
        view = memoryview(chunk).cast("B")
        if self._layout is None:
            view = self._read_header(view)
        if self._layout is not None and len(view):
            if self._position + len(view) > self._size:
                raise InvalidTensors(
                    f"more bytes than the {self._layout.total_size} that the header announces"
                )
            if self._values:
                self._check_values(view)
            else:
                self._position += len(view)

    def finish(self) -> Layout:
        """The layout, once the file is complete. Raises :class:`InvalidTensors` when bytes are missing."""
        if self._layout is None:
            raise InvalidTensors(f"truncated: {len(self._head)} bytes hold no header")
        if self._position != self._size:
            raise InvalidTensors(f"truncated: {self._position} of {self._size} bytes of data")
        return self._layout

    def check(self, file: memoryview) -> None:
        """Refuse NaN and infinity in the whole ``file``, once it is complete."""
        if self._later:
            assert self._layout is not None
            self._position = 0
            self._check_values(file[self._layout.data_offset :])

    def _read_header(self, view: memoryview) -> memoryview:
        """Take the header's bytes from ``view`` and return the rest."""
        for first_eight in (True, False):
            target = 8 if first_eight else header_size(bytes(self._head[:8]))
            if target > self._header_limit():
                raise TooLarge(f"a tensor header of {target} bytes", limit=self._header_limit())
            taken = min(len(view), max(target - len(self._head), 0))
            self._head += view[:taken]
            view = view[taken:]
            if len(self._head) < target:
                return view
        header = read_header(bytes(self._head))
        layout, runs = header.layout, header.runs
        if layout.total_size > self.limit:
            raise TooLarge(f"a tensor file of {layout.total_size} bytes", limit=self.limit)
        for spec in layout.specs:
            if spec.dtype == "BOOL" and not self._bools:
                raise InvalidTensors(f"tensor {spec.name[:80]!r}: a mean of bool is not defined")
        if self._expected is not None:
            _check_same(self._expected, layout)
        self._layout, self._runs, self._size = layout, runs, layout.data_size
        return view

    def _header_limit(self) -> int:
        if self._expected is None:
            return self.limit
        return 4 * self._expected.data_offset + (64 << 10)

    def _check_values(self, view: memoryview) -> None:
        """Refuse NaN and infinity. A number may lie across two chunks; its first bytes are carried over."""
        start, end = self._position, self._position + len(view)
        for dtype, first, last in self._runs:
            if last <= start or first >= end:
                continue
            piece = view[max(first - start, 0) : last - start]
            size = DTYPES[dtype][1]
            if self._carry:
                missing = size - len(self._carry)
                self._carry += bytes(piece[:missing])
                piece = piece[missing:]
                if len(self._carry) < size:
                    continue
                self._check_piece(dtype, memoryview(self._carry), max(first, start) - size + missing)
            whole = len(piece) - len(piece) % size
            self._check_piece(dtype, piece[:whole], min(last, end) - len(piece))
            self._carry = bytes(piece[whole:])
        self._position = end

    def _check_piece(self, dtype: str, piece: memoryview, place: int) -> None:
        """``place``: where it begins in the data section."""
        raw = np.frombuffer(piece, np.uint8)
        if not len(raw):
            return
        if not all_finite(raw, dtype):
            tensor = self._tensor(dtype, place, first_beyond(raw, dtype, np.finfo(wide_dtype(dtype)).max))
            raise InvalidTensors(
                f"the tensors hold values that are not finite, the first in {tensor[:80]!r}",
                tensor=tensor[:200],
            )

    def _tensor(self, dtype: str, place: int, index: int | None) -> str:
        assert self._layout is not None
        where = place + (index or 0) * DTYPES[dtype][1]
        return next((s.name for s in self._layout.specs if s.start <= where < s.stop), "")


def _check_same(expected: Layout, found: Layout) -> None:
    wanted = {s.name: (s.dtype, s.shape) for s in expected.specs}
    given = {s.name: (s.dtype, s.shape) for s in found.specs}
    constant = {
        s.name for s in expected.specs if s.kind == "constant"
    }  # nobody reads what a report says of them
    for name in given.keys() - wanted.keys():
        raise InvalidTensors(f"tensor {name[:80]!r} is not in the model")
    for name, (dtype, shape) in wanted.items():
        if name not in given:
            if name in constant:
                continue
            raise InvalidTensors(f"tensor {name[:80]!r} is missing")
        if given[name] != (dtype, shape):
            other, sizes = given[name]
            raise InvalidTensors(
                f"tensor {name[:80]!r}: {other} {list(sizes)}, the model has {dtype} {list(shape)}"
            )
