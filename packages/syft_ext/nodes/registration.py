"""How a dataset comes to be at a Domain: what its owner says of it, and steps that are undone if one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from syft_ext.client.objects import Objects
from syft_ext.errors import BadRequest, GridError
from syft_ext.messages.datasets import Asset, CreateDataset, DatasetView, DeleteDataset
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.parameters import checked
from syft_ext.messages.vocabulary import (
    ColumnMetadata,
    Decimal,
    Delimiter,
    Encoding,
    Missing,
    MockOptions,
    Publication,
    Rows,
    Seed,
    TableOptions,
    Thousands,
)

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.sources.content import PartsContent

__all__ = ["GENERATE", "NewDataset", "Provisional", "checked_text", "generated"]

GENERATE = "generate"
"""As a mock: let the Domain make one from the schema."""
_MOCK = MockOptions()
_TEXT = TableOptions()


def generated(mock: Any) -> bool:
    """Whether the Domain is to make the mock."""
    return isinstance(mock, str) and mock == GENERATE


class _Contents(Publication, kw_only=True):
    mock: Any = None
    schema: ColumnMetadata | None = None
    columns: Sequence[str] | None = None
    statistics: Mapping[str, Sequence[str]] | Sequence[str] = ()
    person: str = ""
    rows_per_person: int = 0
    mock_rows: Rows = _MOCK.rows
    mock_seed: Seed = _MOCK.seed
    encoding: Encoding = _TEXT.encoding
    delimiter: Delimiter = _TEXT.delimiter
    decimal: Decimal = _TEXT.decimal
    thousands: Thousands = _TEXT.thousands
    missing: Missing = _TEXT.missing


class NewDataset(_Contents):
    """What :meth:`~syft_ext.nodes.datasets.Datasets.create` is told, where each of it is explained."""

    name: str
    assets: Any = None

    def message(self) -> CreateDataset:
        """What the Domain is told, without assets; raises :class:`BadRequest` for what it will not take."""
        published = {name: getattr(self, name) for name in Publication.__struct_fields__}
        return checked(CreateDataset(name=self.name, **published))

    def open(self) -> dict[str, tuple[PartsContent, PartsContent | None]]:
        """Data and mock of each asset by name, ready to be sent; raises :class:`BadRequest` if they do not fit."""
        from syft_ext.nodes.asset_content import open_asset  # needs numpy

        parts, mocks = _parts(self.assets), {} if generated(self.mock) else _parts(self.mock)
        if self.assets is not None and not set(mocks) <= set(parts):
            raise BadRequest(f"mock: by name, as the data are: {', '.join(parts)}")
        if self.statistics and len(parts) != 1:
            raise BadRequest("statistics: of several assets, publish them one by one")
        schema = self._said()
        options = checked_text({name: getattr(self, name) for name in TableOptions.__struct_fields__})
        contents = {
            part: open_asset(self.name, part, parts.get(part), mocks.get(part), schema, self.columns, options)
            for part in parts or mocks
        }
        known = {column.name for content, _ in contents.values() for column in content.columns}
        if not set(schema) <= known:
            raise BadRequest(f"schema: the columns are {', '.join(sorted(known))}")
        return contents

    def _said(self) -> ColumnMetadata:
        """The schema, with whom the rows belong to."""
        schema = {name: dict(said) for name, said in (self.schema or {}).items()}
        if bool(self.person) != bool(self.rows_per_person):
            raise BadRequest(
                "person and rows_per_person go together: the column that says who a row is about, and how many "
                f"rows of each person count at most; {'rows_per_person' if self.person else 'person'} is missing"
            )
        if self.person:
            schema.setdefault(self.person, {})["rows_per_person"] = self.rows_per_person
        return schema


def checked_text(given: Mapping[str, Any]) -> TableOptions:
    """How text is written. Raises :class:`BadRequest` for what it cannot be."""
    try:
        return msgspec.convert(given, TableOptions)
    except msgspec.ValidationError as error:
        raise BadRequest(misfit_in_words(error, TableOptions)) from error


def _parts(value: Any) -> Mapping[str, Any]:
    """Assets by name; what has no name is called "data"."""
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"data": value}


class Provisional:
    """What is made at a Domain in several steps, and is there to stay only when the last one has succeeded.

    As a context: when it is left by an exception (also by Ctrl-C), all that was made is deleted again, the newest
    first, and the exception goes on. Parts of an interrupted upload stay, so that it can be continued.
    """

    def __init__(self, client: Caller) -> None:
        self._client, self._store, self._undo = client, Objects(client), ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._undo.pop_all()
        self._undo.close()

    def upload(self, content: PartsContent, label: str) -> str:
        """Make an object of ``content``; its id."""
        item = self._store.put_content(content, description=label)
        self._undo.callback(_quietly, item.delete)
        return item.id

    def dataset(self, new: NewDataset) -> DatasetView:
        """Upload data and mocks, then describe them."""
        message, contents = new.message(), new.open()
        message.assets = [self._asset(f"{new.name}/{part}", part, *each) for part, each in contents.items()]
        view: DatasetView = self._client.call(message)
        gone = DeleteDataset(dataset_id=view.id, objects=True)  # with a mock that the Domain made
        self._undo.callback(_quietly, lambda: self._client.call(gone))
        return view

    def _asset(self, label: str, part: str, content: PartsContent, stand_in: PartsContent | None) -> Asset:
        data = self.upload(content, label)
        mock = None if stand_in is None else self.upload(stand_in, f"mock of {label}")
        notes = "; ".join(content.notes)
        return Asset(name=part, object_id=data, mock_id=mock, columns=content.columns, description=notes)


def _quietly(delete: Callable[[], Any]) -> None:
    with suppress(GridError):  # the error that brought us here says more
        delete()
