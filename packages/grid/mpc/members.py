"""The members that this node has now: each one host process, of one user, for one run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from grid.compute import protocol as p
from grid.compute.host_channel import HostChannel
from grid.compute.hosts import ChildHosts
from grid.config import DomainSettings
from syft_ext.clock import Clock
from syft_ext.confinement.gate import Gate
from syft_ext.errors import ProtocolAborted, SessionLost, TooManyRequests
from syft_ext.ids import new_id
from syft_ext.messages.intersection_terms import IntersectionTerms
from syft_ext.messages.shared_runs import CarriedFrames
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.mpc.seals import Frame, frames_of, packed_frames

__all__ = ["MemberRegistry", "MemberSession", "RestsOn"]

Terms: TypeAlias = SharedTerms | IntersectionTerms | SplitTerms
_KINDS: dict[type, Literal["shares", "intersection", "split"]] = {
    SharedTerms: "shares",
    IntersectionTerms: "intersection",
    SplitTerms: "split",
}


class RestsOn(Protocol):
    """The approval of a member that brings something."""

    @property
    def objects(self) -> list[str]:
        """What it brings of this node's."""


R = TypeVar("R", bound=RestsOn)


@dataclass(slots=True)
class MemberSession(Generic[R]):
    """One member. ``approved``: what it rests on; None for a dealer, who brings nothing.

    ``key``: the host's public one, in hex. ``begun``: it knows the others' keys. ``results``: for the reader, kept
    back until they are asked for. ``used_at``: unix seconds.
    """

    id: str
    user_id: str
    run: str
    terms: Terms
    agreement: str
    index: int
    channel: HostChannel
    approved: R | None
    key: str = ""
    begun: bool = False
    finished: bool = False
    results: list[Frame] = field(default_factory=list)
    used_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, keys: list[bytes], transcript: bytes) -> None:
        """Once. Raises :class:`ProtocolAborted`."""
        if self.begun:
            raise ProtocolAborted("this member has begun already")
        self.channel.call(p.BeginMember(self.id, keys, transcript), p.Done)
        self.begun = True

    @property
    def objects(self) -> list[str]:
        """What it brought of this node's."""
        return [] if self.approved is None else self.approved.objects

    def advance(self, frames: bytes | bytearray, seconds: float, most: int) -> CarriedFrames:
        """Take frames; returns those for the other members. Raises :class:`TooLarge` for more than ``most`` bytes
        of them: the node holds them all, and the next one would not take them."""
        self.channel.stage(self.id, "payload", len(frames), [frames] if frames else [])
        request = p.AdvanceMember(self.id, seconds, most)
        reply, sent = self.channel.ask(request, p.Advanced, seconds=seconds)
        self.finished = reply.finished
        reader = len(self.terms.members)
        found = frames_of(sent)
        self.results += [frame for frame in found if frame.receiver == reader]
        others = [frame for frame in found if frame.receiver != reader]
        return CarriedFrames(frames=packed_frames(others), finished=self.finished)


class MemberRegistry(Generic[R]):
    """Opens, finds and ends members; the limits are those of compute sessions."""

    def __init__(self, clock: Clock, settings: DomainSettings, gate: Gate) -> None:
        self._clock, self._settings, self._gate = clock, settings, gate
        self._hosts = ChildHosts(
            settings.compute_memory, settings.compute_threads, permissive=gate.permissive
        )
        self._lock = threading.Lock()
        self._members: dict[str, MemberSession[R]] = {}
        self._opening: list[str] = []

    def check_room(self, user_id: str) -> None:
        """Raise :class:`TooManyRequests` where there are enough, :class:`Unconfined` where none may be."""
        self._gate.check()
        users = [each.user_id for each in self._members.values()] + self._opening
        if users.count(user_id) >= self._settings.compute_sessions_per_user:
            raise TooManyRequests("you take part in as many runs as one user may; end one")
        if len(users) >= self._settings.compute_sessions:
            raise TooManyRequests("this node takes part in as many runs as it may; try again later")

    def open(
        self,
        user_id: str,
        run: str,
        place: tuple[Terms, str, int],
        content: tuple[bytes, bytes],
        approved: R | None,
    ) -> MemberSession[R]:
        """``place``: terms, agreement, index; ``content``: the plan, or ids, and a tensor file of values."""
        with self._lock:
            self.check_room(user_id)
            self._opening.append(user_id)
        try:
            channel = self._hosts.take()
            try:
                member = MemberSession[R](new_id(), user_id, run, *place, channel, approved)
                self._fill(member, *content)
            except BaseException:
                channel.close()
                raise
            member.used_at = self._clock.now()
            with self._lock:
                self._members[member.id] = member
            return member
        finally:
            with self._lock:
                self._opening.remove(user_id)

    def _fill(self, member: MemberSession[R], program: bytes, values: bytes) -> None:
        channel, seconds = member.channel, self._settings.compute_seconds
        channel.call(p.Begin(member.id, member.user_id, self._clock.now(), channel.memory), p.Done)
        for area, data in (("content", program), ("payload", values)):
            channel.stage(member.id, area, len(data), [data] if data else [])  # type: ignore[arg-type]
        terms = msgspec.msgpack.encode(member.terms)
        request = p.OpenMember(member.id, member.index, terms, seconds, _KINDS[type(member.terms)])
        member.key = bytes(channel.ask(request, p.Bytes, seconds=seconds)[1]).hex()

    def find(self, session_id: str, user_id: str) -> MemberSession[R]:
        """The user's member; :class:`SessionLost` for one that is gone, never was, or is somebody else's."""
        member = self._members.get(session_id)
        if member is None or member.user_id != user_id:
            raise SessionLost("there is no such member of a run: it ended, expired, or its process did")
        member.used_at = self._clock.now()
        return member

    @contextmanager
    def taken(self, session_id: str, user_id: str) -> Iterator[MemberSession[R]]:
        """The user's member, alone. Raises as :meth:`find`, also where it ended while this waited for its turn: of
        two that finish it at once, the second finds none."""
        member = self.find(session_id, user_id)
        with member.lock:
            yield self.find(session_id, user_id)

    def end(self, member: MemberSession[R]) -> None:
        """Its shares are gone. Idempotent."""
        with self._lock:
            self._members.pop(member.id, None)
        member.channel.close()

    def sweep(self) -> None:
        """End those that nobody carried frames to for a while; and the spare process when none is left."""
        oldest = self._clock.now() - self._settings.compute_idle
        for member in list(self._members.values()):
            if member.used_at < oldest or member.channel.over:
                self.end(member)
        if not self._members and not self._opening:
            self._hosts.rest()

    def stop(self) -> None:
        """End all."""
        for member in list(self._members.values()):
            self.end(member)
        self._hosts.close()
