"""What searches find, at a Domain or through a Network: hits that lead to a request for what was found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from syft_ext.client.caller import Caller, DomainCaller
from syft_ext.client.requestable import Requestable
from syft_ext.display.table import Table, fields_table, size
from syft_ext.dp.columns import ColumnOf
from syft_ext.errors import BadRequest, Forbidden, NotFound
from syft_ext.messages.datasets import SearchEntry
from syft_ext.messages.vocabulary import Scope
from syft_ext.readable import readable

__all__ = ["DomainConnector", "FoundAsset", "Hit", "SearchHits", "Source", "to_be_asked_for"]

Client = TypeVar("Client", bound=DomainCaller)
"""The client of a Domain that the search gives out; no more of it is used here than a Protocol says."""

Connected = TypeVar("Connected", bound=DomainCaller, covariant=True)
HEADINGS = ("name", "kind", "domain", "tags", "size", "assets", "description")


@contextmanager
def to_be_asked_for(name: str, scope: Scope) -> Iterator[None]:
    """Whoever is shown an asset knows that it is there: what a node hides from them they have to ask for."""
    try:
        yield
    except NotFound as error:
        raise Forbidden(
            f"you may see {name!r}, not {scope} it; ask: .request('why', {scope!r})", **error.extra
        ) from error


class DomainConnector(Protocol[Connected]):
    """What leads to the Domains in which something was found: a client of their Network."""

    def logged_in(self, domain_id: str) -> Connected:
        """The Domain with your earlier login there; raises :class:`~syft_ext.errors.NotLoggedIn` without one."""

    def connect(self, domain: str, email: str = "", password: str = "", *, direct: bool = False) -> Connected:
        """The Domain of that id, through the Network or directly."""


class Source(Generic[Client]):
    """Where something was found.

    Attributes:
        name, address, domain_id: of the Domain.
    """

    def __init__(
        self,
        name: str,
        address: str,
        domain_id: str,
        via: DomainConnector[Client] | None,
        client: Client | None,
    ) -> None:
        self.name, self.address, self.domain_id = name, address, domain_id
        self._via, self._client = via, client

    @property
    def client(self) -> Client:
        """The Domain, as you are logged in there; raises :class:`NotLoggedIn`, saying how to log in."""
        if self._client is not None:
            return self._client
        assert self._via is not None
        return self._via.logged_in(self.domain_id)

    def connect(self, email: str = "", password: str = "", *, direct: bool = False) -> Client:
        """As :meth:`~syft_ext.nodes.network.NetworkClient.connect`; at a Domain's own search, that Domain."""
        if self._via is None:
            return self.client
        return self._via.connect(self.domain_id, email, password, direct=direct)


