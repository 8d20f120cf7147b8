"""Dates and times as numbers: counts of a stated unit since 1970, in UTC where a zone is known.

The unit stands in the schema as the CF conventions write it ("µs since 1970-01-01 00:00 UTC";
https://cfconventions.org, section 4.4), so that units of two sites can be compared as text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["MICROSECONDS", "PARTS", "TimeReader", "part_of", "time_unit", "unreadable", "zone_named"]

MICROSECONDS = 1000  # nanoseconds each
DAY = 86400 * 10**9
#: What a time may be counted in → nanoseconds.
PARTS = {
    "ns": 1,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": DAY,
}
_ALIASES = {"us": "µs", "μs": "µs", "days": "d", "day": "d", "seconds": "s", "minutes": "min", "hours": "h"}
_SINCE = {
    "time": " since 1970-01-01 00:00 (no time zone)",
    "zoned time": " since 1970-01-01 00:00 UTC",
    "clock": " since midnight",
    "duration": "",
}


def part_of(unit: str) -> str | None:
    """The part ("s") that a unit of the schema counts in; µs where nothing is said, None where it is no time's."""
    word = unit.split(" since ")[0].strip() or "µs"
    word = _ALIASES.get(word, word)
    return word if word in PARTS else None


def unreadable(form: str, *, bounded: bool) -> str:
    """Why a ``format`` is none that tells a time; empty: it is one.

    Args:
        bounded: whether the schema has bounds, beyond which a century that is guessed is refused.
    """
    parts = set(re.findall(r"%([A-Za-z])", form.replace("%%", "")))
    if "Z" in parts:
        return "%Z reads a zone's name and forgets it: say the zone as timezone, or write offsets (%z)"
    if "I" in parts and "p" not in parts:
        return "%I tells an hour of the morning or the afternoon, and %p, which, is not there"
    if "y" in parts and not bounded:
        return '%y leaves the century open: write four digits (%Y), or say bounds ("low" and "high")'
    if parts & _DAYS and not parts & _YEARS:
        return "it has days and no year"
    return ""


_YEARS, _DAYS = frozenset("YyGcxD"), frozenset("mdbBjaAUWwuV")


def time_unit(kind: str, part: str) -> str:
    """The unit as it stands in the schema."""
    return part + _SINCE[kind]


@cache
def zone_named(name: str) -> Any:
    """The rules of a time zone ("Europe/Berlin"); raises :class:`ValueError` where this machine has none."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"this machine knows no time zone {name[:80]!r}") from None


_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|z|UTC|[+-]\d\d:?\d\d|[+-]\d\d)?",
    re.ASCII,
)
_CLOCK = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?", re.ASCII)
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def _offset(text: str) -> int:
    """Nanoseconds east of Greenwich."""
    if text in ("Z", "z", "UTC"):
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    if int(digits[2:]) > 59 or int(digits[:2]) > 23:
        raise ValueError("no offset")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return (-seconds if text[0] == "-" else seconds) * 10**9


def _iso(text: str) -> tuple[str, int] | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    count = (datetime.date(int(year), int(month), int(day)).toordinal() - _EPOCH) * DAY
    if hour is not None:
        count += _of_day(hour, minute, second, fraction)
    if zone is None:
        return "time", count
    if hour is None:
        return None
    return "zoned time", count - _offset(zone)


def _of_day(hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
        raise ValueError("no time of day")
    whole = (int(hour) * 60 + int(minute)) * 60 + int(second or 0)
    return whole * 10**9 + int((fraction or "0").ljust(9, "0"))


class TimeReader:
    """Reads times in text: ISO 8601, or as the schema's ``format`` says (as of ``datetime.strptime``).

    Nothing else is a time: whether 03/04 is in March or in April is not guessed.
    """

    def __init__(self, form: str = "") -> None:
        self._read: Callable[[str], tuple[str, int] | None] = self._told if form else self._usual
        self._form, self._dated = form, bool(set(re.findall(r"%([A-Za-z])", form)) & _YEARS)

    def __call__(self, text: str) -> tuple[str, int] | None:
        """The kind ("time", "zoned time", "clock") and nanoseconds since 1970 (or midnight); None: it is none."""
        try:
            return self._read(text)
        except ValueError:
            return None

    @staticmethod
    def _usual(text: str) -> tuple[str, int] | None:
        if text[2:3] == ":":
            found = _CLOCK.fullmatch(text)
            return None if found is None else ("clock", _of_day(*found.groups()))
        return _iso(text)

    def _told(self, text: str) -> tuple[str, int]:
        value = datetime.datetime.strptime(text, self._form)
        days = value.toordinal() - _EPOCH if self._dated else 0
        count = (
            days * DAY
            + (value.hour * 3600 + value.minute * 60 + value.second) * 10**9
            + value.microsecond * 1000
        )
        if value.tzinfo is None:
            return "time" if self._dated else "clock", count
        if not self._dated:
            raise ValueError("a time of day with a zone")
        offset = value.utcoffset() or datetime.timedelta()
        return "zoned time", count - (offset // datetime.timedelta(microseconds=1)) * 1000
