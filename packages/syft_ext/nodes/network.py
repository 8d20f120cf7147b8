"""The client of a Network: which Domains there are, and what they publish."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from syft_ext.client.collection import Collection
from syft_ext.client.node_client import NodeClient
from syft_ext.display.table import when
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages import NodeMetadata, Reply
from syft_ext.messages.datasets import SearchEntry
from syft_ext.messages.network import DomainList, DomainView, ListDomains, SearchNetwork, SearchNote
from syft_ext.messages.parameters import checked, parameters_of
from syft_ext.nodes.domain import DomainClient
from syft_ext.nodes.found import FoundAsset, Hit, SearchHits, Source
from syft_ext.nodes.kinds import client_of
from syft_ext.nodes.login import connect, enter, login
from syft_ext.profile import credentials
from syft_ext.profile.credentials import SavedLogin
from syft_ext.transport import Connection, Transport, open_transport
from syft_ext.transport.address import NodeAddress
from syft_ext.transport.relayed.relay import relay_address

if TYPE_CHECKING:
    from syft_ext.statistics.price import AnalysisPrice
    from syft_ext.statistics.result import Analysis

__all__ = ["Domains", "FoundAsset", "Hit", "NetworkClient", "NetworkSearchResults"]


class _RawNetworkHit(Reply):
    """As in :class:`~syft_ext.messages.network.NetworkHit`; what was found is read when somebody looks at it."""

    domain_id: str
    domain_name: str
    domain_address: str
    item: msgspec.Raw


class _SearchReply(Reply):
    results: list[_RawNetworkHit]
    notes: list[SearchNote]
    asked: int
    seconds: float


class _UnreadHit(Hit[DomainClient]):
    """Reading a hundred entries takes longer than the Network's search for them."""

    def __init__(self, source: Source[DomainClient], item: msgspec.Raw) -> None:
        self.source, self._item = source, item

    @cached_property
    def entry(self) -> SearchEntry:  # type: ignore[override]
        return msgspec.msgpack.decode(self._item, type=SearchEntry)


class NetworkSearchResults(SearchHits[DomainClient]):
    """Hits of a search. ``notes`` says which Domains could not answer, and why."""

    def __init__(self, network: NetworkClient, reply: _SearchReply) -> None:
        super().__init__(
            _UnreadHit(
                Source(found.domain_name, found.domain_address, found.domain_id, network, None), found.item
            )
            for found in reply.results
        )
        self.notes = reply.notes
        self.asked, self.seconds = reply.asked, reply.seconds

    def title(self) -> str:
        return f"{len(self)} found at {self.asked} domains in {self.seconds:.2f} s"

    def note(self) -> str:
        return "; ".join(f"{note.domain} did not answer: {note.error}" for note in self.notes)


class Domains(Collection[DomainView]):
    """The Domains of a Network, and how they are."""

    title = "Domains"
    headings = ("name", "status", "address", "has", "last seen", "id")

    def __init__(self, network: NetworkClient) -> None:
        super().__init__(network)
        self._network = network

    def all(self) -> list[DomainView]:
        reply: DomainList = self.client.call(ListDomains())
        return reply.domains

    def get(self, domain_id: str) -> DomainView:
        """By id, address or name. Raises :class:`~syft_ext.errors.NotFound`."""
        return self[domain_id]

    def key(self, item: DomainView) -> tuple[str, ...]:
        return (item.domain_id, self._network.address_of(item), item.name)

    def row(self, item: DomainView) -> tuple[Any, ...]:
        has = [f"{count} {what}" for what, count in item.counts.items()]
        address = self._network.address_of(item)
        return (item.name, item.status, address, has, when(item.last_seen), item.domain_id)


