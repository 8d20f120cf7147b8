"""What is wrong with a table, collected so that its owner hears of all columns at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syft_ext.errors import BadRequest

__all__ = ["NOT_NUMBERS", "OTHER_DECIMAL", "Problems", "shown"]

MOST = 20  # problems that one answer spells out

NOT_NUMBERS = (
    "encode it as numbers first, name the column's categories in the schema "
    '({"categories": ["first", "second", …]}), or name the columns to take, without this one'
)

OTHER_DECIMAL = (
    'say how the file writes numbers: decimal "," (or "."), and what separates thousands, if anything'
)


def shown(value: Any) -> str:
    """A cell in an error."""
    return repr(value)[:80]


@dataclass(frozen=True, slots=True)
class _Problem:
    thing: str
    column: str
    row: int | None
    line: int | None
    text: str

    def __str__(self) -> str:
        if self.thing == "file" and self.column:
            return f"{self.column} {self.text}"
        row = "" if self.row is None else f", row {self.row + 1}"
        line = "" if self.line is None else f" (line {self.line})"
        column = f"{self.thing} {self.column!r}" if self.column else ""
        place = (column + row + line).removeprefix(", ")
        return f"{place}: {self.text}" if place else self.text


class Problems:
    """The first problem of each column.

    Args:
        where: the file or frame, as its owner knows it.
        thing: what has problems: a column, or a file of a folder.
    """

    def __init__(self, where: str, thing: str = "column") -> None:
        self.where, self._thing = where, thing
        self._found: dict[str, _Problem] = {}
        self._hints: dict[str, None] = {}

    def __contains__(self, column: str) -> bool:
        return column in self._found

    def add(
        self, column: str, text: str, *, row: int | None = None, line: int | None = None, hint: str = ""
    ) -> None:
        """Note what is wrong with a column (or with a row, where ``column`` is empty) unless something is noted.

        Args:
            row: counted from 0, without the header.
            line: of a text file, from 1.
            hint: what to do about it; said once, however many columns it is good for.
        """
        if column not in self._found:
            self._found[column] = _Problem(self._thing, column, row, line, text)
            if hint:
                self._hints[hint] = None

    def refuse(self) -> None:
        """Raise :class:`BadRequest` naming all that was found, if anything was."""
        found = list(self._found.values())
        if not found:
            return
        hints = "".join(f"; {hint}" for hint in self._hints)
        rows = [
            {"column": each.column, "row": None if each.row is None else each.row + 1, "problem": each.text}
            for each in found[:1000]
        ]
        if len(found) == 1:
            place = str(found[0])
            separator = ", " if found[0].column or found[0].row is not None or found[0].line else ": "
            raise BadRequest(f"{self.where}{separator}{place}{hints}", problems=rows)
        told = "; ".join(map(str, found[:MOST]))
        more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
        raise BadRequest(f"{self.where}: {len(found)} problems: {told}{more}{hints}", problems=rows)
