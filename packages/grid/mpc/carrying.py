"""What all runs with hosts of other nodes have in common: members begin, take and give frames, finish, end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from grid.config import DomainSettings
from grid.mpc.members import MemberRegistry, MemberSession, RestsOn
from grid.node import Context, Node, Service
from syft_ext.errors import Conflict
from syft_ext.messages import Empty
from syft_ext.messages.shared_runs import CarriedFrames, MemberStatement, MemberView
from syft_ext.mpc.statements import agreed_keys, signed_statement

__all__ = ["CarriedRuns"]

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=RestsOn)


class CarriedRuns(Service, Generic[R]):
    """Members are one user's; after any error a member is gone."""

    def __init__(self, node: Node, settings: DomainSettings) -> None:
        super().__init__(node)
        self._settings = settings
        self._members: MemberRegistry[R] = MemberRegistry(node.clock, settings, node.gate)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._sweep_until_stopped, name="members", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._members.stop()
        if self._thread is not None:
            self._thread.join(10)

    def _sweep_until_stopped(self) -> None:
        interval = min(30.0, self._settings.compute_idle / 4)
        while not self._stopping.wait(interval):
            try:
                self._members.sweep()
            except Exception:
                logger.exception("idle members of runs could not be ended")

    # -- members ------------------------------------------------------------------------------------

    def view_of(self, ctx: Context, member: MemberSession[R]) -> MemberView:
        """What this node says of the host of a new member."""
        ctx.note(member.id, run=member.run)
        statement = signed_statement(
            self.node.identity, member.run, member.agreement, member.index, member.key
        )
        return MemberView(session_id=member.id, statement=statement)

    def begin_member(self, ctx: Context, session_id: str, statements: Sequence[MemberStatement]) -> Empty:
        """Hand it what all nodes of the run say of their hosts. Raises as :func:`agreed_keys`."""
        taken = self._members.taken(session_id, ctx.principal.id)
        with taken as member, self._ended_by_errors(member):
            keys, transcript = agreed_keys(statements, member.terms, member.run, member.agreement)
            member.begin(keys, transcript)
        ctx.note(agreement=member.agreement, run=member.run)
        return Empty()

    def advance_member(self, ctx: Context, session_id: str) -> CarriedFrames:
        """Frames that came as the payload, for those that it sends."""
        taken = self._members.taken(session_id, ctx.principal.id)
        with taken as member, self._ended_by_errors(member):
            self.check_turn(member)
            most = self._settings.compute_payload
            frames = ctx.body.read_all(most)
            return member.advance(frames, self._settings.compute_seconds, most)

    def check_turn(self, member: MemberSession[R]) -> None:
        """Raise where a member may not go on: nothing tells before it finishes, unless a kind of run says so."""

    @contextmanager
    def finished(self, ctx: Context, session_id: str) -> Iterator[MemberSession[R]]:
        """The member, alone, noted in the audit log. Raises :class:`Conflict` unless it has finished."""
        with self._members.taken(session_id, ctx.principal.id) as member:
            ctx.note(agreement=member.agreement, run=member.run)
            if not member.finished:
                raise Conflict("this member has not finished")
            yield member

    def end_member(self, ctx: Context, session_id: str) -> Empty:
        """What it knew is gone."""
        member = self._members.find(session_id, ctx.principal.id)
        self._members.end(member)
        ctx.note(agreement=member.agreement, run=member.run)
        return Empty()

    @contextmanager
    def _ended_by_errors(self, member: MemberSession[R]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._members.end(member)
            raise
