"""CSV with a header, read twice: once to find what its columns are, once to write them.

Text has no types: a column is what all its cells can be read as, whole numbers, numbers, truth values (true,
false), times (as ISO 8601 writes them, or as the schema's ``format`` says). How the text is written (encoding,
decimal sign, separator of thousands) is told, or the usual; it is never guessed.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata, TableOptions
from syft_ext.sources.content import PartsContent
from syft_ext.sources.rule.cells import Cells, CellsProblem, Kind, nanoseconds_cells
from syft_ext.sources.rule.columns import ColumnRule
from syft_ext.sources.rule.exact import holds
from syft_ext.sources.rule.problems import NOT_NUMBERS, OTHER_DECIMAL, Problems, shown
from syft_ext.sources.rule.times import TimeReader
from syft_ext.sources.table import Stretch, spooled_table

__all__ = ["csv_names", "read_csv"]

ROWS = 4096  # of a CSV at a time
MAX_LINE = 16 << 20
#: What stands for a missing value, in any case, beside what the owner names.
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>", "nat"})
_TRUTHS = {"true": True, "false": False}
_USUAL = TableOptions()
_NORMAL = float(np.finfo(np.float64).tiny)
"""Below it, and at zero, a float has fewer digits than others."""


def read_csv(
    path: Path,
    metadata: ColumnMetadata,
    *,
    columns: Sequence[str] | None,
    spool: Path | None,
    options: TableOptions = _USUAL,
) -> PartsContent:
    """The table in a file.

    Args:
        metadata: what the owner says of columns; categories for those that hold text.
        columns: only these, in this order.
        options: how it is written. delimiter: "," unless the name ends in .tsv or the header has only semicolons.

    Raises :class:`BadRequest` naming row and line of what cannot be kept, of all columns at once.
    """
    with _opened(path, options) as file:
        return spooled_table(_Table(path, file, options), metadata, columns, spool)


def csv_names(path: Path, options: TableOptions = _USUAL) -> list[str]:
    """The names of its columns, as they are there."""
    with _opened(path, options) as file:
        return list(_Table(path, file, options).names)


def _opened(path: Path, options: TableOptions) -> IO[str]:
    usual = options.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    try:
        return path.open(newline="", encoding="utf-8-sig" if usual else options.encoding)
    except (LookupError, ValueError):
        raise BadRequest(f"{path.name}: there is no encoding {options.encoding[:40]!r} of text") from None


class _Table:
    notes: Sequence[str] = ()

    def __init__(self, path: Path, file: IO[str], options: TableOptions) -> None:
        self.where, self._path, self._file = path.name, path, file
        self._numbers = _Numbers(options)
        header = next(self._read(self._delimiter(path, options)), None)
        if header is None or not any(name.strip() for name in header[1]):
            raise BadRequest(f"{path.name}: the first line must name the columns, each differently")
        self.names = [name.strip() for name in header[1]]

    def _delimiter(self, path: Path, options: TableOptions) -> str:
        told = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
        if not told:
            try:
                first = self._file.readline(MAX_LINE)
            except UnicodeError as error:
                raise self._undecodable(error) from None
            told = (
                "\t" if path.suffix.lower() == ".tsv" else ";" if ";" in first and "," not in first else ","
            )
        if len(told) != 1 or told in '"\r\n' or told == options.decimal:
            raise BadRequest(f"{path.name}: {told!r} cannot separate columns; say another delimiter")
        self._separator = told
        return told

    def _undecodable(self, error: UnicodeError) -> BadRequest:
        what = f"{getattr(error, 'encoding', 'the encoding')}: {getattr(error, 'reason', error)}"
        return BadRequest(
            f"{self.where}{self._undecoded_line()}: it is no text in {what}; if it is in another encoding, "
            'say which one (encoding "latin-1", "cp1252", …)'
        )

    def _undecoded_line(self) -> str:
        """Where it is: text is decoded some thousand bytes ahead of the line that is read."""
        encoding = str(getattr(self._file, "encoding", ""))
        if not encoding.startswith("utf-8"):
            return ""
        with self._path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    return f", line {number} (byte {error.start + 1}, 0x{line[error.start]:02x})"
        return ""

    def _read(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """The line that each row ends in, and its cells; the header's first. Empty lines are no rows."""
        self._file.seek(0)
        reader = csv.reader(_lines(self._file, self.where), delimiter=separator, strict=True)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise BadRequest(f"{self.where}, line {reader.line_num}: {error}") from error
        except UnicodeError as error:
            raise self._undecodable(error) from error

    def declared(self, place: int) -> Sequence[str]:
        return ()

    def keeps(self, place: int) -> str:
        return ""

    def stretches(self, columns: Mapping[int, ColumnRule], problems: Problems) -> Iterator[Stretch]:
        read = self._read(self._separator)
        next(read)
        readers = {
            place: _CellReader(column, self._numbers, TimeReader(column.time_format))
            for place, column in columns.items()
        }
        first, width = 0, len(self.names)
        while numbered := list(islice(read, ROWS)):
            lines, rows = [line for line, _ in numbered], [cells for _, cells in numbered]
            if set(map(len, rows)) != {width}:
                for row, cells in enumerate(rows):
                    if len(cells) != width:
                        problems.add("", f"{len(cells)} of {width} columns", row=first + row, line=lines[row])
                        rows[row] = (cells + [""] * width)[:width]
            by_column = list(zip(*rows, strict=True))
            for place, reader in readers.items():
                if columns[place].name in problems:
                    continue
                try:
                    yield Stretch(place, first, reader.cells(by_column[place], lines))
                except CellsProblem as problem:
                    problems.add(
                        columns[place].name, problem.text, row=first + problem.row, line=lines[problem.row],
                        hint=problem.hint,
                    )  # fmt: skip
            first += len(numbered)