class FoundAsset(Requestable, Generic[Client]):
    """An asset of a dataset, or an object that stands for itself, as it is published: what an analysis takes as a
    table, and what one asks for.

    Attributes:
        object_id: names the private data.
        item: all that its owner published of it.
    """

    def __init__(self, source: Source[Client], object_id: str, name: str, item: dict[str, Any]) -> None:
        self.source, self.object_id, self.name, self.item = source, object_id, name, item

    @property
    def client(self) -> Client:
        """The Domain that has it, as you are logged in there."""
        return self.source.client

    @property
    def columns(self) -> list[str]:
        """The columns that its owner published."""
        return [str(column["name"]) for column in self.item.get("columns", [])]

    @property
    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Column → statistic → number, of those that its owner published."""
        found: dict[str, dict[str, float | None]] = self.item.get("statistics", {})
        return found

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        return self.client, self.object_id

    def column(self, name: str) -> ColumnOf:
        """One of its columns, to ask private queries of."""
        source = self.source
        return ColumnOf(lambda: self.client, source.domain_id, source.name, self.object_id, name)

    def pointer(self) -> Any:
        """A pointer to it, to compute with where it is, if its owner lets you."""
        with to_be_asked_for(self.name, "compute"):
            return self.client.pointer(self.object_id)

    def __repr__(self) -> str:
        return readable(f"<FoundAsset {self.name!r} at {self.source.name}: {', '.join(self.columns) or '?'}>")


class Hit(Requestable, Generic[Client]):
    """One dataset, model or object that a search found, and where it is."""

    def __init__(self, source: Source[Client], entry: SearchEntry) -> None:
        self.source, self.entry = source, entry

    @property
    def id(self) -> str:
        """Of the dataset, the training or the object, at its Domain."""
        return self.entry.id

    @property
    def name(self) -> str:
        """Of the dataset or the model; objects have none."""
        return self.entry.name

    @property
    def kind(self) -> str:
        """ "dataset", "model" or "object"."""
        return self.entry.kind

    @property
    def description(self) -> str:
        return self.entry.description

    @property
    def tags(self) -> list[str]:
        return list(self.entry.tags)

    @property
    def details(self) -> dict[str, Any]:
        """What only this kind has: assets with columns and statistics, version and status, dtype and shape."""
        return self.entry.details

    @property
    def domain_name(self) -> str:
        """What the Domain that has it is called."""
        return self.source.name

    @property
    def domain_address(self) -> str:
        """Where that Domain says that it can be reached."""
        return self.source.address

    def domain(self, email: str = "", password: str = "", *, direct: bool = False) -> Client:
        """Connect to the Domain that has it: see :meth:`~syft_ext.nodes.network.NetworkClient.connect`."""
        return self.source.connect(email, password, direct=direct)

    @property
    def assets(self) -> list[FoundAsset[Client]]:
        """The parts of a dataset that are published, or the object itself: each can be asked for."""
        if self.kind == "object":
            return [FoundAsset(self.source, self.id, self.description[:60] or self.id[:8], self.details)]
        return [
            FoundAsset(self.source, str(asset["object_id"]), f"{self.name}/{asset['name']}", asset)
            for asset in self.details.get("assets", [])
        ]

    def __getitem__(self, name: str | int) -> FoundAsset[Client]:
        """By position, or by the name of the asset."""
        if isinstance(name, int):
            return self.assets[name]
        for asset in self.assets:
            if asset.item.get("name") == name:
                return asset
        raise KeyError(name)

    def _ipython_key_completions_(self) -> list[str]:
        return [str(asset.item["name"]) for asset in self.assets if asset.item.get("name")]

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        """Where it is one asset; of several, ``hit["name"].request(…)`` asks for one."""
        return self._only()._object_to_request(reason)

    def _only(self) -> FoundAsset[Client]:
        found = self.assets
        if len(found) != 1:
            names = ", ".join(str(asset.item.get("name", "")) for asset in found)
            raise BadRequest(f"{self.name or self.kind} has several assets ({names or 'none are published'})")
        return found[0]

    def row(self) -> tuple[Any, ...]:
        """The cells of its row in the table of all hits."""
        sizes = [asset.item.get("size") for asset in self.assets]
        known = [each for each in sizes if each is not None]
        assets = [str(asset.item.get("name", "")) for asset in self.assets if self.kind == "dataset"]
        total = size(sum(known)) if known else None
        return (self.name, self.kind, self.domain_name, self.tags, total, assets, self.description)

    def table(self) -> Table:
        """All that was found of it."""
        fields: list[tuple[str, Any]] = [
            ("description", self.description),
            ("tags", self.tags),
            ("domain", f"{self.domain_name} ({self.domain_address})"),
        ]
        for asset in self.assets:
            fields.append((f"asset {asset.item.get('name', '')}", ", ".join(asset.columns)))
        fields += [(name, value) for name, value in self.details.items() if name != "assets"]
        return fields_table(f"{self.kind.capitalize()} {self.name}", [*fields, ("id", self.id)])

    def __repr__(self) -> str:
        return readable(f"<Hit {self.kind} {self.name!r} at {self.domain_name}>")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class SearchHits(list[Hit[Client]]):
    """What a search at one Domain found, newest first."""

    def __init__(self, hits: Iterable[Hit[Client]]) -> None:
        super().__init__(hits)

    @property
    def assets(self) -> list[FoundAsset[Client]]:
        """The assets of all that was found."""
        return [asset for hit in self for asset in hit.assets]

    def title(self) -> str:
        """The line above the table."""
        return f"{len(self)} found"

    def note(self) -> str:
        """The line below the table; "" for none."""
        return ""

    def table(self) -> Table:
        """One row for each hit."""
        return Table(self.title(), HEADINGS, [hit.row() for hit in self], self.note())

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
