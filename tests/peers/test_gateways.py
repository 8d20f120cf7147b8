"""Gateways: what they carry and tell, what they hold against peers, how they end and begin again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from grid.node import Node
from grid.peers.gateway.wire import ChannelGreeting, GatewayLimits, encode, reachable
from grid.peers.places import Standing
from grid.peers.pool import GatewayPool
from grid.web.http.settings import WebSettings
from grid.web.testing import ServedNode
from syft_ext.errors import BadRequest, GridError, NotFound, TooManyRequests, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata, Message
from syft_ext.messages.envelope import Envelope, frame_head, seal_request
from syft_ext.transport import Connection, PayloadReader
from syft_ext.transport.pipe import CloseCode, MessagePipe
from syft_ext.transport.segments import Segments
from syft_ext.transport.webrtc.aiortc_engine import AiortcEnd
from syft_ext.transport.webrtc.loop import call
from syft_ext.transport.webrtc.terms import MAX_MESSAGE, STREAMS, WINDOW, Channel
from syft_ext.transport.webrtc.transport import WebRTCTransport
from tests.peers.pool import LIMITS, DirectSignals, gateways_of, until
from tests.transport.webrtc.raw import Deaf, RawPeer
from tests.web.probe import DownloadBytes, Handled, Upload, make_node, token_of

LIMITED = dataclasses.replace(
    LIMITS, gateway=GatewayLimits(sessions=4, memory=128 << 20, idle=300.0, stalled=3.0), per_key=3
)


#: Hostile ends come from this machine's own address, which is no loopback one: it would be slowed down.
UNHURRIED = WebSettings(stranger_rate=100_000.0)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with ServedNode(make_node(tmp_path_factory.mktemp("gateways")), UNHURRIED) as served:
        yield served.node


@pytest.fixture(scope="module")
def other_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """For tests that make gateways of their own: a node has one socket for them."""
    with ServedNode(make_node(tmp_path_factory.mktemp("other")), UNHURRIED) as served:
        yield served.node


@pytest.fixture(scope="module")
def pool(node: Node) -> Iterator[GatewayPool]:
    with gateways_of(node, LIMITED) as made:
        yield made


@pytest.fixture(autouse=True)
def _no_sessions_are_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "pool" in request.fixturenames:
        pool = request.getfixturevalue("pool")
        until(lambda: not pool._sessions)


def token_of_user(node: Node, user: str) -> str:
    return node.tokens.issue("user", user, 600.0)[0]


def an_offer() -> str:
    """Of an end that is not there any more."""

    async def made() -> str:
        end = AiortcEnd(Deaf(), [])
        try:
            return await end.offer()
        finally:
            await end.close()

    return call(made(), 60.0)


@contextlib.contextmanager
def connected(
    pool: GatewayPool, node: Node, key: str = "ab" * 32, *, origin: str = "", user: str = "somebody"
) -> Iterator[Connection]:
    address = f"webrtc+http://peers/{node.identity.verify_key}"
    transport = WebRTCTransport(address, signalling=lambda: DirectSignals(pool, key, origin))
    try:
        yield Connection(transport, node_key=node.identity.verify_key, token=token_of_user(node, user))
    finally:
        transport.close()


@contextlib.contextmanager
def raw_peer(pool: GatewayPool) -> Iterator[RawPeer]:
    peer = RawPeer(DirectSignals(pool, secrets.token_hex(32)).offer)
    try:
        yield peer
    finally:
        peer.close()


def closed_with(peer: RawPeer) -> tuple[int, str]:
    """The code and the reason that the peer was told."""
    peer.until(lambda: peer.why)
    said = [message for message in peer.messages() + peer.messages(Channel.BULK) if message[0] == 5]
    assert said, f"nothing was said ({peer.why})"
    return struct.unpack_from(">H", said[0], 5)[0], said[0][7:].decode()


def test_the_node_sees_where_the_peer_is(
    pool: GatewayPool, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    answering = node.answer_pipe

    def answer(pipe: MessagePipe, *, remote: str, known: Callable[[str], None]) -> None:
        seen.append(remote)
        answering(pipe, remote=remote, known=known)

    monkeypatch.setattr(node, "answer_pipe", answer)
    with connected(pool, node) as connection:
        connection.call(GetMetadata())
        transport = connection.transport
        assert isinstance(transport, WebRTCTransport)
        assert transport.place is not None
    assert len(set(seen)) == 1
    assert seen[0] == transport_address(seen[0])
    assert seen[0] not in ("", "127.0.0.1")


def transport_address(text: str) -> str:
    """It is an address, and this machine's."""
    import ipaddress

    ipaddress.ip_address(text)
    assert text in {
        each.address.partition("%")[0] for many in psutil.net_if_addrs().values() for each in many
    }
    return text


