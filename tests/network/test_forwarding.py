"""Messages carried by the Network to a Domain."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from grid.network.forwarding import ForwardingService
from grid.node import Context, Download, Node, Service, handles
from syft_ext.errors import BadSignature, NotFound, ReplayedMessage, TooLarge, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import Empty, GetMetadata
from syft_ext.messages.envelope import seal_request
from syft_ext.messages.federated import BlobView, SpeedSample, SpeedUpload
from syft_ext.messages.network import DeleteAssociation, RequestAssociation
from syft_ext.transport import Connection, LocalTransport, PayloadReader
from tests.network.nodes import World
from tests.network.test_associations import rows


class Echo(Service):
    """Takes and gives bytes, by two operations that exist; its callers count as workers."""

    received: list[bytes]

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.received = []

    @handles(SpeedUpload)
    def take(self, ctx: Context, message: SpeedUpload) -> Empty:
        self.received.append(bytes(ctx.body.read_all()))
        return Empty()

    @handles(SpeedSample)
    def give(self, ctx: Context, message: SpeedSample) -> Download:
        import blake3

        data = b"x" * message.size
        digest = blake3.blake3(data).hexdigest()
        return Download(BlobView(digest=digest, size=len(data)), lambda a, b: [data[a:b]], len(data), digest)


@pytest.fixture
def pair(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Node, Node]:
    from grid.node.principal import Principal

    monkeypatch.setattr(
        Echo, "principal_of_key", lambda self, key: Principal("worker", "w", key), raising=False
    )
    network, domain = world.network(auto_accept=True, forward_limit=1 << 20), world.domain("a", Echo)
    world.call(domain, RequestAssociation(address=network.address))
    return network, domain


def through(world: World, network: Node, domain: Node, identity: Identity | None = None) -> Connection:
    world.clock.advance(0.001)
    return Connection(
        LocalTransport(network),
        identity or Identity.generate(),
        node_key=domain.identity.verify_key,
        relay_key=network.identity.verify_key,
        clock=world.clock,
    )


def test_a_message_is_carried_and_the_answer_is_the_domains(world: World, pair: tuple[Node, Node]) -> None:
    network, domain = pair
    reply = through(world, network, domain).call(GetMetadata())
    assert (reply.node_id, reply.kind) == (domain.id, "domain")
    with pytest.raises(BadSignature):  # the Network cannot answer in the Domain's name
        connection = through(world, network, domain)
        connection._recipient = network.id
        connection.call(GetMetadata())


def test_payloads_are_carried_both_ways(world: World, pair: tuple[Node, Node]) -> None:
    network, domain = pair
    through(world, network, domain).call(SpeedUpload(), [b"abc", b"def"])
    assert domain.service(Echo).received == [b"abcdef"]
    view, data = through(world, network, domain).download(SpeedSample(size=100_000))
    assert data == b"x" * 100_000
    assert view.size == 100_000


def test_a_changed_payload_is_refused_by_the_domain(world: World, pair: tuple[Node, Node]) -> None:
    from syft_ext.errors import BadRequest

    network, domain = pair
    sender = Identity.generate()
    envelope = seal_request(
        sender, SpeedUpload(), now=world.clock.now(), recipient=domain.id, payload=[b"what was signed"]
    )
    with pytest.raises(BadRequest):
        frame = network.receive(envelope, PayloadReader.of(b"another payload", envelope.payload_digest))
        from syft_ext.messages import Empty as Nothing
        from syft_ext.messages.envelope import open_frame

        open_frame(b"".join(frame))[0].reply_as(Nothing)
    assert domain.service(Echo).received == []


def test_sizes_are_limited_both_ways(world: World, pair: tuple[Node, Node]) -> None:
    network, domain = pair
    with pytest.raises(TooLarge):
        through(world, network, domain).call(SpeedUpload(), [b"x" * ((1 << 20) + 1)])
    with pytest.raises(TooLarge):
        through(world, network, domain).download(SpeedSample(size=(1 << 20) + 1))


def test_only_associated_domains_that_are_online(world: World, pair: tuple[Node, Node]) -> None:
    network, domain = pair
    stranger = world.domain("stranger")
    with pytest.raises(NotFound):
        through(world, network, stranger).call(GetMetadata())
    world.down.add(domain.address)
    with pytest.raises(Unavailable, match="cannot be reached"):
        through(world, network, domain).call(GetMetadata())
    world.down.clear()
    world.clock.advance(21)
    with pytest.raises(Unavailable, match="offline"):
        through(world, network, domain).call(GetMetadata())
    world.call(network, DeleteAssociation(association_id=rows(network)[0].id))
    with pytest.raises(NotFound):
        through(world, network, domain).call(GetMetadata())


def test_a_message_does_not_go_in_circles(world: World, pair: tuple[Node, Node]) -> None:
    network, domain = pair
    forwarded = _count_forwards(network)
    world.nodes[domain.address] = network  # the Domain's name now leads to the Network itself
    with pytest.raises((ReplayedMessage, BadSignature)):
        through(world, network, domain).call(GetMetadata())
    assert forwarded() == 2  # once there, once back, and then it stopped


def _count_forwards(network: Node) -> Callable[[], int]:
    service, calls = network.service(ForwardingService), []
    original = service.forward

    def counted(*arguments):  # type: ignore[no-untyped-def]
        calls.append(1)
        return original(*arguments)

    service.forward = counted  # type: ignore[method-assign]
    return lambda: len(calls)


def test_a_message_is_carried_once(world: World, pair: tuple[Node, Node]) -> None:
    network, domain = pair
    envelope = seal_request(Identity.generate(), GetMetadata(), now=world.clock.now(), recipient=domain.id)
    network.receive(envelope, PayloadReader.of(b""))
    from syft_ext.messages import NodeMetadata
    from syft_ext.messages.envelope import open_frame

    second = b"".join(network.receive(envelope, PayloadReader.of(b"")))
    with pytest.raises(ReplayedMessage):
        open_frame(second)[0].reply_as(NodeMetadata)
