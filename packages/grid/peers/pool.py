"""The gateways of a node, and the socket at which they hand over what peers say."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from grid.node import Node
from grid.node.networks import is_this_machine, network_of
from grid.peers.gateway.wire import (
    MAX_ORDER,
    SOCKET,
    CandidatesOrder,
    ChannelGreeting,
    DropOrder,
    GatewayLimits,
    OfferOrder,
    OrdersGreeting,
    SessionEnded,
    Splitter,
    decode_greeting,
    reachable,
)
from grid.peers.gateway_process import GatewayProcess
from grid.peers.gateways import Found, IceServersNow
from grid.peers.node_pipe import NodePipe
from grid.peers.places import Place, Standing, standing_of, who_gives_way
from syft_ext.errors import Conflict, GridError, NotFound, TooManyRequests, Unavailable
from syft_ext.transport.pipe import CloseCode
from syft_ext.transport.webrtc.terms import Channel

__all__ = ["GatewayPool", "PoolLimits"]

logger = logging.getLogger(__name__)

_GREETING = 5.0
_STARTING = 10.0
"""Seconds that an offer waits, at most, for a gateway that starts, or starts again."""
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), struct ucred)


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many gateways there are, what each holds, and how many sessions one caller has.

    Attributes:
        per_key: sessions on which one account, worker or node speaks. per_address: those that come from one
            address (IPv6: one /64); this machine's own are not counted.
    """

    gateways: int
    gateway: GatewayLimits
    per_key: int
    per_address: int


