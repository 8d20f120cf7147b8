"""One gateway of a node: its process, started again whenever it ends, and what is asked of it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from grid.peers.gateway.wire import (
    MAX_ORDER,
    CandidatesOrder,
    DropOrder,
    GatewayLimits,
    OfferOrder,
    OrderDone,
    OrderRefused,
    SessionEnded,
    Splitter,
    decode_from_gateway,
    encode,
)
from syft_ext.errors import GridError, Unavailable, from_problem
from syft_ext.transport.backoff import Backoff

__all__ = ["GatewayProcess"]

logger = logging.getLogger(__name__)

_STEADY = 30.0
"""Seconds after which a gateway that ran counts as one that runs."""
_GRACE = 5.0
_KEPT_OF_OURS = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


class GatewayProcess:
    """Keeps one gateway running until :meth:`stop`.

    Args:
        there: called when it takes orders from now on.
        gone: called when a gateway is gone, and its sessions with it. ended: called when one session is.

    Attributes:
        pid: of the process that runs now; 0 while none does.
        why: why none did, the last time.
        carried: sessions that it ends; its pool counts them.
    """

    def __init__(
        self,
        number: int,
        socket_path: Path,
        limits: GatewayLimits,
        there: Callable[[], None],
        gone: Callable[[GatewayProcess], None],
        ended: Callable[[GatewayProcess, SessionEnded], None],
    ) -> None:
        self._name, self._socket_path, self._limits = f"gateway {number}", socket_path, limits
        self._there, self._gone, self._ended = there, gone, ended
        self.pid, self.why, self.carried = 0, "it has not started yet", 0
        self._stopping = threading.Event()
        self._numbers = itertools.count(1)
        self._asked: dict[int, _PendingOrder] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)

    @property
    def ready(self) -> bool:
        """Whether it takes orders now."""
        return self._orders is not None

    def start(self) -> None:
        """Start the process, again and again."""
        self._thread.start()

    def stop(self) -> None:
        """End it, in order if it does so in time."""
        self._stopping.set()
        self._hang_up()  # it ends by itself once its connection is gone
        self._thread.join(_GRACE)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join()

    # -- the process --------------------------------------------------------------------------------

    def _run(self) -> None:
        backoff = Backoff(0.2, 15.0, stop=self._stopping)
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                said = self._run_once()
            except OSError as error:
                said = f"it could not be started: {error.strerror}"
            if self._stopping.is_set():
                return
            self.why = said
            logger.warning("%s of the peers ended (%s); it is started again", self._name, said)
            if time.monotonic() - begun > _STEADY:
                backoff.reset()
            backoff.wait()

    def _run_once(self) -> str:
        """Run it to its end; how it ended."""
        arguments = [str(self._socket_path), msgspec.json.encode(self._limits).decode()]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "grid.peers.gateway", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the node, which then ends this one in order
            env=_environment(),
        )
        self._process, self.pid = process, process.pid
        try:
            status = process.wait()
        finally:
            self.pid = 0
            self._hang_up()
            self._fail_all("the gateway ended")
            self._gone(self)
        return f"signal {-status}" if status < 0 else f"status {status}"

    def _hang_up(self) -> None:
        with self._sending:
            orders, self._orders = self._orders, None
        if orders is not None:
            with contextlib.suppress(OSError):  # it hung up first
                orders.shutdown(socket.SHUT_RDWR)

    # -- orders -------------------------------------------------------------------------------------

    def take_orders(self, connection: socket.socket, splitter: Splitter) -> None:
        """The connection for orders has come: hear what is said on it until it ends."""
        connection.settimeout(None)
        with self._sending:
            self._orders = connection
        self._there()
        try:
            while data := connection.recv(64 << 10):
                for message in splitter.messages(data):
                    self._heard(message)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            logger.warning("%s of the peers: %s", self._name, error)
        finally:
            with self._sending:
                if self._orders is connection:
                    self._orders = None
            self._fail_all("the gateway ended")

    def _heard(self, data: bytes) -> None:
        message = decode_from_gateway(data)
        if isinstance(message, SessionEnded):
            self._ended(self, message)
            return
        with self._lock:
            asked = self._asked.pop(message.number, None)
        if asked is not None:
            asked.answer(message)

    def ask(self, order: OfferOrder | CandidatesOrder, timeout: float) -> str:
        """What it answers. Raises what it refuses, :class:`Unavailable` when it does not answer in time."""
        order.number = next(self._numbers)
        asked = _PendingOrder()
        with self._lock:
            self._asked[order.number] = asked
        try:
            self._send(encode(order))
            return asked.wait(timeout)
        finally:
            with self._lock:
                self._asked.pop(order.number, None)

    def drop(self, order: DropOrder) -> None:
        """Let it close a session; it may have done so."""
        with contextlib.suppress(Unavailable):  # with the gateway, its sessions ended
            self._send(encode(order))

    def _send(self, data: bytes) -> None:
        if len(data) > MAX_ORDER:
            raise ValueError("too large an order")
        with self._sending:
            if self._orders is None:
                raise Unavailable("the gateway is not there just now; try again")
            try:
                self._orders.sendall(data)
            except OSError as error:
                raise Unavailable("the gateway ended; try again") from error

    def _fail_all(self, why: str) -> None:
        with self._lock:
            asked, self._asked = list(self._asked.values()), {}
        for each in asked:
            each.fail(Unavailable(why))


class _PendingOrder:
    def __init__(self) -> None:
        self._done = threading.Event()
        self._sdp = ""
        self._error: GridError | None = None

    def answer(self, message: OrderDone | OrderRefused) -> None:
        if isinstance(message, OrderRefused):
            self.fail(from_problem(message.problem))
            return
        self._sdp = message.sdp
        self._done.set()

    def fail(self, error: GridError) -> None:
        self._error = error
        self._done.set()

    def wait(self, timeout: float) -> str:
        if not self._done.wait(timeout):
            raise Unavailable("the gateway does not answer")
        if self._error is not None:
            raise self._error
        return self._sdp


def _environment() -> dict[str, str]:
    """Nothing of the node's secrets: what the interpreter needs."""
    kept = {name: os.environ[name] for name in _KEPT_OF_OURS if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
