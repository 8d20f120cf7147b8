"""The transports that run the suite: how each reaches the probe node."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from grid.web.api.plane import MessagePlane
from grid.web.http.metrics import Instruments
from grid.web.http.settings import WebSettings
from grid.web.testing import ServedNode
from syft_ext.transport import Connection, open_transport, register_transport
from syft_ext.transport.local import add_local_node, remove_local_node
from syft_ext.transport.registry import unregister_transport
from syft_ext.transport.relayed.sealed import answer_sealed
from syft_ext.transport.webrtc.transport import WebRTCTransport
from tests.peers.pool import DirectSignals, gateways_of
from tests.transport.suite.channel import (
    ANSWERING,
    ChannelPipe,
    ChannelTransport,
    SealedChannelTransport,
)
from tests.transport.suite.unix import UnixServer, UnixTransport

__all__ = ["CARRIERS", "Carrier"]


@dataclass(frozen=True, slots=True)
class Carrier:
    """One transport, and the probe node behind it.

    Attributes:
        served: the node, in this process.
        address: where it is.
        nowhere: an address of the same kind where nobody is.
        streams: payloads pass in pieces. Else each is held whole, and there is a limit.
        much: bytes that are much more than it may hold: fewer where they pass slowly while Python traces memory
            (SCTP in Python allocates for each kilobyte).
    """

    served: ServedNode
    address: str
    nowhere: str
    streams: bool = True
    much: int = 48 << 20

    def connect(self, **options: object) -> Connection:
        return Connection(open_transport(self.address), **options)  # type: ignore[arg-type]


@contextlib.contextmanager
def _http(served: ServedNode) -> Iterator[Carrier]:
    yield Carrier(served, served.url, f"http://127.0.0.1:{_free_port()}")


@contextlib.contextmanager
def _websocket(served: ServedNode) -> Iterator[Carrier]:
    yield Carrier(
        served, served.url.replace("http", "ws", 1), f"ws://127.0.0.1:{_free_port()}", streams=False
    )


@contextlib.contextmanager
def _local(served: ServedNode) -> Iterator[Carrier]:
    yield Carrier(served, add_local_node("probe", served.node), "local://nobody")
    remove_local_node("probe")


@contextlib.contextmanager
def _unix(served: ServedNode) -> Iterator[Carrier]:
    register_transport("unix", UnixTransport)
    with tempfile.TemporaryDirectory() as folder, UnixServer(served.node, Path(folder, "s")):
        yield Carrier(served, f"unix://{folder}/s", f"unix://{folder}/nobody")
    unregister_transport("unix")


@contextlib.contextmanager
def _channel(served: ServedNode) -> Iterator[Carrier]:
    plane = MessagePlane(served.node, WebSettings(), Instruments(CollectorRegistry()))
    ANSWERING["probe"] = lambda pipe: plane.serve(pipe, remote="a channel")
    register_transport("channel", ChannelTransport)
    yield Carrier(served, "channel://probe", "channel://nobody")
    unregister_transport("channel")
    del ANSWERING["probe"]


@contextlib.contextmanager
def _sealed(served: ServedNode) -> Iterator[Carrier]:
    """A pipe that its carrier cannot read, as through a Network."""
    plane = MessagePlane(served.node, WebSettings(), Instruments(CollectorRegistry()))
    key = served.node.identity.verify_key

    def answer(pipe: ChannelPipe) -> None:
        plane.serve(answer_sealed(pipe, served.node.identity), remote="a sealed channel")

    ANSWERING["probe-sealed"] = answer
    register_transport("sealed", lambda address, *, ca_file=None: SealedChannelTransport(address, key))
    yield Carrier(served, "sealed://probe-sealed", "sealed://nobody")
    unregister_transport("sealed")
    del ANSWERING["probe-sealed"]


@contextlib.contextmanager
def _webrtc(served: ServedNode) -> Iterator[Carrier]:
    """Data channels that end at a gateway of the node; offers are handed to it directly."""
    with gateways_of(served.node) as pool:

        def open_it(address: str, *, ca_file: str | None = None) -> WebRTCTransport:
            reached = pool if "nobody" not in address else None
            key = served.node.identity.verify_key
            return WebRTCTransport(f"webrtc+http://peers/{key}", signalling=lambda: DirectSignals(reached))

        register_transport("channels", open_it)
        yield Carrier(served, "channels://probe", "channels://nobody", much=10 << 20)
        unregister_transport("channels")


#: By name: what serves the probe node over a transport.
CARRIERS: dict[str, Callable[[ServedNode], AbstractContextManager[Carrier]]] = {
    "http": _http,
    "ws": _websocket,
    "local": _local,
    "unix": _unix,
    "channel": _channel,
    "sealed": _sealed,
    "webrtc": _webrtc,
}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