class GatewayPool:
    """Starts the gateways, hands them offers, and lets the node answer what peers say.

    Implements :class:`~grid.peers.gateways.Gateways`.

    Args:
        servers: those that gateways find candidates by.
    """

    def __init__(self, node: Node, servers: IceServersNow, limits: PoolLimits) -> None:
        self._node, self._servers, self._limits = node, servers, limits
        self._path = node.home / SOCKET
        self._lock = threading.Condition(threading.Lock())  # notified when a gateway takes orders
        self._sessions: dict[tuple[str, str], Place[GatewayProcess]] = {}
        self._listener: socket.socket | None = None
        self._gateways = [
            GatewayProcess(number + 1, self._path, limits.gateway, self._there, self._gone, self._over)
            for number in range(limits.gateways)
        ]

    def __len__(self) -> int:
        """Sessions that were offered, and are not over."""
        return len(self._sessions)

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen for the gateways, and start them."""
        self._listener = _listen(self._path)
        threading.Thread(target=self._accept, args=(self._listener,), name="gateways", daemon=True).start()
        for gateway in self._gateways:
            gateway.start()

    def stop(self) -> None:
        """End the gateways, and all sessions with them."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._path.unlink(missing_ok=True)
        stopping = [threading.Thread(target=gateway.stop) for gateway in self._gateways]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()

    def check(self) -> None:
        """Raise :class:`Unavailable`, with the reason, while no gateway takes offers."""
        if not self._any_ready():
            raise Unavailable(f"no gateway for peers runs: {self._gateways[0].why}")

    def _any_ready(self) -> bool:
        return any(gateway.ready for gateway in self._gateways)

    def warning(self) -> str:
        """What is wrong while some of the gateways run."""
        down = [gateway for gateway in self._gateways if not gateway.ready]
        if not down or len(down) == len(self._gateways):
            return ""
        return f"{len(down)} of {len(self._gateways)} gateways for peers do not run: {down[0].why}"

    def pids(self) -> list[int]:
        """The processes of the gateways that run."""
        return [gateway.pid for gateway in self._gateways if gateway.pid]

    # -- offers -------------------------------------------------------------------------------------

    def offer(self, session: str, sdp: str, caller_key: str, timeout: float, *, origin: str = "") -> str:
        until = time.monotonic() + timeout
        with self._lock:
            if not self._lock.wait_for(self._any_ready, min(timeout, _STARTING)):
                raise Unavailable("no gateway for peers runs just now; try again")
            if (caller_key, session) in self._sessions:
                raise Conflict("this session has an offer already")
            made = self._placed(caller_key, session, network_of(origin))
        gateway = made.gateway
        try:
            servers = list(self._servers())
            left = max(0.0, until - time.monotonic())
            answer = gateway.ask(OfferOrder(0, caller_key, session, sdp, servers), left)
        except BaseException:
            self._forget(made)
            gateway.drop(DropOrder(caller_key, session, CloseCode.GOING_AWAY, "its offer was not answered"))
            raise
        made.sdp = answer
        return answer

    def _placed(self, key: str, session: str, network: str) -> Place[GatewayProcess]:
        """A place for one more, with the lock held; another may have to give theirs up."""
        self._check_address(network)
        ready = [gateway for gateway in self._gateways if gateway.ready]
        chosen = min(ready, key=lambda gateway: gateway.carried)
        if chosen.carried >= self._limits.gateway.sessions:
            there = [place for place in self._sessions.values() if place.gateway.ready]
            ended = who_gives_way(there, network, time.monotonic())
            if ended is None:
                raise TooManyRequests("as many peers as fit have sessions with this node; try again later")
            chosen = ended.gateway
            self._end(ended)
            why = "others wait for a place here; call again, or go another way"
            chosen.drop(DropOrder(ended.key, ended.session, CloseCode.TRY_AGAIN_LATER, why))
        made = Place(key, session, chosen, network, time.monotonic())
        self._sessions[key, session] = made
        chosen.carried += 1
        return made

    def _check_address(self, network: str) -> None:
        """Raise where one more session of ``network`` is one too many."""
        held = sum(each.network == network for each in self._sessions.values())
        if not is_this_machine(network) and held >= self._limits.per_address:
            raise TooManyRequests(f"one address has {self._limits.per_address} sessions at most")

    def candidates(self, session: str, caller_key: str, candidates: Sequence[str], *, done: bool) -> Found:
        with self._lock:
            found = self._sessions.get((caller_key, session))
        if found is None:
            raise NotFound("this session is over")
        found.gateway.ask(CandidatesOrder(0, caller_key, session, list(candidates), done), _GREETING)
        return Found((), True)  # a gateway finds its own before it answers

    def answer(self, session: str, caller_key: str) -> str | None:
        with self._lock:
            found = self._sessions.get((caller_key, session))
        return found.sdp or None if found is not None else None

    # -- sessions that end --------------------------------------------------------------------------

    def _forget(self, place: Place[GatewayProcess]) -> None:
        with self._lock:
            self._end(place)

    def _end(self, place: Place[GatewayProcess]) -> None:
        """With the lock held; it may have ended before."""
        if self._sessions.get((place.key, place.session)) is place:
            del self._sessions[place.key, place.session]
            place.gateway.carried -= 1

    def _over(self, gateway: GatewayProcess, ended: SessionEnded) -> None:
        place = self._sessions.get((ended.key, ended.session))
        if place is not None and place.gateway is gateway:
            self._forget(place)

    def _there(self) -> None:
        with self._lock:
            self._lock.notify_all()

    def _gone(self, gateway: GatewayProcess) -> None:
        with self._lock:
            for place in [each for each in self._sessions.values() if each.gateway is gateway]:
                self._end(place)

    # -- the socket ---------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                gateway = self._gateway_of(connection)
                splitter = Splitter(MAX_ORDER)
                connection.settimeout(_GREETING)
                first, *early = _first_messages(connection, splitter)
                greeting = decode_greeting(first)
                if isinstance(greeting, OrdersGreeting):
                    gateway.take_orders(connection, splitter)
                else:
                    self._serve_channel(gateway, greeting, NodePipe(connection, splitter, early))
            except (OSError, ValueError, msgspec.MsgspecError, GridError) as error:
                logger.warning("a connection to the socket for gateways was refused: %s", error)
            except Exception:
                logger.exception("a connection of a gateway could not be served")

    def _gateway_of(self, connection: socket.socket) -> GatewayProcess:
        """Whose connection it is, by the kernel's word: nobody else may say where a peer is."""
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(raw)
        found = next((gateway for gateway in self._gateways if gateway.pid == pid), None)
        if uid != os.geteuid() or found is None:
            raise Unavailable(f"process {pid} of user {uid} is no gateway of this node")
        return found

    def _serve_channel(self, gateway: GatewayProcess, greeting: ChannelGreeting, pipe: NodePipe) -> None:
        try:
            place = self._admit(gateway, greeting)
        except GridError as error:
            self._send_away(gateway, greeting.key, greeting.session, error)
            return
        try:
            self._node.answer_pipe(pipe, remote=greeting.remote, known=partial(self._spoken, place))
        finally:
            pipe.finish()

    def _send_away(self, gateway: GatewayProcess, key: str, session: str, why: GridError) -> None:
        gateway.drop(DropOrder(key, session, CloseCode.TRY_AGAIN_LATER, why.detail[:100]))
        logger.info("a peer was sent away: %s", why)

    def _admit(self, gateway: GatewayProcess, greeting: ChannelGreeting) -> Place[GatewayProcess]:
        network = network_of(greeting.remote)
        with self._lock:
            place = self._sessions.get((greeting.key, greeting.session))
            if place is None or place.gateway is not gateway or greeting.channel in place.channels:
                raise NotFound("there is no such session, or it has this channel already")
            # Of those whom a TURN server carries, only the offer says where they are.
            if not place.channels and network != place.network and greeting.kind != "relay":
                self._check_address(network)
                place.network = network
            place.channels.add(Channel(greeting.channel))
            return place

    def _spoken(self, place: Place[GatewayProcess], caller: str) -> None:
        """Somebody who is known here, ``caller``, called over a session."""
        standing = standing_of(caller)
        if place.caller == caller or standing <= place.standing:
            return
        with self._lock:
            spoken = sum(each.caller == caller for each in self._sessions.values())
            if spoken < self._limits.per_key:
                place.caller, place.standing = caller, standing
                return
            self._end(place)
        most = TooManyRequests(f"one caller has {self._limits.per_key} sessions at most")
        self._send_away(place.gateway, place.key, place.session, most)

    def demote(self, caller: str) -> None:
        """``caller``, who was known here, is nobody any more: their sessions end for the next who want a place."""
        with self._lock:
            for place in self._sessions.values():
                if place.caller == caller:
                    place.caller, place.standing = "", Standing.STRANGER


def _listen(path: Path) -> socket.socket:
    """A socket at ``path`` that only this user may connect to."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchmod(listener.fileno(), 0o600)  # Linux makes the file so, whatever the process's mask is
    with reachable(path) as name:
        listener.bind(name)
    listener.listen(256)
    return listener


def _first_messages(connection: socket.socket, splitter: Splitter) -> list[bytes]:
    """The messages that came first, at least one."""
    messages: list[bytes] = []
    while not messages:
        data = connection.recv(64 << 10)
        if not data:
            raise ConnectionError("it hung up before it greeted")
        messages = list(splitter.messages(data))
    return messages
