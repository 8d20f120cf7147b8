"""The next state and the next model as tensor files: in pieces, checked, and never with a number that is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import BLOCK, all_finite, first_beyond, is_whole, narrow, wide_dtype, widen
from grid.aggregation.strategies.interface import Entry, Strategy, WriteNumbers, subtraction
from grid.aggregation.tensor_file import Run, TensorFile, elements
from syft_ext.errors import BadRequest, Unsupported
from syft_ext.tensors import DTYPES, Layout, read_layout, tensor_header

__all__ = ["WRITE", "NotFinite", "check_state", "fill_model", "model_pieces", "state_layout", "state_pieces"]


class NotFinite(BadRequest):
    """What the reports make is not finite."""


WRITE = 4 * BLOCK
"""Elements that are computed and written at a time (4 MB of float32)."""


def model_pieces(
    base: TensorFile, runs: Sequence[Run], write: WriteNumbers, aggregate: Aggregate | None = None
) -> Iterator[memoryview]:
    """The file of the next model; a piece is valid until the next one is asked for.

    Args:
        runs: the stretches of the model's data that ``write`` speaks of, in order: those of the aggregate.
        aggregate: what becomes of all that is no parameter, whatever the strategy does (:class:`_Rest`); None:
            ``write`` is asked.

    Raises :class:`NotFinite` when a number of it is not finite.
    """
    rest = None if aggregate is None else _Rest(base, aggregate)
    yield base.view[: base.layout.data_offset]
    for index, run in enumerate(runs):
        dtype, first, last = run
        count = (last - first) // DTYPES[dtype][1]
        room = np.empty(min(WRITE, count), wide_dtype(dtype))
        for start in range(0, count, WRITE):
            stop = min(start + WRITE, count)
            raw = None if rest is None else rest.made(index, start, stop)
            if raw is None:
                with np.errstate(all="ignore"):
                    write(index, start, stop, room[: stop - start])
                raw = np.ascontiguousarray(narrow(room[: stop - start], dtype)).view(np.uint8)
            base.release(run, start, stop)
            _check_model(raw, base, run, start)
            yield raw.data


def fill_model(
    content: memoryview,
    base: TensorFile,
    runs: Sequence[Run],
    write: WriteNumbers,
    aggregate: Aggregate | None = None,
) -> None:
    """Write the file of the next model into ``content``: computed where it stays, if its dtype allows.

    Arguments and errors as those of :func:`model_pieces`.
    """
    offset, rest = base.layout.data_offset, None if aggregate is None else _Rest(base, aggregate)
    content[:offset] = base.view[:offset]
    for index, run in enumerate(runs):
        dtype, first, last = run
        raw = np.frombuffer(content[offset + first : offset + last], np.uint8)
        made = None if rest is None else rest.made(index, 0, elements(run))
        if made is not None:
            raw[:] = made
            _check_model(raw, base, run, 0)
            continue
        target = widen(raw, dtype)  # which is a view where sums have the same dtype
        with np.errstate(all="ignore"):
            write(index, 0, len(target), target)
        if not np.shares_memory(target, raw):
            raw[:] = narrow(target, dtype).view(np.uint8)
        _check_model(raw, base, run, 0)


class _Rest:
    """The next model's numbers that are no parameters: no strategy moves them otherwise."""

    def __init__(self, base: TensorFile, aggregate: Aggregate) -> None:
        self._base, self._aggregate, self._plain = base, aggregate, subtraction(base, aggregate)

    def made(self, index: int, start: int, stop: int) -> NDArray[Any] | None:
        """The bytes of these numbers of a stretch of the aggregate; None where they are parameters."""
        run = self._aggregate.runs[index]
        kind = self._base.kind(run)
        if kind == "parameter":
            return None
        if kind == "constant":
            return self._base.bytes_of(run, start, stop)
        if is_whole(run[0]):
            return self._whole(index, run, start, stop)
        room = np.empty(stop - start, wide_dtype(run[0]))
        with np.errstate(all="ignore"):
            self._plain(index, start, stop, room)
        if kind == "variance":
            np.maximum(room, 0, out=room)  # the mean of variances is one; what is below is rounding
        elif kind == "counter":
            np.rint(room, out=room)
        return np.ascontiguousarray(narrow(room, run[0])).view(np.uint8)

    def _whole(self, index: int, run: Run, start: int, stop: int) -> NDArray[Any]:
        before = self._base.integers(run, start, stop)
        found = self._aggregate.next_whole(run)
        if found is not None:
            return found[start:stop].astype(before.dtype).view(np.uint8)
        # An aggregator that has no exact mean says a difference. What does not move stays exactly as it is.
        with np.errstate(all="ignore"):
            step = np.rint(self._aggregate.values[index][start:stop] * self._aggregate.scale)
        moved = narrow(before.astype(np.float64) - step, run[0])
        return np.where(step == 0, before, moved).view(np.uint8)


def _check_model(raw: NDArray[Any], base: TensorFile, run: Run, start: int) -> None:
    if not all_finite(raw, run[0]):
        index = first_beyond(raw, run[0], np.finfo(wide_dtype(run[0])).max) or 0
        tensor = base.name_at(run[1] + (start + index) * DTYPES[run[0]][1])
        raise NotFinite(
            f"the averaged model is not finite: the reports make {tensor[:80]!r} overflow",
            tensor=tensor[:200],
        )


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

    Raises :class:`NotFinite` when a number of it is not finite, and :class:`Unsupported` when the strategy makes
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
            raise NotFinite("the strategy's state is not finite: the reports make it overflow")
        left -= piece.nbytes
        if left < 0:
            break
        yield np.ascontiguousarray(piece).reshape(-1).view(np.uint8).data
    if left:
        raise Unsupported(f"the strategy {strategy.name} makes a state of another size than it declares")
