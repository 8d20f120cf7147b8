"""A worker's calls to the Domain, for one training: authenticated, over HTTP and one WebSocket.

Waiting for a cycle goes over a WebSocket (the Domain pushes the answer); models and reports, which may be
large, stream over HTTP. Where no WebSocket gets through, the wait is a long poll over HTTP.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from syft_ext.errors import DeadlineExceeded, GridError, InvalidEnvelope, Unavailable
from syft_ext.federated.speed import Speeds, measure
from syft_ext.identity import Identity
from syft_ext.messages import Message
from syft_ext.messages.federated import AuthenticateWorker, CheckIn, CheckInReply, WorkerView
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.profile.known_nodes import meet
from syft_ext.transport import Connection, Transport, WebSocketTransport, open_transport
from syft_ext.transport.address import NodeAddress
from syft_ext.transport.base import Buffers, Path

__all__ = ["WorkerSession", "WorkerTransports"]

PATIENCE = 30.0  # seconds beyond a wait that the answer itself may take


class WorkerTransports:
    """The transports of one :class:`FLClient`, shared by its jobs. Opened at first use.

    Args:
        transport: use this one for everything (in-process tests and simulations).
    """

    def __init__(
        self,
        address: NodeAddress,
        identity: Identity,
        *,
        ca_file: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.address, self.identity = address, identity
        self._ca_file = ca_file
        self._bulk = transport
        self._single = transport is not None or address.websocket or not address.web
        self._push: Transport | None = None
        self._node_key = ""
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """How the node is reached; nothing is said before it was."""
        bulk = self._bulk
        return bulk.path if bulk is not None else Path(taken="", failed={})

    def bulk(self, token: str) -> Connection:
        """For everything but waiting. Holds the node to the key that is pinned for its address."""
        with self._lock:
            if self._bulk is None:
                self._bulk = open_transport(self.address.url, ca_file=self._ca_file)
            connection = Connection(self._bulk, self.identity, node_key=self._node_key, token=token)
            if not self._node_key:
                meet(connection, str(self.address))
                self._node_key = connection.node_key
            return connection

    def push(self, token: str) -> Connection:
        """For waiting: over a WebSocket if one gets through, else as :meth:`bulk`."""
        bulk = self.bulk(token)
        with self._lock:
            if self._push is None:
                self._push = bulk.transport if self._single else self._open_push(bulk)
            return Connection(self._push, self.identity, node_key=self._node_key, token=token)

    def _open_push(self, bulk: Connection) -> Transport:
        transport = WebSocketTransport(self.address.ws, ca_file=self._ca_file)
        try:
            Connection(transport, self.identity, node_key=self._node_key).metadata()
        except (Unavailable, DeadlineExceeded, InvalidEnvelope):
            transport.close()
            bulk.metadata()  # the node is there: only WebSockets are not
            return bulk.transport
        return transport

    def hang_up(self) -> None:
        """Close the WebSocket: whoever waits on it is interrupted; the next wait opens another."""
        with self._lock:
            push, self._push = self._push, None
        if push is not None and push is not self._bulk:
            push.close()

    def close(self) -> None:
        """Close both connections; whoever waits is interrupted."""
        self.hang_up()
        with self._lock:
            if self._bulk is not None:
                self._bulk.close()


class WorkerSession:
    """One worker in one training.

    Args:
        login: the token of the account that takes part, asked for at each authentication; "" without one.

    Attributes:
        device: tells it apart from other workers with the same key.
        bounds: what its owner lets out at most, as it is declared to the Domain; None: nothing is declared.
        worker: what the Domain answered to the authentication; None before it.
        speeds: measured when the training asks for it.
    """

    def __init__(
        self,
        transports: WorkerTransports,
        name: str,
        version: str,
        auth_token: str,
        *,
        device: str = "",
        login: Callable[[], str] = lambda: "",
        bounds: WorkerBounds | None = None,
    ) -> None:
        self.transports, self.name, self.version = transports, name, version
        self.auth_token, self.device, self.bounds = auth_token, device, bounds
        self._login = login
        self.worker: WorkerView | None = None
        self.speeds: Speeds | None = None

    def authenticate(self) -> WorkerView:
        """Join the training, or get a fresh token: the same key keeps the same worker id."""
        message = AuthenticateWorker(
            model_name=self.name,
            model_version=self.version,
            auth_token=self.auth_token,
            device=self.device,
            bounds=self.bounds,
        )
        worker: WorkerView = self.transports.bulk(self._login()).call(message)
        self.worker = worker
        return worker

    @property
    def process_id(self) -> str:
        """The id of the training; joins it first."""
        return (self.worker or self.authenticate()).process_id

    @property
    def node_key(self) -> str:
        """The Domain's key, that every answer is held to."""
        return self.transports.bulk("").node_key

    def _token(self) -> str:
        return (self.worker or self.authenticate()).token

    def check_in(self, idempotency_key: str, wait: float = 0.0) -> CheckInReply:
        """Ask for a part in a cycle; ``wait`` is how many seconds the Domain may hold the answer."""
        token = self._token()
        if self.worker is not None and self.worker.requires_speed_test and self.speeds is None:
            self.speeds = measure(self.transports.bulk(token))
        message = CheckIn(idempotency_key=idempotency_key, wait=wait, heartbeats=True)
        if self.speeds is not None:
            message.ping, message.download, message.upload = (
                self.speeds.ping,
                self.speeds.download,
                self.speeds.upload,
            )
        connection = self.transports.push(token) if wait else self.transports.bulk(token)
        try:
            reply: CheckInReply = connection.call(message, timeout=wait + PATIENCE)
        except (Unavailable, DeadlineExceeded):
            self.transports.hang_up()
            raise
        return reply

    def call(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> Any:
        """Ask the Domain over HTTP as this worker; ``timeout`` in seconds."""
        return self.transports.bulk(self._token()).call(message, payload, timeout=timeout)

    def download(self, message: Message) -> tuple[Any, bytearray]:
        """The reply, and the bytes that came with it, which are in memory as a whole."""
        reply, data = self.transports.bulk(self._token()).download(message)
        return reply, data

    def call_quietly(self, message: Message) -> None:
        """For farewells: at most a few seconds, and no error."""
        with contextlib.suppress(GridError):
            self.call(message, timeout=5.0)
