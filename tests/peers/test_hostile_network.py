"""A Network that reads, alters, drops or answers what it is to carry, while a session is signalled through it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import apps.domain.app
import apps.network.app
import syft_ext as sy
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings, NetworkSettings
from grid.network import monitor, relaying
from grid.network.associations import AssociationService
from grid.web.testing import ServedNode
from syft_ext.errors import GridError
from syft_ext.identity import Identity
from syft_ext.messages.network import RequestAssociation
from syft_ext.transport import Connection
from syft_ext.transport.pipe import CloseCode, MessagePipe
from syft_ext.transport.relayed.sealed import answer_sealed
from syft_ext.transport.ways import transport as ways
from syft_ext.transport.ways.race import race
from syft_ext.transport.webrtc import session as webrtc_session
from syft_ext.transport.webrtc.transport import WebRTCTransport
from tests.peers.pool import until

OWNER, PASSWORD = "owner@grid.example", "correct horse battery"


class Hostile:
    """A Network whose relay does as it is told, and a Domain that takes peers."""

    def __init__(self, root: Path, template: Path) -> None:
        self._root, self._template, self.served = root, template, list[ServedNode]()
        network = NetworkSettings(name="net", auto_accept=True, allow_addresses=["127.0.0.0/8"])
        self.network = self._serve("net", apps.network.app.build, network)
        domain = DomainSettings(
            name="north", keep_line=True, peers=True, heartbeat_interval=0.5, allow_addresses=["127.0.0.0/8"]
        )
        self.domain = self._serve("north", apps.domain.app.build, domain)
        owner = sy.login(self.domain.url, OWNER, PASSWORD)
        assert owner.call(RequestAssociation(address=self.network.url)).status == "accepted"
        # Else what is refused below would be refused for want of anybody to refuse it.
        lines = self.network.node.service(AssociationService).lines
        until(lambda: lines.line(self.domain.node.identity.verify_key) is not None)
        until(lambda: self.domain.node.checks()["gateways"] == "ok")

    def _serve(self, name: str, build: Any, settings: Any) -> ServedNode:
        home = self._root / name
        home.mkdir()
        shutil.copyfile(self._template, home / "node.db")
        node = build(home, settings)
        bootstrap_owner(node, OWNER, PASSWORD)
        served = ServedNode(node)
        self.served.append(served)
        return served

    def call(self) -> str:
        """The name of the node that answers over WebRTC."""
        key = self.domain.node.identity.verify_key
        transport = WebRTCTransport(f"webrtc+{self.network.url}/{key}")
        try:
            return Connection(transport, node_key=key).metadata().name
        finally:
            transport.close()

    def close(self) -> None:
        for served in reversed(self.served):
            served.close(0.5)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Hostile]:
    from tests.user_folder import fresh_user

    with fresh_user(tmp_path_factory.mktemp("user")):
        scene = Hostile(tmp_path_factory.mktemp("nodes"), sqlite_template)
        yield scene
        scene.close()


class Tap(MessagePipe):
    """A pipe of the relay, with its hand in what goes through."""

    def __init__(self, pipe: MessagePipe, change: Any) -> None:
        self._pipe, self._change = pipe, change

    @property
    def max_message(self) -> int | None:
        return self._pipe.max_message

    def receive(self) -> bytes | None:
        while (message := self._pipe.receive()) is not None:
            if (changed := self._change(bytes(message))) is not None:
                return bytes(changed)
        return None

    def send(self, message: Any) -> None:
        self._pipe.send(message)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._pipe.close(code, reason)


def _relay_that(patch: pytest.MonkeyPatch, make_change: Any) -> None:
    """``make_change()`` is what it does on one connection."""
    honest = relaying.splice

    def splice(one: MessagePipe, other: MessagePipe) -> None:
        change = make_change()
        honest(Tap(one, change), Tap(other, change))

    patch.setattr(relaying, "splice", splice)


def test_a_network_that_reads_learns_nothing_of_a_session(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def read(message: bytes) -> bytes:
        seen.append(message)
        return message

    _relay_that(monkeypatch, lambda: read)
    assert hostile.call() == "north"
    text = b"".join(seen)
    assert len(text) > 1000
    for secret in (b"fingerprint", b"candidate", b"peers.offer", b"ice-pwd", b"v=0", b"north"):
        assert secret not in text, secret


@pytest.mark.parametrize("at", range(6))
def test_a_network_that_alters_anything_gets_no_session(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The message of that number on each connection, whoever sends it, in one byte."""
    altered: list[bytes] = []

    def make() -> Any:
        numbers = itertools.count()

        def alter(message: bytes) -> bytes:
            if next(numbers) != at:
                return message
            altered.append(message)
            middle = len(message) // 2
            return message[:middle] + bytes([message[middle] ^ 1]) + message[middle + 1 :]

        return alter

    _relay_that(monkeypatch, make)
    with pytest.raises(GridError):
        hostile.call()
    assert altered


