"""How things show themselves: aligned text in a terminal, a plain HTML table in a notebook. No JavaScript."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

__all__ = ["Table", "ago", "fields_table", "size", "when"]

_STYLE = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"
_MAX_CELL = 80


class Table:
    """Rows under headings. Cells are shown with :func:`str` and escaped.

    Args:
        title: one line above the table.
        note: one line below it.
    """

    def __init__(
        self, title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], note: str = ""
    ) -> None:
        self.title, self.note = title, note
        self.headings = list(headings)
        self.rows = [[_cell(value) for value in row] for row in rows]

    def __repr__(self) -> str:
        lines = [self.headings, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.headings))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        if not any(self.headings):
            text = text[1:]
        return "\n".join([self.title, *(text or ["(none)"]), *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="{_STYLE}">{escape(name)}</th>' for name in self.headings)
        body = "".join(
            "<tr>" + "".join(f'<td style="{_STYLE}">{escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self.rows
        )
        head = f"<thead><tr>{head}</tr></thead>" if any(self.headings) else ""
        note = f"<div><small>{escape(self.note)}</small></div>" if self.note else ""
        return (
            f"<div><strong>{escape(self.title)}</strong>"
            f"<table>{head}<tbody>{body or '<tr><td>(none)</td></tr>'}</tbody></table>{note}</div>"
        )


def fields_table(title: str, fields: Sequence[tuple[str, Any]], note: str = "") -> Table:
    """One thing with its properties below each other."""
    return Table(title, ["", ""], fields, note)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple | set | frozenset):
        value = ", ".join(str(item) for item in value)
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def size(count: int) -> str:
    """Bytes for people: ``1.3 MB`` (1 MB = 1,000,000 bytes)."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def when(seconds: float | None) -> str | None:
    """A moment for people, in local time."""
    if not seconds:
        return None
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def ago(seconds: float) -> str:
    """A duration for people: ``4 s``, ``3 min``, ``2 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
