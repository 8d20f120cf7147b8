"""What a host process does with the requests that reach it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import msgspec
import torch

from grid.compute import hosted_intersection, hosted_member, hosted_split
from grid.compute import protocol as p
from grid.compute.checking import Checker
from grid.compute.hosted import HostedSession
from grid.compute.values import SessionMemory
from syft_ext.confinement.lockdown import Confinement
from syft_ext.errors import GridError, NotFound, TooLarge
from syft_ext.messages.compute import Call, Drop, Put
from syft_ext.plans.graph.limits import Limits

__all__ = ["HostServer", "warm_up"]


class HostServer:
    """Holds the sessions of this process.

    Args:
        memory: bytes that all values may take together.
        limit: bounds, in its block, the seconds that kernels may take.
    """

    def __init__(
        self, memory: int, limit: Callable[[float], AbstractContextManager[None]] = lambda _: nullcontext()
    ) -> None:
        self._whole = SessionMemory(memory)
        self._limit = limit
        self._checker = Checker(Limits(max_bytes=memory))
        self._sessions: dict[str, HostedSession] = {}
        self.confinement = Confinement()

    def greet(self, channel: socket.socket) -> None:
        """Tell whoever connects that the process is ready, and what it may and may not do."""
        confinement = self.confinement
        p.send(channel, p.Ready(list(confinement.in_force), self._whole.limit, confinement.missing))

    def refuse(self, channel: socket.socket, error: GridError) -> None:
        """Tell whoever connected why the process ends."""
        p.send(channel, p.Failed(error.code, error.detail))

    def serve(self, channel: socket.socket) -> bool:
        """Answer one request; False when the other side is gone or does not speak the protocol."""
        try:
            header = p.read_header(channel)
            if header is None:
                return False
            body = bytearray(header.body)
            if not p.exactly(channel, memoryview(body)):
                return False
            message = p.REQUESTS.decode(body)
            if isinstance(message, p.Piece):
                return p.exactly(channel, self._session(message.session_id).room(message.area, header.bulk))
            reply, bulk = self._answer(message)
            p.send(channel, reply, bulk)
        except (OSError, GridError, msgspec.MsgspecError):
            return False
        return True

    def _answer(self, message: p.Request) -> tuple[p.Reply, list[memoryview]]:
        try:
            return self._do(message)
        except GridError as error:
            return p.Failed(error.code, error.detail), []
        except MemoryError:
            return p.Failed("too-large", "the process has no more memory"), []
        except RuntimeError as error:  # torch's allocator, while bytes are staged or a file is written
            return p.Failed("too-large", str(error).splitlines()[0][:200]), []

    def _do(self, message: p.Request) -> tuple[p.Reply, list[memoryview]]:
        if isinstance(message, p.Attach):
            return p.Sessions([session.state() for session in self._sessions.values()]), []
        if isinstance(message, p.Begin):
            self._sessions[message.session_id] = HostedSession(message, self._checker, self._whole)
            return p.Done(), []
        session = self._session(message.session_id)
        match message:
            case p.End():
                self._sessions.pop(message.session_id).end()
            case p.Stage():
                session.stage(message.area, message.size)
            case p.Run():
                with self._limit(message.seconds):
                    return session.run(message), []
            case p.KeepPlan():
                with self._limit(message.seconds):
                    session.keep_plan(message.plan_id)
            case p.Inspect():
                return session.types(message.values), []
            case p.Prepare():
                return session.prepare(message)
            case p.OpenMember():
                with self._limit(message.seconds):
                    return p.Bytes(), [memoryview(session.open_member(message))]
            case p.BeginMember():
                session.member.begin(message.keys, message.transcript)
            case p.AdvanceMember():
                with self._limit(message.seconds):
                    frames, finished = session.member.advance(session.taken("payload"))
                if len(frames) > message.most:
                    raise TooLarge(
                        "a round of this run is larger than what this node carries", limit=message.most
                    )
                return p.Advanced(finished), [memoryview(frames)]
            case p.TakeRows():
                return p.Bytes(), session.keeper.rows()
            case p.Read():
                return p.Bytes(), session.read(message)
        return p.Done(), []

    def _session(self, session_id: str) -> HostedSession:
        session = self._sessions.get(session_id)
        if session is None:
            raise NotFound("there is no such session")
        return session


def warm_up() -> None:
    """Load what torch imports lazily (fake tensors, FLOP formulas) and start its threads, while that is cheap."""
    server = HostServer(1 << 30)
    session = HostedSession(p.Begin("", "", 0.0, 1 << 30), server._checker, server._whole)
    session.stage("payload", 4 * 512 * 512)
    session.room("payload", 4 * 512 * 512)
    steps: list[p.Step] = [
        Put(0, "f32", [512, 512], 0),
        Call([1], "aten.t.default", [["r", 0]], {}),
        Call([2], "aten.mm.default", [["r", 0], ["r", 1]], {}),
        Call([3], "aten._softmax.default", [["r", 2], 1, False], {}),
        Call([4], "aten.sum.default", [["r", 3]], {}),
        Call([5], "aten.mm.default", [["r", 0], ["r", 4]], {}),  # refused: errors are imported lazily, too
        Drop([0, 1, 2, 3, 4, 5]),
    ]
    assert [each.action for each in session.run(p.Run("", 0, 1.0, steps)).failures] == [5]
    hosted_member.warm_up()
    hosted_intersection.warm_up()
    hosted_split.warm_up()
    torch.set_grad_enabled(False)