_ANY_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:[.,' \u00a0\u202f]\d{3})+|\d+)(?:[.,]\d+)?", re.ASCII)


class _Numbers:
    """How numbers are written: makes of a cell the text that Python reads, or nothing."""

    def __init__(self, options: TableOptions) -> None:
        self.missing = MISSING | {word.strip().lower() for word in options.missing}
        self._missing_numbers: frozenset[Decimal] = frozenset()
        self.plain = options.decimal == "." and not options.thousands
        self.quick = self.plain and not options.missing
        if options.thousands and options.thousands == options.decimal:
            raise BadRequest("thousands and decimals cannot be separated by the same sign")
        thousands = (
            options.thousands.replace(" ", "[ \u00a0\u202f]")
            if options.thousands == " "
            else re.escape(options.thousands)
        )
        decimal = re.escape(options.decimal)
        group = rf"\d{{1,3}}(?:{thousands}\d{{3}})+|" if options.thousands else ""
        self._pattern = re.compile(rf"([+-]?)({group}\d*)(?:{decimal}(\d*))?((?:[eE][+-]?\d+)?)", re.ASCII)
        self._words = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
        self._missing_numbers = frozenset(
            number for word in options.missing if (number := self._number(word)) is not None
        )

    def is_missing(self, cell: str) -> bool:
        """Whether it stands for a missing value; -9.0 does where -9 does."""
        return cell.lower() in self.missing or (
            bool(self._missing_numbers) and self._number(cell) in self._missing_numbers
        )

    def _number(self, cell: str) -> Decimal | None:
        try:
            return Decimal(self.text(cell))
        except (ValueError, InvalidOperation):
            return None

    @staticmethod
    def written_otherwise(cell: str) -> bool:
        """Whether a cell that is no number would be one with another sign before its decimals or thousands."""
        return not cell.strip().isdigit() and _ANY_NUMBER.fullmatch(cell.strip()) is not None

    def text(self, cell: str) -> str:
        """Raises :class:`ValueError` for what is no number as the owner told that they are written."""
        cell = cell.strip()
        if self.plain:
            # Python would take "_" as a separator of digits, and "nan1" and "snan" as numbers.
            if "_" in cell or cell.lstrip("+-")[:2].lower() in ("na", "sn"):
                raise ValueError(cell)
            return cell
        found = self._pattern.fullmatch(cell)
        if found is None:
            if cell.lower() in self._words:
                return cell
            raise ValueError(cell)
        sign, whole, fraction, exponent = found.groups()
        digits = re.sub(r"\D", "", whole)
        if not digits and not fraction:
            raise ValueError(cell)
        point = "" if fraction is None else "." + fraction
        return f"{sign}{digits}{point}{exponent}"


class _CellReader:
    """What the cells of one column are."""

    def __init__(self, column: ColumnRule, numbers: _Numbers, times: TimeReader) -> None:
        self._column, self._numbers, self._times = column, numbers, times
        self._told = bool(column.time_format)

    def cells(self, texts: tuple[str, ...], lines: Sequence[int]) -> Cells:
        if self._column.as_words:
            return self._words(texts, lines)
        if (
            self._numbers.quick
            and not self._told
            and (found := _quick(texts, lines, exact=self._column.closed)) is not None
        ):
            return found
        missing = np.fromiter(
            (self._numbers.is_missing(text.strip()) for text in texts), np.bool_, len(texts)
        )
        gaps = missing if missing.any() else None
        present = [(row, text.strip()) for row, text in enumerate(texts) if not missing[row]]
        if not present:
            return Cells("nothing", np.zeros(len(texts)), gaps, lines=lines)
        kind = self._kind_of(present[0][1])
        values = {row: self._value(kind, text, row) for row, text in present}
        if kind == "whole" and any(isinstance(value, Decimal) for value in values.values()):
            kind = "decimal"
            values = {row: Decimal(value) for row, value in values.items()}
        return self._made(kind, values, gaps, len(texts), lines)

    def _words(self, texts: tuple[str, ...], lines: Sequence[int]) -> Cells:
        """Text; a word that stands for what is missing is that, unless it is a category."""
        words = [text.strip() for text in texts]
        missing = np.fromiter(
            (word.lower() in self._numbers.missing and not self._column.has_word(word) for word in words),
            np.bool_,
            len(words),
        )
        return Cells("text", words, missing if missing.any() else None, lines=lines)

    def _kind_of(self, text: str) -> Kind:
        if not self._told:
            if text.lower() in _TRUTHS:
                return "truth"
            try:
                self._numbers.text(text)
                Decimal(self._numbers.text(text))
                return "whole"
            except (ValueError, InvalidOperation):
                pass
        found = self._times(text)
        return "text" if found is None else found[0]  # type: ignore[return-value]

    def _value(self, kind: Kind, text: str, row: int) -> Any:
        """A cell as what the column's first one is."""
        if kind == "truth" and text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        if kind == "whole":
            try:
                plain = self._numbers.text(text)
                return int(plain) if plain.lstrip("+-").isdigit() else Decimal(plain)
            except (ValueError, InvalidOperation):
                pass
        elif kind not in ("truth", "text"):
            found = self._times(text)
            if found is not None and found[0] == kind:
                return found[1]
            if found is not None:
                raise CellsProblem(
                    row, f"{shown(text)} is of kind {found[0]}, what stands above it of kind {kind}"
                )
        told = "; the schema tells another way of writing times" if self._told else ""
        hint = OTHER_DECIMAL if self._numbers.written_otherwise(text) else NOT_NUMBERS
        raise CellsProblem(row, f"{shown(text)} is not numbers{told}", hint)

    @staticmethod
    def _made(kind: Kind, values: dict[int, Any], gaps: Any, count: int, lines: Sequence[int]) -> Cells:
        rest: Any = {"truth": False, "decimal": Decimal(0)}.get(kind, 0)
        every = [values.get(row, rest) for row in range(count)]
        if kind == "truth":
            return Cells(kind, np.array(every, dtype=np.bool_), gaps, lines=lines)
        if kind == "whole":
            try:
                return Cells(kind, np.array(every, dtype=np.int64), gaps, lines=lines)
            except OverflowError:
                return Cells(kind, every, gaps, lines=lines)
        if kind == "decimal":
            return Cells(kind, every, gaps, lines=lines)
        times = nanoseconds_cells(kind, every, gaps)
        return Cells(kind, times.values, times.missing, times.unit, lines)


def _quick(texts: tuple[str, ...], lines: Sequence[int], *, exact: bool) -> Cells | None:
    """Cells that are all plain numbers, the fast way; None where a closer look is needed.

    ``exact``: that floats hold them was found out before.
    """
    if "_" in "".join(texts):
        return None
    try:
        return Cells("whole", np.fromiter(map(int, texts), dtype=np.int64, count=len(texts)), lines=lines)
    except OverflowError:
        return None
    except ValueError:
        pass
    try:
        values = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
    except ValueError:
        return None
    if not np.isfinite(values).all():
        return None  # nan is missing, and 1e400 is not infinite
    if not exact and not _all_held(texts, values):
        return None
    return Cells("float", values, lines=lines)


def _all_held(texts: tuple[str, ...], values: NDArray[np.float64]) -> bool:
    """What Python writes of a number is that number; and 15 digits are always held, but of the tiniest numbers."""
    tiny = np.abs(values) < _NORMAL
    if max(map(len, texts)) <= 15:
        some = np.flatnonzero(tiny).tolist()
        return all(_held(text, value) for text, value in {(texts[row], float(values[row])) for row in some})
    every = zip(texts, values.tolist(), tiny.tolist(), strict=True)
    return all(
        (len(text) <= 15 and not small) or repr(value) == text or _held(text, value)
        for text, value, small in every
    )


def _held(text: str, value: float) -> bool:
    try:
        return holds(Decimal(text.strip()), value)
    except InvalidOperation:
        return False


def _lines(file: IO[str], where: str) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE and not line.endswith("\n"):
            raise BadRequest(f"{where}: a line of more than {MAX_LINE} characters")
        yield line
