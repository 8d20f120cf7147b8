"""The servers of a node that names none itself: those of its Network."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import ip_address

from grid.network.associations import AssociationService
from grid.network.tables import Association
from grid.outgoing.dialer import Resolver, resolve
from grid.outgoing.policy import OutgoingPolicy
from grid.peers.ice_servers import IceUrl
from syft_ext.clock import Clock
from syft_ext.errors import GridError, InvalidConfig
from syft_ext.messages.peers import GetIceServers, IceServer, IceServers

__all__ = ["NONE", "BorrowedServers"]

logger = logging.getLogger(__name__)

NONE = IceServers(servers=[])
KEPT = 300.0
"""Seconds that servers are kept which need no credentials."""
AGAIN = 10.0
"""Seconds after which a Network that did not tell is asked again."""
ASKING = 5.0
"""Seconds that a Network has for its answer."""
WAITING = 5.0
"""Seconds that a caller waits for one, at most."""
SPARE = 30.0
"""Seconds that credentials have left which are given out while new ones are asked for."""
LONGEST = 86_400.0
"""Seconds that servers are kept at most, whatever a Network says of its credentials: it may have none to say so
later, and this node another Network."""
NETWORKS = 16
"""Networks that are asked, the latest."""
MOST = 8
"""Addresses that are taken of one list."""


class BorrowedServers:
    """Asks the Networks that accepted this node, all at once, and keeps what the latest told while it is good.

    One thread asks for all callers. They wait for it while nothing that was told is good any more, a few seconds
    at most; else they have what is there, and what is new comes behind their backs.

    Args:
        policy: which of the servers that a Network names may be called.
        resolver: how their names become addresses.
    """

    def __init__(
        self,
        associations: AssociationService,
        clock: Clock,
        policy: OutgoingPolicy,
        resolver: Resolver = resolve,
    ) -> None:
        self._associations, self._clock = associations, clock
        self._policy, self._resolver = policy, resolver
        self._told, self._again_at, self._good_until = NONE, 0.0, 0.0
        self._asking: Future[IceServers] | None = None
        self._lock = threading.Lock()

    def now(self) -> IceServers:
        """What a Network told; credentials are good for some time yet. None where none does, or not in time."""
        with self._lock:
            now = self._clock.now()
            if now < self._again_at:
                return self._told
            if self._asking is None:
                self._asking = Future()
                threading.Thread(
                    target=self._ask, args=(self._asking,), name="ICE servers", daemon=True
                ).start()
            asking = self._asking
            if self._is_good(now):
                return self._told
        try:
            return asking.result(WAITING)
        except TimeoutError:
            return NONE

    def _ask(self, asking: Future[IceServers]) -> None:
        told, again = NONE, AGAIN
        try:
            told, again = self._ask_all()
        except Exception:
            logger.exception("no Network could be asked for its servers")
        with self._lock:
            now = self._clock.now()
            if told.servers or not self._is_good(now):
                self._told, self._good_until = told, told.expires_at or now + 2 * KEPT
            # Else nobody tells anything new: what is there is good for some time yet.
            self._again_at, self._asking = now + again, None
            told = self._told
        asking.set_result(told)

    def _is_good(self, now: float) -> bool:
        """Whether what was told may be given out until the next time that somebody asks, and a little longer."""
        return bool(self._told.servers) and self._good_until - now > SPARE

    def _ask_all(self) -> tuple[IceServers, float]:
        """What the latest Network tells that tells something, and for how many seconds that is kept."""
        rows = list(self._associations.registry.accepted("outgoing", "network"))[:NETWORKS]
        if not rows:
            return NONE, AGAIN
        pool = ThreadPoolExecutor(len(rows), thread_name_prefix="ICE servers")
        try:
            until = time.monotonic() + 2 * ASKING  # names that nobody resolves take their time
            for answer in [pool.submit(self._ask_one, row) for row in rows]:
                with contextlib.suppress(TimeoutError):
                    if (told := answer.result(max(0.0, until - time.monotonic()))) is not None:
                        return told
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return NONE, AGAIN

    def _ask_one(self, row: Association) -> tuple[IceServers, float] | None:
        connection = self._associations.peer_connections.connect(row.address, row.verify_key)
        try:
            told: IceServers = connection.call(GetIceServers(), timeout=ASKING)
        except GridError as error:
            logger.warning("the Network %s told no STUN or TURN servers: %s", row.name, error)
            return None
        now = self._clock.now()
        expires = min(now + LONGEST, told.expires_at) if told.expires_at else 0.0
        good = (expires - now) / 2 if expires else KEPT
        if good <= 0:
            logger.warning("credentials of the Network %s ended before they came; check the clocks", row.name)
            return None
        servers = list(self._allowed(told))
        return (IceServers(servers=servers, expires_at=expires), good) if servers else None

    def _allowed(self, told: IceServers) -> Iterator[IceServer]:
        """Those that this node may call, each at the address that was checked."""
        left = MOST
        for server in told.servers[:MOST]:
            urls = [url for text in server.urls[:left] if (url := self._checked(text))]
            left -= len(urls)
            if urls:
                yield IceServer(urls=urls, username=server.username[:512], credential=server.credential[:512])

    def _checked(self, text: str) -> str | None:
        try:
            url = IceUrl.parse(text, "stun_servers" if text.startswith("stun") else "turn_servers")
            host = url.host.lower()
            if url.secure and not _is_address(
                host
            ):  # its certificate names the host: so has the owner's list to
                return str(url) if self._policy.lists(host, url.port) else None
            found = [
                address for address in self._resolver(host) if self._policy.allows(host, url.port, address)
            ]
        except (InvalidConfig, OSError, UnicodeError) as error:
            logger.info("a server that the Network names is of no use: %s", error)
            return None
        if not found:
            logger.warning("refused to use %s, which the Network names: see allow_addresses", url)
            return None
        return str(dataclasses.replace(url, host=str(found[0])))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
