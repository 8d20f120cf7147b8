"""Statements compiled once and run by the driver itself.

SQLAlchemy's own execution costs ten times what SQLite needs for a small statement. A statement is compiled
when it is first run with a set of value names, for each dialect; afterwards only its values are bound.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import JSON, BindParameter, Connection, Dialect, SelectBase, bindparam
from sqlalchemy.sql import ClauseElement

from grid.storage.sql.connections import DriverConnection

__all__ = ["PreparedSizes", "PreparedStatement", "StatementResult", "places"]

Values = dict[str, Any]


class StatementResult:
    """Rows, as named tuples; ``rowcount``: how many an INSERT, UPDATE or DELETE met."""

    __slots__ = ("_make", "_rows", "rowcount")

    def __init__(self, rows: list[Any], make: Callable[[Any], Any] | None, rowcount: int) -> None:
        self._rows, self._make, self.rowcount = rows, make, rowcount

    def all(self) -> list[Any]:
        """All rows; none for a statement that returns no rows."""
        return [self._make(row) for row in self._rows] if self._make is not None else []

    def first(self) -> Any:
        """The first row, or None."""
        return self._make(self._rows[0]) if self._rows and self._make is not None else None


class _Compiled:
    """A statement in the words of one driver, for one set of value names."""

    __slots__ = ("_defaults", "_names", "_positional", "_processors", "_results", "make", "text")

    def __init__(self, statement: ClauseElement, dialect: Dialect, names: Sequence[str]) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
        self.text: str = str(compiled)
        self._positional: bool = bool(compiled.positional)
        self._names: list[str] = list(
            compiled.positiontup if self._positional else compiled.bind_names.values()
        )
        self._defaults: dict[str, Any] = {
            name: bind.value
            for bind, name in compiled.bind_names.items()
            if not bind.required and name not in names
        }
        self._processors: list[tuple[int, Callable[[Any], Any]]] = [
            (index, compiled._bind_processors[name])
            for index, name in enumerate(self._names)
            if compiled._bind_processors.get(name) is not None
        ]
        self._results = [
            (index, processor)
            for index, column in enumerate(compiled._result_columns)
            if isinstance(column.type, JSON)
            and (processor := column.type._cached_result_processor(dialect, None)) is not None
        ]
        self.make: Callable[[Any], Any] | None = None

    def bind(self, values: Values) -> Any:
        """The values as the driver takes them."""
        if self._defaults:
            values = {**self._defaults, **values}
        bound = [values[name] for name in self._names]
        for index, processor in self._processors:
            bound[index] = processor(bound[index])
        return bound if self._positional else dict(zip(self._names, bound, strict=True))

    def rows(self, cursor: Any) -> list[Any]:
        """The cursor's rows; what is JSON is decoded."""
        rows: list[Any] = cursor.fetchall()
        if self.make is None:
            names = [column[0] for column in cursor.description]
            self.make = namedtuple("Row", names, rename=True)._make  # type: ignore[attr-defined]
        if self._results:
            rows = [list(row) for row in rows]
            for row in rows:
                for index, processor in self._results:
                    row[index] = processor(row[index])
        return rows


class PreparedStatement:
    """A Core statement without expanding parameters; but for JSON, rows hold what the driver gives.

    Run it with one set of values, or with several at once (no rows are returned then).
    """

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement
        self.selects = isinstance(statement, SelectBase)
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    def run(
        self, connection: DriverConnection | Connection, values: Values | Sequence[Values] = ()
    ) -> StatementResult:
        """Run it with values by name, or with each of several sets of them; raises SQLAlchemy's errors."""
        driver_connection = (
            connection if isinstance(connection, DriverConnection) else DriverConnection(connection)
        )
        many = not isinstance(values, dict)
        first: Values = (values[0] if values else {}) if many else values  # type: ignore[index,assignment]
        key = (driver_connection.dialect.name, *first)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compiled[key] = _Compiled(self.statement, driver_connection.dialect, list(first))
        cursor: Any = driver_connection.driver.cursor()
        try:
            if many and len(values) > 1:
                cursor.executemany(compiled.text, [compiled.bind(row) for row in values])  # type: ignore[arg-type]
                return StatementResult([], None, cursor.rowcount)
            cursor.execute(compiled.text, compiled.bind(first))
            if cursor.description is None:
                return StatementResult([], None, cursor.rowcount)
            return StatementResult(compiled.rows(cursor), compiled.make, cursor.rowcount)
        except driver_connection.dialect.loaded_dbapi.Error as error:
            raise driver_connection.error(error, compiled.text, cursor) from error
        finally:
            cursor.close()


class PreparedSizes:
    """A statement with lists (``x IN (…)``): prepared for 1, 8, 64, … places, of which the last are repeated.

    Args:
        build: the statement with lists of so many places; see :func:`places`.
    """

    def __init__(self, build: Callable[[int], ClauseElement]) -> None:
        self._build = build
        self._sizes: dict[int, PreparedStatement] = {}
        self._names: dict[tuple[str, int], list[str]] = {}

    def run(
        self, connection: DriverConnection | Connection, values: Values, **lists: Sequence[Any]
    ) -> StatementResult:
        """Run it with ``values`` and ``lists``, each of which holds something."""
        size, longest = 1, max(map(len, lists.values()))
        while size < longest:
            size *= 8
        prepared = self._sizes.get(size)
        if prepared is None:
            prepared = self._sizes[size] = PreparedStatement(self._build(size))
        values = dict(values)
        for name, items in lists.items():
            values.update(
                zip(self._of(name, size), [*items, *[items[-1]] * (size - len(items))], strict=True)
            )
        return prepared.run(connection, values)

    def _of(self, name: str, size: int) -> list[str]:
        """The names of the :func:`places` of a list."""
        names = self._names.get((name, size))
        if names is None:
            names = self._names[name, size] = [place.key for place in places(name, size)]
        return names


def places(name: str, size: int) -> list[BindParameter[Any]]:
    """The parameters of a list called ``name``."""
    return [bindparam(f"{name}_{index}") for index in range(size)]