def test_a_gateway_loads_neither_torch_nor_gevent(pool: GatewayPool) -> None:
    (pid,) = pool.pids()
    loaded = Path(f"/proc/{pid}/maps").read_text()
    assert "aiortc" in loaded or "cryptography" in loaded
    for name in ("libtorch", "gevent", "sqlalchemy", "_sqlite3"):
        assert name not in loaded


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b"\x09" + bytes(20)], "never opened|no message of kind"),
        ([b"hello"], "never opened|no message|5 bytes"),
        ([b""], "0 bytes"),
        ([bytes(MAX_MESSAGE + 1)], "bytes"),
        ([Segments(asks=True).reset(1, 1000) or b"\x04\0\0\0\x07\x03\xe8"], "never opened"),
    ],
    ids=["kind", "short", "empty", "long", "stream"],
)
def test_garbage_ends_a_session(pool: GatewayPool, messages: list[bytes], reason: str) -> None:
    with raw_peer(pool) as peer:
        peer.send(*messages)
        code, said = closed_with(peer)
    assert code == CloseCode.PROTOCOL_ERROR
    assert any(part in said for part in reason.split("|")), said


def test_text_and_other_channels_end_a_session(pool: GatewayPool) -> None:
    with raw_peer(pool) as peer:
        peer.on_loop(lambda: peer.end._channels[Channel.CONTROL].send("hello"))
        peer.until(lambda: peer.why)
    with raw_peer(pool) as peer:
        peer.on_loop(lambda: peer.end._connection.createDataChannel("mine"))
        peer.until(lambda: peer.why)


def request(node: Node, message: Message, payload: bytes = b"") -> Envelope:
    """A signed request for ``node``."""
    return seal_request(
        Identity.generate(),
        message,
        now=node.clock.now(),
        recipient=node.id,
        token=token_of(node),
        payload=(payload,) if payload else (),
    )