@client_of("network")
class NetworkClient(NodeClient):
    """A Network: it knows Domains, searches them, and carries messages to them."""

    def __init__(self, connection: Connection, metadata: NodeMetadata, session: SavedLogin | None) -> None:
        super().__init__(connection, metadata, session)
        self._clients: dict[str, DomainClient] = {}
        self._transports: dict[str, Transport] = {}  # by the Domain's key

    @property
    def domains(self) -> Domains:
        """The Domains that this Network accepted, and how they are."""
        return Domains(self)

    def address_of(self, domain: DomainView) -> str:
        """Where users reach a Domain: its own address, or the way through this Network if it has none."""
        return str(NodeAddress.parse(domain.address)) if domain.address else _relayed(self, domain)

    @parameters_of(SearchNetwork)
    def search(self, query: SearchNetwork) -> NetworkSearchResults:
        """Search what all Domains publish; they are asked at the same time.

        ``found[0].request("why")`` asks for what was found, at the Domain that has it. Without a kind, datasets
        and models are searched. Domains that are slower than the deadline become a note.
        Raises :class:`~syft_ext.errors.BadRequest` for what no search can be for.
        """
        with self.explained():
            frame = self.open(checked(query), timeout=90.0)
            frame.payload.drain()
            return NetworkSearchResults(self, frame.envelope.reply_as(_SearchReply))

    def connect(
        self,
        domain: str | DomainView,
        email: str = "",
        password: str = "",
        *,
        totp: str = "",
        direct: bool = False,
    ) -> DomainClient:
        """A client of one of the Domains, through this Network, or directly.

        What goes through the Network is sealed to the Domain's key, and signed by you for the Domain, its answers
        by the Domain for you: the Network sees that you talk, not what about, and cannot change it.

        Args:
            domain: its name, id, address or view.
            email, password, totp: log in there (your account at the Network is not one at its Domains).
            direct: talk to the Domain's own address, without the Network in between.
        """
        view = domain if isinstance(domain, DomainView) else self.domains[domain]
        if direct and not view.address:
            raise BadRequest(f"nobody can connect to {view.name} but through this Network")
        if direct:
            if not NodeAddress.parse(view.address).public:
                raise BadRequest(f"{view.address} says nothing outside the machine of {view.name}")
            client = login(view.address, email, password, totp=totp) if email else connect(view.address)
        else:
            client = self._through(view, email, password, totp)
        if not isinstance(client, DomainClient):
            raise NotFound(f"{view.name} is no domain but a {client.kind}")
        return client

    def _through(self, view: DomainView, email: str, password: str, totp: str) -> NodeClient:
        return enter(self._carried(view), self.address_of(view), email, password, totp=totp)

    def _carried(self, view: DomainView) -> Connection:
        transport = self._transports.get(view.verify_key)
        if transport is None:
            transport = open_transport(_relayed(self, view), ca_file=self._ca_file())
            self._transports[view.verify_key] = transport
        return Connection(transport, self.connection.identity, node_key=view.verify_key)

    def _ca_file(self) -> str | None:
        return self.session.ca_file or None if self.session is not None else None

    def logged_in(self, domain_id: str) -> DomainClient:
        """A client of a Domain through this Network, with your earlier login there, however that was made.

        Raises :class:`~syft_ext.errors.NotLoggedIn`, saying how to log in, when there is none.
        """
        client = self._clients.get(domain_id)
        if client is None or client.session is None or client.session.expired:
            view = self.domains[domain_id]
            mine = [each for each in credentials.list_sessions() if each.node_id == domain_id]
            valid = next((each for each in mine if not each.expired), None)
            session = valid or credentials.require(self.address_of(view))
            connection = self._carried(view)
            connection.token = session.token
            client = DomainClient(connection, connection.metadata(), session)
            self._clients[domain_id] = client
        return client

    def analyze(self, tables: Any, statistics: str | Sequence[str], **options: Any) -> Analysis:
        """Statistics of tables at several Domains: see :func:`syft_ext.statistics.analyze.analyze`.

        Log in to the Domains before, for instance by ``network.connect(domain, email, password)``.
        """
        from syft_ext.statistics.analyze import analyze

        return analyze(tables, statistics, **options)

    def price(self, tables: Any, statistics: str | Sequence[str], **options: Any) -> AnalysisPrice:
        """What :meth:`analyze` would cost, asked so: see :func:`syft_ext.statistics.price.price`."""
        from syft_ext.statistics.price import price

        return price(tables, statistics, **options)


def _relayed(network: NetworkClient, view: DomainView) -> str:
    return relay_address(NodeAddress.parse(network.connection.address).http, view.verify_key)