def test_a_network_that_drops_an_offer_ends_the_try(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the time that an offer has, and with no session at either end."""
    from syft_ext.transport.webrtc import signalling

    monkeypatch.setattr(signalling, "ANSWERING", 1.0)

    def make() -> Any:
        numbers = itertools.count()
        return lambda message: (
            message if next(numbers) < 2 else None
        )  # the pipe is opened: then, nothing more

    _relay_that(monkeypatch, make)
    with pytest.raises(GridError):
        hostile.call()


def test_a_network_that_answers_itself_is_not_taken_for_the_domain(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a session of its own, whose fingerprint is its own: all that it lacks is the Domain's key."""
    impostor = Identity.generate()
    tried: list[GridError] = []

    def answer(one: MessagePipe, other: MessagePipe) -> None:
        try:
            hostile.network.node.answer_pipe(answer_sealed(one, impostor), remote="")
        except GridError as error:
            tried.append(error)
        finally:
            one.close()
            other.close()

    monkeypatch.setattr(relaying, "splice", answer)
    with pytest.raises(GridError):
        hostile.call()
    assert tried


def test_a_fingerprint_that_is_not_the_signed_one_gets_no_session(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a signature were no obstacle, DTLS would be: it holds the peer to the fingerprint."""
    real = webrtc_session.PeerSession._open

    async def swapped(self: Any, answer: str) -> None:
        head, _, rest = answer.partition("a=fingerprint:sha-256 ")
        first = "00" if not rest.startswith("00") else "FF"
        await real(self, f"{head}a=fingerprint:sha-256 {first}{rest[2:]}")

    monkeypatch.setattr(webrtc_session.PeerSession, "_open", swapped)
    with pytest.raises(GridError, match="holds another key"):
        hostile.call()


def test_a_network_that_tells_its_own_address_reads_nothing_of_what_it_carries_there(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It carries all to the Domain, whose answers prove themselves: so nothing may be said in the open."""
    with Carrier(hostile.domain.url) as carrier:
        monkeypatch.setattr(monitor, "shown_address", lambda _: carrier.url)
        monkeypatch.setattr(ways, "race", partial(race, stagger=60.0))
        key = hostile.domain.node.identity.verify_key
        client = sy.login(f"grid+{hostile.network.url}/{key}", OWNER, PASSWORD)
        assert client.connection.path["taken"] == "direct"
        client.close()
        seen = carrier.seen()
    assert len(seen) > 1000
    for secret in (PASSWORD, OWNER, "users.login", "node.metadata", "north"):
        assert secret.encode() not in seen, secret


class Carrier:
    """Carries bytes to ``url``, and keeps them."""

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self._there = (there.hostname or "", there.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._seen, self._open = list[bytes](), [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def seen(self) -> bytes:
        return b"".join(self._seen)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._there)
                self._open += near, far
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                self._seen.append(data)
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):  # it was never connected, or is not any more
                each.shutdown(socket.SHUT_RDWR)
            each.close()
