"""Which columns somebody names: of an asset, an object, a dataset with one asset, or by a pointer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from syft_ext.errors import BadRequest

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["ColumnOf", "columns_of"]


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """A column of a stored table: ``asset.column("age")``. Nothing is asked until something is asked of it.

    Attributes:
        connect: the client of its Domain.
        domain_id, domain: id and name of the Domain.
        name: of the column.
    """

    connect: Callable[[], Caller]
    domain_id: str
    domain: str
    object_id: str
    name: str


def columns_of(data: Any, column: str = "") -> list[ColumnOf]:
    """The columns that are meant: ``data`` is one or several of what has columns, ``column`` the name in all.

    Raises :class:`BadRequest` for what is none, and for a column that is named twice.
    """
    several = isinstance(data, Iterable) and not hasattr(data, "client") and not _is_column(data)
    found = [_column_of(each, column) for each in (data if several else [data])]
    if not found:
        raise BadRequest("no columns to ask about")
    if len({(each.domain_id, each.object_id) for each in found}) != len(found):
        raise BadRequest("a table is named twice: its rows would count twice")
    return found


def _is_column(data: Any) -> bool:
    return isinstance(data, ColumnOf) or hasattr(data, "stored_column")


def _column_of(table: Any, column: str) -> ColumnOf:
    if isinstance(table, ColumnOf):
        return table
    if hasattr(table, "stored_column"):
        client, object_id, name = table.stored_column()
        return ColumnOf(lambda: client, client.id, client.name, object_id, name)
    assets = getattr(table, "assets", None)
    if assets is not None:
        if len(assets) != 1:
            names = ", ".join(asset.name for asset in assets)
            raise BadRequest(f"dataset {table.name!r} has several tables ({names}): name one of them")
        (table,) = assets
    object_id = getattr(table, "object_id", "") or getattr(table, "id", "")
    source = getattr(table, "source", None)
    if not object_id or (source is None and not hasattr(table, "client")):
        raise BadRequest(
            f"name an asset and a column of it, or a pointer to one, not a {type(table).__name__}"
        )
    if not column:
        raise BadRequest("which column? quick_result(asset, 'age')")
    if source is not None:
        return ColumnOf(lambda: table.client, source.domain_id, source.name, object_id, column)
    client = table.client
    return ColumnOf(lambda: client, client.id, client.name, object_id, column)