def test_credit_that_is_exceeded_ends_a_session(
    pool: GatewayPool, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node gives none while nobody reads: a stream's window is all that it ever holds."""
    held = threading.Event()
    monkeypatch.setattr(PayloadReader, "read", lambda self, count=0: held.wait(60.0) and b"")
    asks = Segments(asks=True, max_message=MAX_MESSAGE, window=16 * WINDOW)
    head = frame_head(request(node, Upload(name="held"), bytes(8 << 20)))
    with raw_peer(pool) as peer:
        stream = asks.new_stream()
        peer.send(asks.open(stream, len(head) + (8 << 20), head), channel=Channel.BULK)
        for _ in range(2 * WINDOW // MAX_MESSAGE):
            peer.send(asks.data(stream, bytes(asks.room(stream))), channel=Channel.BULK)
        code, said = closed_with(peer)
    held.set()
    assert (code, said.split()[:2]) == (CloseCode.PROTOCOL_ERROR, ["more", "bytes"])


def test_a_stream_too_many_is_refused_and_the_rest_goes_on(pool: GatewayPool, node: Node) -> None:
    asks = Segments(asks=True, max_message=MAX_MESSAGE, window=WINDOW)
    with raw_peer(pool) as peer:
        for _ in range(STREAMS + 1):
            peer.send(asks.open(asks.new_stream(), 1000, b"GRD1"))
        peer.until(lambda: peer.messages())
        first = peer.messages()[0]
    assert first[:1] == b"\x04"
    assert struct.unpack_from(">IH", first, 1) == (STREAMS + 1, CloseCode.TRY_AGAIN_LATER)


def test_fragments_that_never_become_a_message_end_a_session(pool: GatewayPool) -> None:
    """SCTP's own pieces, which neither the gateway's nor the node's credit sees."""
    with raw_peer(pool) as peer:

        async def flood() -> None:
            from aiortc import rtcsctptransport as sctp

            transport = peer.end._connection.sctp
            assert transport is not None
            n = 0
            while not peer.why:  # some are lost on the way
                chunk = sctp.DataChunk(flags=2 if n == 0 else 0)
                chunk.tsn = transport._local_tsn
                transport._local_tsn = (transport._local_tsn + 1) % 2**32
                chunk.stream_id, chunk.stream_seq, chunk.protocol = 1, 0, 53
                chunk.user_data = bytes(1000)
                await transport._send_chunk(chunk)
                n += 1
                await asyncio.sleep(0.0005)

        peer.run(flood())
        code, said = closed_with(peer)
    assert code == CloseCode.PROTOCOL_ERROR
    assert "no message becomes of it" in said


def test_a_reader_that_takes_nothing_costs_no_memory_and_is_sent_away(pool: GatewayPool, node: Node) -> None:
    """128 MB are asked for: what is held of them is what one channel buffers."""
    (gateway,) = map(psutil.Process, pool.pids())
    before = gateway.memory_info().rss
    asks = Segments(asks=True, max_message=MAX_MESSAGE, window=WINDOW)
    with raw_peer(pool) as peer:
        for _ in range(8):
            head = frame_head(request(node, DownloadBytes(size=16 << 20)))
            stream = asks.new_stream()
            peer.send(asks.open(stream, len(head), head), channel=Channel.BULK)
        peer.until(lambda: sum(map(len, peer.messages(Channel.BULK))) > WINDOW // 2)
        for stream in range(1, 9):  # as if it had read what it was sent
            peer.send(struct.pack(">BII", 3, stream, 1000), channel=Channel.BULK)

        async def silent(data: bytes) -> None: ...

        peer.on_loop(lambda: setattr(peer.end._connection.sctp, "_handle_data", silent))
        most = 0

        def gone() -> bool:
            nonlocal most
            most = max(most, gateway.memory_info().rss)
            return not pool._sessions

        until(gone)
    assert most - before < 24 << 20


def test_one_account_has_so_many_sessions_whatever_keys_offered_them(pool: GatewayPool, node: Node) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(pool, node, secrets.token_hex(32))).call(GetMetadata())
        fourth = stack.enter_context(connected(pool, node, secrets.token_hex(32)))
        with pytest.raises(Unavailable, match="one caller has 3 sessions"):
            while True:  # what it called before that was noticed may have been answered
                fourth.call(GetMetadata())
                assert len(pool) <= 4


def test_where_all_are_accounts_nobody_gives_way(pool: GatewayPool, node: Node) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            account = stack.enter_context(
                connected(pool, node, secrets.token_hex(32), user=f"person {number}")
            )
            account.call(GetMetadata())
        with pytest.raises(TooManyRequests, match="as many peers as fit"):
            stack.enter_context(connected(pool, node, secrets.token_hex(32))).call(GetMetadata())


def test_an_attacker_that_fills_the_gateway_keeps_nobody_out(other_node: Node) -> None:
    """Sessions that are offered and never opened, from one address, as fast as they can be: accounts go on, and
    whoever comes from elsewhere comes in."""
    node = other_node
    limits = dataclasses.replace(LIMITED, per_key=4, per_address=4)
    with gateways_of(node, limits) as pool, contextlib.ExitStack() as stack:
        offered = an_offer()
        account = stack.enter_context(connected(pool, node, secrets.token_hex(32)))
        account.call(GetMetadata())
        until(lambda: [place.standing for place in pool._sessions.values()] == [Standing.ACCOUNT])
        stop, refused = threading.Event(), list[str]()

        def attack() -> None:
            while not stop.wait(0.05):
                signals = DirectSignals(pool, secrets.token_hex(32), origin="203.0.113.9")
                try:
                    signals.offer(offered)
                except GridError as error:
                    refused.append(error.detail)

        attackers = [threading.Thread(target=attack) for _ in range(3)]
        for attacker in attackers:
            attacker.start()
        stack.callback(lambda: [attacker.join() for attacker in attackers])
        stack.callback(stop.set)
        until(lambda: len(pool) == 4 and refused)
        for number in range(2):  # one after the other: once there, all tests' peers are at one address
            with connected(pool, node, secrets.token_hex(32), origin=f"192.0.2.{number}") as newcomer:
                newcomer.call(GetMetadata())
                account.call(GetMetadata())


def test_an_address_has_so_many_sessions(other_node: Node) -> None:
    node = other_node
    with gateways_of(node, dataclasses.replace(LIMITS, per_address=1)) as pool:
        with connected(pool, node) as first:
            first.call(GetMetadata())
            with connected(pool, node, "cd" * 32) as second, pytest.raises(Unavailable, match="one address"):
                second.call(GetMetadata())
            first.call(GetMetadata())
            signals = DirectSignals(pool, "ef" * 32, origin="203.0.113.9")
            offered = an_offer()
            signals.offer(offered)
            again = DirectSignals(pool, "01" * 32, origin="203.0.113.9")
            with pytest.raises(TooManyRequests, match="one address"):
                again.offer(offered)
        until(lambda: not pool._sessions)


def test_what_is_silent_for_long_is_closed_and_opened_again(other_node: Node) -> None:
    node = other_node
    limits = dataclasses.replace(LIMITS, gateway=GatewayLimits(sessions=4, memory=1 << 20, idle=0.5))
    with gateways_of(node, limits) as pool, connected(pool, node) as connection:
        connection.call(GetMetadata())
        until(lambda: not pool._sessions)
        connection.call(GetMetadata())
        until(lambda: not pool._sessions)


def test_offers_and_candidates_that_are_none(pool: GatewayPool) -> None:
    with pytest.raises(BadRequest):
        pool.offer("11" * 16, "this is no offer", "ab" * 32, 30.0)
    assert pool.answer("11" * 16, "ab" * 32) is None
    with pytest.raises(NotFound):
        pool.candidates("11" * 16, "ab" * 32, [], done=True)
    with raw_peer(pool):
        ((key, session),) = pool._sessions
        assert pool.answer(session, key)
        assert pool.answer(session, "00" * 32) is None
        assert pool.candidates(session, key, ["candidate:1 1 udp 1 192.0.2.9 9 typ host"], done=True).done
        with pytest.raises(BadRequest):
            pool.candidates(session, key, ["candidate:nothing"], done=False)
        with pytest.raises(NotFound):
            pool.candidates(session, "00" * 32, [], done=True)


def test_nobody_else_may_say_where_a_peer_is(pool: GatewayPool, node: Node) -> None:
    """The socket is for this user alone, and of this user's processes for gateways alone."""
    path = node.home / "gateways.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    greeting = encode(ChannelGreeting("ab" * 32, "cd" * 16, 0, "203.0.113.7", "host"))
    with socket.socket(socket.AF_UNIX) as intruder, reachable(path) as name:
        intruder.connect(name)
        with contextlib.suppress(BrokenPipeError):
            intruder.sendall(greeting)
        intruder.settimeout(60)
        with contextlib.suppress(ConnectionResetError):
            assert intruder.recv(1) == b""
    assert not pool._sessions


def test_a_gateway_that_is_killed_is_started_again_and_calls_go_on(pool: GatewayPool, node: Node) -> None:
    with connected(pool, node) as connection:
        connection.call(GetMetadata())
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGKILL)
        until(lambda: pool.pids() and pool.pids() != [pid])
        assert not pool._sessions
        connection.transport.close()  # the caller need not wait until ICE finds out

        def works() -> bool:
            with contextlib.suppress(Unavailable):
                connection.call(GetMetadata())
                return True
            return False

        until(works)
    pool.check()


def test_an_offer_waits_for_a_gateway_that_starts(pool: GatewayPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.peers.pool._STARTING", 60.0)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    until(lambda: pool.pids() != [pid])
    with pytest.raises(BadRequest):  # the gateway's word: it read the offer
        pool.offer("22" * 16, "v=0", "ab" * 32, 60.0)


def test_readiness_says_why_no_gateway_runs(other_node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with gateways_of(other_node) as pool:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGKILL)

        def broken() -> bool:
            try:
                pool.check()
            except Unavailable as error:
                return "status 1" in str(error)
            return False

        until(broken)
        with pytest.raises(Unavailable):
            pool.offer("11" * 16, "v=0", "ab" * 32, 1.0)


def test_a_gateway_ends_with_its_node(tmp_path: Path) -> None:
    """Also when the node is killed: nobody is left who could tell it."""
    code = """
import sys, time
from pathlib import Path
from grid.web.http.settings import WebSettings
from grid.web.testing import ServedNode
from tests.peers.pool import gateways_of
from tests.web.probe import make_node
served = ServedNode(make_node(Path(sys.argv[1])))
with gateways_of(served.node) as pool:
    print(*pool.pids(), flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "home")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        gateway = psutil.Process(int(process.stdout.readline()))
        process.kill()
    until(lambda: not gateway.is_running() or gateway.status() == psutil.STATUS_ZOMBIE)


def test_an_upload_is_handled_once_and_whole(pool: GatewayPool, node: Node) -> None:
    with connected(pool, node) as connection:
        data = secrets.token_bytes(3 << 20)
        connection.call(Upload(name="one"), (data,))
        assert connection.call(Handled(name="one")).size == 1
        reply, got = connection.download(DownloadBytes(size=3 << 20))
        assert reply.size == len(got) == 3 << 20
