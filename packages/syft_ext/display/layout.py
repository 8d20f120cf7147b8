"""Rows of cells as lines of text: aligned, and no wider than the terminal that shows them.

Widths are columns of the terminal: a Chinese character takes two, an accent of its own none.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence

from rich.cells import cell_len, chop_cells

__all__ = ["laid_out", "padded", "terminal_width", "wrapped"]

GAP = "  "
_NARROWEST = 8
_PIECES = re.compile(r".+?(?:[@/,:;=_-]+|\.(?=[^\d.])|$)", re.DOTALL)
"""Where a word is broken that takes more than a line: addresses after their parts, numbers nowhere."""
_NOTHING = frozenset({"", "-"})
_ID = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24}(?:[0-9a-f]{32})?\b")


def terminal_width() -> int | None:
    """How wide the terminal of standard output is; None where that goes elsewhere: there lines stay whole."""
    try:
        looked_at = sys.stdout.isatty()
    except ValueError:  # closed
        looked_at = False
    return max(shutil.get_terminal_size().columns, 20) if looked_at else None


def padded(text: str, width: int) -> str:
    """``text`` with blanks behind it, so that it takes ``width`` columns."""
    return text + " " * (width - cell_len(text))


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at blanks where that goes; else between the parts of
    a word (an address, a name with underscores), else anywhere."""
    lines, line = [], ""
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        *whole, line = _broken(word, width)
        lines += whole
    return [*lines, line]


def _broken(word: str, width: int) -> list[str]:
    lines, line = [], ""
    for piece in _PIECES.findall(word):
        if cell_len(line + piece) <= width:
            line += piece
            continue
        if line:
            lines.append(line)
        *whole, line = chop_cells(piece, width) or [""]
        lines += whole
    return [*lines, line]


def laid_out(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lines that show ``rows``, the first of which are the headings.

    Args:
        width: columns that there are; None: as many as it takes. Where the rows need more, ids stand by their
            first digits (which name them too), and what no row has is left out; then the widest cells are wrapped,
            at blanks as long as that will do; and where even that is too wide, each row is shown by itself, a line
            for a cell.
    """
    if not rows or not rows[0]:
        return []
    if width is not None and _total(_widths(rows)) > width:
        rows = _without_empty([[_ID.sub(r"\1…", cell) for cell in row] for row in rows])
    widths = _widths(rows)
    if width is not None and _total(widths) > width:
        narrowed = _narrowed(rows, widths, width)
        if narrowed is None:
            return _one_below_the_other(rows, width)
        widths = narrowed
    return [line for row in rows for line in _lines(row, widths)]


def _without_empty(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The columns in which some row has something."""
    kept = [n for n in range(len(rows[0])) if any(row[n] not in _NOTHING for row in rows[1:])]
    return [[row[n] for n in kept] for row in rows] if kept else rows


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _narrowed(rows: Sequence[Sequence[str]], widths: list[int], width: int) -> list[int] | None:
    """Widths that fit, the widest column giving way first; None where a column would be too narrow to read."""
    for parts in (str.split, _PIECES.findall, lambda cell: ""):
        longest = [
            max((cell_len(part) for cell in column for part in parts(cell)), default=0)
            for column in zip(*rows, strict=True)
        ]
        least = [
            min(wide, max(_NARROWEST, cell_len(name), long))
            for wide, name, long in zip(widths, rows[0], longest, strict=True)
        ]
        if _total(least) <= width:
            return _shrunk(list(widths), least, width)
    return None


def _shrunk(widths: list[int], least: Sequence[int], width: int) -> list[int]:
    while (over := _total(widths) - width) > 0:
        room = [wide - low for wide, low in zip(widths, least, strict=True)]
        place = max((i for i, free in enumerate(room) if free), key=lambda i: widths[i])
        rest = [wide for i, wide in enumerate(widths) if i != place and room[i]]
        widths[place] -= min(over, room[place], max(1, widths[place] - max(rest, default=0)))
    return widths


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [wrapped(cell, wide) for cell, wide in zip(row, widths, strict=True)]
    return [
        GAP.join(
            padded(cell[number] if number < len(cell) else "", wide)
            for cell, wide in zip(cells, widths, strict=True)
        ).rstrip()
        for number in range(max(map(len, cells)))
    ]


def _one_below_the_other(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    headings, *rest = rows
    wide = max(map(cell_len, headings))
    room = max(width - wide - len(GAP), _NARROWEST)
    lines: list[str] = []
    for row in rest:
        lines += [""] if lines else []
        for heading, cell in zip(headings, row, strict=True):
            first, *more = wrapped(cell, room)
            lines.append(f"{padded(heading, wide)}{GAP}{first}".rstrip())
            lines += [f"{' ' * wide}{GAP}{line}" for line in more]
    return lines
