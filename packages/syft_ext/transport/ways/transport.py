"""A node behind a Network by every way that leads there.

``grid+https://network:443/<verify key>`` (``grid+http`` where the Network has no TLS); ``grid+webrtc://network/…``
is another way to write ``grid+https``. In place of the key the name may stand that the Network knows the node by:
the Network is asked once for its key, that is said, and the node is held to it.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from syft_ext.errors import BadRequest, BadSignature, GridError, Unavailable, Unsupported
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata
from syft_ext.messages.envelope import Envelope
from syft_ext.messages.network import DomainLocation, LocateDomain
from syft_ext.readable import readable
from syft_ext.transport.base import IncomingFrame, Path, Pieces, Transport
from syft_ext.transport.connection import Connection
from syft_ext.transport.dialing import Dial
from syft_ext.transport.http import HTTPTransport
from syft_ext.transport.relayed.relay import RelayTransport, relay_address
from syft_ext.transport.relayed.straight import StraightTransport
from syft_ext.transport.ways.race import Outcome, Way, race
from syft_ext.transport.webrtc.signalling import Signalling
from syft_ext.transport.webrtc.transport import Carry, WebRTCTransport

__all__ = ["WaysTransport"]

logger = logging.getLogger(__name__)

PROVING = 10.0
"""Seconds in which whoever is at the end of a way proves that they are the node."""
TRYING = 30.0
"""Seconds after which no way leads there."""
CHECKING = 5.0
_KEY = re.compile(r"[0-9a-f]{64}")
_SCHEMES = {"grid+http": "http", "grid+https": "https", "grid+webrtc": "https"}


class WaysTransport(Transport):
    """Takes the first way that leads to the node, and another one when that breaks.

    Where sockets are dialled for it (in a node's own process) it opens none for WebRTC.

    Attributes:
        verify_key: the node's; "" while only its name is known.
    """

    public = True

    def __init__(self, address: str, *, ca_file: str | None = None, dial: Dial | None = None) -> None:
        parts = urlsplit(address)
        name = unquote(parts.path.removeprefix("/"))
        if parts.scheme not in _SCHEMES or not parts.netloc or not name or "/" in name:
            raise BadRequest(
                f"a node behind a Network is at {parts.scheme}://network:port/<its verify key, or its name there>"
            )
        self.address = address
        self._network = f"{_SCHEMES[parts.scheme]}://{parts.netloc}"
        self._name = name
        self.verify_key = name if _KEY.fullmatch(name) else ""
        self._ca_file, self._dial = ca_file, dial
        self._lock = threading.Lock()
        self._taken: Outcome | None = None
        self._broken: dict[str, str] = {}  # way → why, of those that were taken and broke

    # -- exchanges ----------------------------------------------------------------------------------

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        taken = self._connected()
        try:
            return taken.transport.exchange(envelope, payload, timeout=timeout)
        except Unavailable as error:
            if not self._goes_on(taken):
                self._drop(taken, error.detail)
            raise

    def _connected(self) -> Outcome:
        with self._lock:
            if self._taken is not None and self._taken.transport.is_broken():
                self._let_go(self._taken, "it broke")
            if self._taken is None:
                self._taken = self._find()
                self._taken.transport.ahead = self.ahead
            return self._taken

    def _goes_on(self, taken: Outcome) -> bool:
        """Whether a way still leads there, although an exchange over it failed."""
        if taken.transport.is_broken():
            return False
        try:
            self._prove(taken.transport, CHECKING)
        except GridError:
            return False
        return True

    def _drop(self, taken: Outcome, why: str) -> None:
        with self._lock:
            if self._taken is taken:
                self._let_go(taken, why)

    def _let_go(self, taken: Outcome, why: str) -> None:
        logger.warning(
            "the way %s to %s broke (%s); the others are tried", taken.name, self.address, readable(why)
        )
        self._broken[taken.name] = f"it broke: {why}"
        self._taken = None
        threading.Thread(target=taken.transport.close, daemon=True).start()

    # -- finding a way ------------------------------------------------------------------------------

    def _find(self) -> Outcome:
        network = HTTPTransport(self._network, ca_file=self._ca_file, dial=self._dial)
        try:
            where = self._locate(network)
            with self._relay() as relay:
                ways = self._ways(where, relay, network)
                # Those that broke are tried again, after the others.
                ways.sort(key=lambda way: way.name in self._broken)
                outcome = race(ways, seconds=TRYING)
        finally:
            network.close()
        for name, why in self._broken.items():
            if name != outcome.name and not outcome.failed.get(name, "").startswith("it broke"):
                outcome.failed[name] = f"{why}; since then: {outcome.failed.get(name, 'not tried')}"
        if outcome.name in self._broken:
            self._broken.pop(outcome.name)
        logger.info("%s is reached by way of %s", self.address, outcome.name)
        return outcome

    def _locate(self, network: HTTPTransport) -> DomainLocation | None:
        """What the Network tells of the node; None where it does not, and the key is known."""
        try:
            told: DomainLocation = Connection(network, Identity.generate()).call(
                LocateDomain(domain=self._name)
            )
        except GridError as error:
            if not self.verify_key:
                raise
            logger.info("the Network of %s does not tell where it is: %s", self.address, error)
            return None
        if not self.verify_key:
            if not _KEY.fullmatch(told.verify_key):
                raise BadSignature("the Network tells a key that is none")
            self.verify_key = told.verify_key
            logger.warning(
                "%s: the Network says that %s has the key %s…; the node is held to it",
                self.address,
                readable(self._name),
                told.verify_key[:16],
            )
        if told.verify_key != self.verify_key:
            raise BadSignature("the Network tells another node's address than that which was asked for")
        return told

    @contextmanager
    def _relay(self) -> Iterator[RelayTransport]:
        """The sealed pipe over which sessions are asked for, while they are."""
        relay = self._open_relay()
        try:
            yield relay
        finally:
            relay.close()

    def _open_relay(self) -> RelayTransport:
        address = relay_address(self._network, self.verify_key)
        return RelayTransport(address, ca_file=self._ca_file, dial=self._dial)

    def _ways(self, where: DomainLocation | None, relay: Transport, network: Transport) -> list[Way]:
        def direct() -> Transport:
            address = where.address if where is not None else ""
            if not address:
                raise Unavailable("the Network tells no address of it")
            # The Network named it, and may sit there: a signed answer shows who answers, not who reads.
            return self._proven(
                StraightTransport(address, self.verify_key, ca_file=self._ca_file, dial=self._dial)
            )

        def session(carry: Carry) -> Callable[[], Transport]:
            def opened() -> Transport:
                if self._dial is not None:
                    raise Unsupported("not from a node's own process")
                made = WebRTCTransport(
                    relay_address(self._network, self.verify_key).replace("relay+", "webrtc+", 1),
                    ca_file=self._ca_file,
                    carry=carry,
                    signalling=lambda: Signalling(relay, self.verify_key, network, owned=False),
                )
                return self._proven(made)

            return opened

        return [
            Way("direct", direct),
            Way("webrtc", session("free")),
            Way("turn", session("turn")),
            Way("relay", lambda: self._proven(self._open_relay()), last_resort=True),
        ]

    def _proven(self, transport: Transport) -> Transport:
        try:
            self._prove(transport, PROVING)
        except BaseException:
            transport.close()
            raise
        return transport

    def _prove(self, transport: Transport, seconds: float) -> None:
        """Raise unless the node with the key answers."""
        connection = Connection(transport, Identity.generate(), node_key=self.verify_key)
        connection.call(GetMetadata(), timeout=seconds)

    # -- what is known ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        taken = self._taken
        if taken is None:
            return Path(taken="", failed=dict(self._broken))
        return Path(taken=taken.transport.path["taken"], failed=dict(taken.failed))

    def is_unintroduced(self) -> bool:
        taken = self._taken
        return taken is not None and taken.transport.is_unintroduced()

    def close(self) -> None:
        with self._lock:
            taken, self._taken = self._taken, None
        if taken is not None:
            taken.transport.close()
