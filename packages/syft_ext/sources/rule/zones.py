"""Local times in UTC, by the zone that the owner of a table names."""

from __future__ import annotations

import datetime

import numpy as np

from syft_ext.sources.rule.cells import Cells, CellsProblem
from syft_ext.sources.rule.times import zone_named

__all__ = ["in_utc"]

_EPOCH = datetime.datetime(1970, 1, 1)
_UTC = datetime.UTC
_SECOND = 10**9


def in_utc(cells: Cells, zone: str) -> Cells:
    """Times without a zone, as those of a zone.

    Raises :class:`CellsProblem` for what that zone's clocks showed twice, or never: which one is meant is not
    guessed.
    """
    try:
        rules = zone_named(zone)
    except ValueError as error:
        raise CellsProblem(0, str(error)) from None
    counts = np.asarray(cells.values, dtype=np.int64)
    per_second = max(1, _SECOND // cells.unit)
    # The rules of zones are by the second: each second's shift is looked up once.
    seconds = counts // per_second if cells.unit < _SECOND else counts * (cells.unit // _SECOND)
    present = seconds if cells.missing is None else seconds[~cells.missing]
    unique, first = np.unique(present, return_index=True)
    shifts = np.zeros(len(unique), dtype=np.int64)
    for place, second in enumerate(unique.tolist()):
        try:
            local = _EPOCH + datetime.timedelta(seconds=second)
        except OverflowError:
            raise CellsProblem(
                _row(cells, int(first[place])), f"too far from 1970 for the zone {zone}"
            ) from None
        early, late = (local.replace(tzinfo=rules, fold=fold) for fold in (0, 1))
        shift = early.utcoffset()
        assert shift is not None
        if (
            shift != late.utcoffset()
            or early.astimezone(_UTC).astimezone(rules).replace(tzinfo=None) != local
        ):
            raise CellsProblem(
                _row(cells, int(first[place])),
                f"{local} was shown twice, or never, by the clocks of {zone}",
                "write times with their offset (+01:00)",
            )
        shifts[place] = shift // datetime.timedelta(seconds=1)
    found = np.zeros(len(counts), dtype=np.int64)
    where = slice(None) if cells.missing is None else ~cells.missing
    found[where] = shifts[np.searchsorted(unique, present)] if len(unique) else 0
    if cells.unit > _SECOND:
        return Cells("zoned time", seconds - found, cells.missing, _SECOND, cells.lines)
    return Cells("zoned time", counts - found * per_second, cells.missing, cells.unit, cells.lines)


def _row(cells: Cells, place: int) -> int:
    return place if cells.missing is None else int(np.flatnonzero(~cells.missing)[place])
