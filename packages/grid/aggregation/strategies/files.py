"""The next state and the next model as tensor files: in pieces, checked, and never with a number that is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import BLOCK, all_finite, narrow, wide_dtype, widen
from grid.aggregation.strategies.interface import Entry, Strategy, WriteNumbers
from grid.aggregation.tensor_file import Run, TensorFile
from syft_ext.errors import BadRequest, Unsupported
from syft_ext.tensors import DTYPES, Layout, read_layout, tensor_header

__all__ = ["WRITE", "check_state", "fill_model", "model_pieces", "state_layout", "state_pieces"]

WRITE = 4 * BLOCK
"""Elements that are computed and written at a time (4 MB of float32)."""


def model_pieces(base: TensorFile, runs: Sequence[Run], write: WriteNumbers) -> Iterator[memoryview]:
    """The file of the next model; a piece is valid until the next one is asked for.

    Args:
        runs: the stretches of the model's data that ``write`` speaks of, in order: those of the aggregate.

    Raises :class:`BadRequest` when a number of it is not finite.
    """
    yield base.view[: base.layout.data_offset]
    for index, run in enumerate(runs):
        dtype, first, last = run
        count = (last - first) // DTYPES[dtype][1]
        room = np.empty(min(WRITE, count), wide_dtype(dtype))
        for start in range(0, count, WRITE):
            stop = min(start + WRITE, count)
            with np.errstate(all="ignore"):
                write(index, start, stop, room[: stop - start])
            raw = np.ascontiguousarray(narrow(room[: stop - start], dtype)).view(np.uint8)
            base.release(run, start, stop)
            _check_model(raw, dtype)
            yield raw.data


def fill_model(content: memoryview, base: TensorFile, runs: Sequence[Run], write: WriteNumbers) -> None:
    """Write the file of the next model into ``content``: computed where it stays, if its dtype allows.

    Arguments and errors as those of :func:`model_pieces`.
    """
    offset = base.layout.data_offset
    content[:offset] = base.view[:offset]
    for index, (dtype, first, last) in enumerate(runs):
        raw = np.frombuffer(content[offset + first : offset + last], np.uint8)
        target = widen(raw, dtype)  # which is a view where sums have the same dtype
        with np.errstate(all="ignore"):
            write(index, 0, len(target), target)
        if not np.shares_memory(target, raw):
            raw[:] = narrow(target, dtype).view(np.uint8)
        _check_model(raw, dtype)


def _check_model(raw: NDArray[Any], dtype: str) -> None:
    if not all_finite(raw, dtype):
        raise BadRequest("the averaged model is not finite: the reports make it overflow")


# -- state ---------------------------------------------------------------------------------------------


def state_layout(strategy: Strategy, entries: Sequence[Entry]) -> Layout:
    """The layout of the strategy's state of these tensors."""
    return read_layout(_header(strategy, entries))


def _header(strategy: Strategy, entries: Sequence[Entry]) -> bytes:
    return tensor_header(entries, {"strategy": strategy.name})


def check_state(state: TensorFile, strategy: Strategy, entries: Sequence[Entry]) -> None:
    """Raise :class:`Unsupported` for a state that is not of these tensors: another version wrote it."""
    expected = state_layout(strategy, entries)
    if not state.layout.same_tensors(expected) or state.layout.metadata != expected.metadata:
        raise Unsupported(f"the state of the strategy {strategy.name} has other tensors than it declares now")


def state_pieces(
    strategy: Strategy,
    entries: Sequence[Entry],
    base: TensorFile,
    aggregate: Aggregate,
    state: TensorFile | None,
    parameters: Any,
) -> Iterator[memoryview]:
    """The file of the next state, with the tensors ``entries``.

    Raises :class:`BadRequest` when a number of it is not finite, and :class:`Unsupported` when the strategy makes
    something else than it declared.
    """
    yield memoryview(_header(strategy, entries))
    left = state_layout(strategy, entries).data_size
    pieces = strategy.next_state(base, aggregate, state, parameters)
    while True:
        with np.errstate(all="ignore"):
            piece = next(pieces, None)
        if piece is None:
            break
        if piece.dtype.kind == "f" and not np.isfinite(piece).all():
            raise BadRequest("the strategy's state is not finite: the reports make it overflow")
        left -= piece.nbytes
        if left < 0:
            break
        yield np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
    if left:
        raise Unsupported(f"the strategy {strategy.name} makes a state of another size than it declares")
