"""How things show themselves: aligned text in a terminal, a plain HTML table in a notebook. No JavaScript."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from syft_ext.display.layout import laid_out, terminal_width, wrapped
from syft_ext.readable import readable
from syft_ext.units import scaled

__all__ = ["Table", "ago", "cell_text", "fields_table", "short_ids", "size", "when"]

_STYLE = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"
_SHORT = 32  # ids, moments, names: legible only on one line
_MAX_CELL = 80
_MAX_WRAPPED = 400
_ID = re.compile(r"\b[0-9a-f]{32}(?:[0-9a-f]{32})?\b")


class Table:
    """Rows under headings. Cells are shown with :func:`str`, readable and escaped, titles and notes too.

    A column with nothing in any row is not shown. In a terminal cells are wrapped to its width; in text that goes
    elsewhere, where a row is a line, long ones are cut.

    Args:
        title: one line above the table.
        note: one line below it.
    """

    def __init__(
        self, title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], note: str = ""
    ) -> None:
        self.title, self.note = _text(title), _text(note)
        self.headings = [_text(heading) for heading in headings]
        self._whole = [[_text(value) for value in row] for row in rows]
        self.rows = [[_cut(cell, _MAX_CELL) for cell in row] for row in self._whole]

    def _filled(self) -> list[int]:
        """The columns that say something."""
        columns = range(len(self.headings))
        return [i for i in columns if not self.rows or any(row[i] for row in self.rows)]

    def __repr__(self) -> str:
        width = terminal_width()
        rows = self.rows if width is None else self._whole
        lines = [[line[i] for i in self._filled()] for line in (self.headings, *rows)]
        text = laid_out(lines, width)
        if not any(self.headings):
            text = text[1:]
        above = [self.title] if width is None else wrapped(self.title, width)
        below = [] if not self.note else [self.note] if width is None else wrapped(self.note, width)
        return "\n".join([*above, *(text or ["(none)"]), *below])

    def _repr_html_(self) -> str:
        columns = self._filled()
        head = "".join(_html_cell("th", self.headings[i]) for i in columns)
        body = "".join(
            f"<tr>{''.join(_html_cell('td', row[i]) for i in columns)}</tr>" for row in self._whole
        )
        none = f"<tr>{_html_cell('td', '(none)')}</tr>"
        head = f"<thead><tr>{head}</tr></thead>" if any(self.headings) else ""
        note = f"<div><small>{escape(self.note)}</small></div>" if self.note else ""
        return (
            f"<div><strong>{escape(self.title)}</strong>"
            f"<table>{head}<tbody>{body or none}</tbody></table>{note}</div>"
        )


def fields_table(title: str, fields: Sequence[tuple[str, Any]], note: str = "") -> Table:
    """One thing with its properties below each other."""
    return Table(title, ["", ""], fields, note)


def _html_cell(tag: str, text: str) -> str:
    one_line = len(text) <= _SHORT and ", " not in text
    style = _STYLE + (";white-space:nowrap" if one_line else "")
    return f'<{tag} style="{style}">{escape(_cut(text, _MAX_WRAPPED))}</{tag}>'


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return f"{value:.0f}" if whole else f"{value:.4g}"
    if isinstance(value, list | tuple | set | frozenset):
        value = ", ".join(str(item) for item in value)
    return readable(" ".join(str(value).split()))


def cell_text(value: Any) -> str:
    """As a cell shows it: numbers with four digits, None as a dash."""
    return _text(value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def short_ids(value: Any) -> str:
    """Ids by their first digits: enough to tell them apart where several stand in one row."""
    return _ID.sub(lambda found: found[0][:8] + "…", _text(value))


def size(count: int) -> str:
    """Bytes for people: ``1.3 MB`` (1 MB = 1,000,000 bytes)."""
    return scaled(count, "B")


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
