"""The gateway's life: orders of its node, sessions, and its end with the node's."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from grid.peers.gateway.session import GatewaySession
from grid.peers.gateway.wire import (
    HEAD,
    MAX_ORDER,
    CandidatesOrder,
    DropOrder,
    FromGateway,
    FromNode,
    GatewayLimits,
    OfferOrder,
    OrderDone,
    OrderRefused,
    OrdersGreeting,
    SessionEnded,
    decode_from_node,
    encode,
    reachable,
)
from syft_ext.errors import GridError, InternalError, NotFound, TooManyRequests
from syft_ext.transport.pipe import CloseCode
from syft_ext.transport.webrtc.engine import load_engine

__all__ = ["Gateway"]

logger = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two looks at the sessions."""


class Gateway:
    """One gateway, for the node whose socket is at ``socket``."""

    def __init__(self, socket: Path, limits: GatewayLimits) -> None:
        self._socket, self._limits = socket, limits
        self._engine = load_engine()
        self._sessions: dict[tuple[str, str], GatewaySession] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the node hangs up. Raises OSError when it never takes the connection."""
        with reachable(self._socket) as path:
            reader, self._writer = await asyncio.open_unix_connection(path)
        self._tell(OrdersGreeting())
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                (size,) = HEAD.unpack(await reader.readexactly(HEAD.size))
                if size > MAX_ORDER:
                    raise ValueError(f"an order of {size} bytes")
                self._obey(decode_from_node(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            logger.info("the node ended; so does its gateway")
        finally:
            watch.cancel()
            await self._close_all()

    async def _close_all(self) -> None:
        sessions = list(self._sessions.values())
        for session in sessions:
            session.close(CloseCode.GOING_AWAY, "the node ended")
        await asyncio.gather(*(session.finished() for session in sessions))

    def _tell(self, message: OrdersGreeting | FromGateway) -> None:
        self._writer.write(encode(message))

    def _obey(self, order: FromNode) -> None:
        if isinstance(order, DropOrder):
            session = self._sessions.get((order.key, order.session))
            if session is not None:
                session.close(order.code, order.reason)
            return
        task = asyncio.create_task(self._carry_out(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, order: OfferOrder | CandidatesOrder) -> None:
        try:
            sdp = await self._offer(order) if isinstance(order, OfferOrder) else await self._candidates(order)
            self._tell(OrderDone(order.number, sdp))
        except GridError as error:
            self._tell(OrderRefused(order.number, error.to_problem()))
        except Exception:
            logger.exception("an order could not be carried out")
            failed = InternalError("the gateway failed; the node's log has the details")
            self._tell(OrderRefused(order.number, failed.to_problem()))

    async def _offer(self, order: OfferOrder) -> str:
        # The node counts; those that it had closed to make room may still be about to end.
        if len(self._sessions) >= 2 * self._limits.sessions:
            raise TooManyRequests(f"{self._limits.sessions} peers have sessions here; try again later")
        session = GatewaySession(order, self._engine, self._socket, self._ended)
        self._sessions[order.key, order.session] = session
        try:
            return await session.answer()
        except BaseException:
            session.ended("its offer could not be answered")
            raise

    async def _candidates(self, order: CandidatesOrder) -> str:
        session = self._sessions.get((order.key, order.session))
        if session is None:
            raise NotFound("this session is over")
        await session.add_candidates(order.lines, done=order.done)
        return ""

    def _ended(self, session: GatewaySession, reason: str) -> None:
        if self._sessions.get((session.key, session.session)) is session:
            del self._sessions[session.key, session.session]
            logger.info("a session ended: %s", reason)
            self._tell(SessionEnded(session.key, session.session, reason[:500]))

    async def _watch(self) -> None:
        """Look after the sessions: each by itself, and what they hold together."""
        while True:
            await asyncio.sleep(_LOOK)
            for session in list(self._sessions.values()):
                session.look(self._limits)
            self.bound_memory()

    def bound_memory(self) -> None:
        """Close those that hold most until the rest fits."""
        held = sorted(((each.held, id(each), each) for each in self._sessions.values()), reverse=True)
        total = sum(size for size, _, _ in held)
        for size, _, session in held:
            if total <= self._limits.memory:
                return
            session.close(CloseCode.TRY_AGAIN_LATER, "the node takes nothing more just now")
            total -= size
