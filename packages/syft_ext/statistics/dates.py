"""Numbers of columns that hold moments, as people read them: a date, or a length of time.

Such a column counts a unit since 1970 (docs/import.md); in values and pandas its statistics are counts, too.
"""

from __future__ import annotations

import datetime
import math

from syft_ext.sources.rule.times import PARTS, part_of

__all__ = ["date_text", "duration_text"]

_SINCE = " since 1970-01-01"
_MOMENTS = frozenset({"mean", "min", "max", "quantile"})
_EPOCH = datetime.datetime(1970, 1, 1)
_LENGTHS = (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


def date_text(statistic: str, number: float | None, unit: str) -> str | None:
    """A mean, quantile or bound as a date, a standard deviation as a length; None for what is neither.

    Args:
        unit: of the column, as its schema has it: "µs since 1970-01-01 00:00 UTC".
    """
    part = part_of(unit) if _SINCE in unit else None
    if part is None or number is None or not math.isfinite(number):
        return None
    if statistic == "std":
        return duration_text(number, unit)
    if statistic not in _MOMENTS:
        return None
    try:
        moment = _EPOCH + datetime.timedelta(seconds=number * PARTS[part] / 1e9)
    except OverflowError:  # beyond the years that a calendar has
        return None
    zone = " UTC" if unit.endswith(" UTC") else ""
    return moment.date().isoformat() if part == "d" else f"{moment:%Y-%m-%d %H:%M:%S}{zone}"


def duration_text(number: float, unit: str) -> str:
    """So many of a unit of time, in the largest of which there is one: ``86.2 d``."""
    seconds = number * PARTS[part_of(unit) or "µs"] / 1e9
    name, size = next((each for each in _LENGTHS if abs(seconds) >= each[1]), _LENGTHS[-1])
    return f"{seconds / size:.3g} {name}"
