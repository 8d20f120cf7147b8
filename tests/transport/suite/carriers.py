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
from tests.transport.suite.channel import ANSWERING, ChannelTransport
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
    """

    served: ServedNode
    address: str
    nowhere: str
    streams: bool = True

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


#: By name: what serves the probe node over a transport.
CARRIERS: dict[str, Callable[[ServedNode], AbstractContextManager[Carrier]]] = {
    "http": _http,
    "ws": _websocket,
    "local": _local,
    "unix": _unix,
    "channel": _channel,
}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
