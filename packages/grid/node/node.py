"""A node: a persisted identity, a store, a message-to-service map; transports stand around it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, Gauge

from grid.concurrency.jobs import JobQueue
from grid.concurrency.offload import offload
from grid.concurrency.passing import is_passing, said_of
from grid.kinds import NodeKind
from grid.node.auditing import objects_of, where
from grid.node.events import EventBus
from grid.node.health import DATABASE, SECONDS, Health, Inquiry
from grid.node.journal import Journal
from grid.node.networks import network_of
from grid.node.pipes import PipeAnswering, no_answers
from grid.node.plan_processes import PlanProcesses
from grid.node.principal import ANONYMOUS, Principal
from grid.node.replay import ReplayGuard
from grid.node.service import Context, Download, Service, ServiceMap, always
from grid.node.tokens import Tokens
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.confinement.gate import Gate
from syft_ext.errors import (
    BadRequest,
    Conflict,
    GridError,
    InternalError,
    InvalidToken,
    NotFound,
    Unavailable,
)
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata, Message, Operation, Reply, operation_of
from syft_ext.messages.envelope import ANY_NODE, Envelope, PartEnvelope, frame_head, seal_part, seal_reply
from syft_ext.transport import PayloadReader

__all__ = ["Node"]

logger = logging.getLogger(__name__)
#: The operation that may be asked of whoever is there.
WHO_IS_THERE = operation_of(GetMetadata).name
#: Messages of more bytes are decoded beside the event loop.
_BESIDE = 32 << 10
_LARGEST_PART = 8 << 20
"""Bytes of the largest part of a download that is given at once: it is held while it is signed and sent."""
S = TypeVar("S", bound=Service)


class Node:
    """What all apps are composed from.

    Args:
        kind: what it is, and may associate with.
        home: the directory that holds all of the node's state.
        name: how people call it.
        services: makers of the services it offers (a service class is one); called in this order.
        identity: its key; the node is known by it.
        database: opened, its tables up to date (:func:`grid.schema.upgrade`). Closed by :meth:`stop`.
        contents: where the bytes of objects and models are.
        journal: where it is written down who did what. Closed by :meth:`stop`.
        jobs: runs background work; not started. Stopped by :meth:`stop`.
        gate: whether what strangers bring may run on this machine; only where it is confined, by default.
        plan_processes: where it checks and runs plans. Closed by :meth:`stop`.
        address: the URL under which others reach it, when it is known.
    """

    def __init__(
        self,
        kind: NodeKind,
        home: Path,
        name: str,
        services: Sequence[Callable[[Node], Service]],
        *,
        identity: Identity,
        database: Database,
        contents: BlobStore,
        journal: Journal,
        jobs: JobQueue,
        clock: Clock,
        address: str = "",
        gate: Gate | None = None,
        plan_processes: PlanProcesses | None = None,
    ) -> None:
        self.kind, self.home, self.name, self.address = kind, home, name, address
        self.clock, self.identity, self.id = clock, identity, identity.node_id
        self.tokens = Tokens(identity, clock)
        self.db, self.blobs, self.journal, self.jobs = database, contents, journal, jobs
        self.gate = gate or Gate()
        self.plan_processes = plan_processes or PlanProcesses(self.gate)
        self.events = EventBus()  # what services tell one another
        self._replay = ReplayGuard(self.clock, home / "future.nonces")
        self.metrics = CollectorRegistry()  # services register collectors here; /metrics serves them
        self._dead_letters = Inquiry(lambda: self.jobs.dead_letters())
        dead = Gauge("grid_dead_jobs", "Background jobs that failed too often", registry=self.metrics)
        dead.set_function(self._dead_jobs)
        self.map = ServiceMap()
        self.answer_pipe: PipeAnswering = no_answers  # the web front hands in its own
        self.services: list[Service] = []
        for make in services:
            service = make(self)
            self.services.append(service)
            self.map.add(service)
        self._health = Health(
            {
                DATABASE: lambda: self.db.ping(),
                **{each.checks: each.check for each in self.services if each.checks},
            },
            self._warn,
        )
        self._knowing_keys = [
            s for s in self.services if type(s).principal_of_key is not Service.principal_of_key
        ]

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the audit log, then the services in the order in which they were added, then the job queue.

        Jobs come last: what services recover must be whole before a job that a crash left works on it.
        """
        self.journal.start()
        for service in self.services:
            service.start()
        self.jobs.start()

    def stop(self) -> None:
        """Stop the jobs, then services in the reverse order, whatever fails; then close log and database."""
        self.db.hurry()
        try:
            self.jobs.stop()  # what runs needs the services behind it
        except Exception:
            logger.exception("the job queue did not stop cleanly")
        for service in reversed(self.services):
            try:
                service.stop()
            except Exception:
                logger.exception("service %s did not stop cleanly", type(service).__name__)
        self.plan_processes.close()
        self.journal.close()
        self.db.close()

    def _dead_jobs(self) -> float:
        """How many dead letters there are; NaN while the queue cannot say, for /metrics tells more."""
        try:
            return float(len(self._dead_letters.begin().answer(SECONDS)))
        except Exception:
            logger.exception("the job queue does not tell its dead letters")
            return math.nan

    def health(self) -> tuple[dict[str, str], list[str]]:
        """Name of each check → "ok" or what is wrong, and what whoever runs this node must know although it works
        (for ``/readyz``); within seconds, whatever hangs."""
        return self._health.ask()

    def checks(self) -> dict[str, str]:
        """The checks of :meth:`health` alone."""
        return self.health()[0]

    def _warn(self) -> list[str]:
        return [warning for service in self.services if (warning := service.warning())]

    def service(self, kind: type[S]) -> S:
        """The service of this type; it must be among those made before the caller asks."""
        return next(service for service in self.services if isinstance(service, kind))

    # -- identity -----------------------------------------------------------------------------------

    def principal_of_token(self, token: str, *, signed_by: str = "") -> Principal:
        """The identity behind a token of this node; raises :class:`InvalidToken`."""
        claims = self.tokens.verify(token, signed_by=signed_by)
        for service in self.services:
            if service.token_kind and service.token_kind == claims["typ"]:
                return service.principal_of_token(claims)
        raise InvalidToken("this node does not use such tokens")

    def principal_of_key(self, verify_key: str) -> Principal:
        """The identity that registered this key, or a bare key."""
        for service in self._knowing_keys:
            principal = service.principal_of_key(verify_key)
            if principal is not None:
                return principal
        return Principal("key", verify_key=verify_key)

    # -- dispatch -----------------------------------------------------------------------------------

    def admit(
        self, spec: Operation, identify: Callable[[], Principal], *, scheme: str, remote: str = ""
    ) -> Principal:
        """The caller of an operation, who may call it; raises what ``identify`` raises, or a refusal.

        Every way in comes through here before it looks at a request's body.
        """
        principal = ANONYMOUS
        try:
            principal = identify()
            principal.require(spec.permission)
        except GridError as error:
            if spec.audited:
                detail = where(scheme, remote)
                self.journal.record(principal, spec.name, outcome=error.code, detail=detail)
            raise
        return principal

    def dispatch(self, context: Context, message: Message) -> Reply | Download:
        """Run one operation; when it is audited, its entry is committed before this returns or raises."""
        spec = operation_of(message)
        if not spec.audited:
            return self._run(context, message)
        try:
            answer = self._run(context, message)
        except GridError as error:
            self._record(context, spec, message, error.code, None)
            raise
        self._record(context, spec, message, "ok", answer)
        return answer

    def _record(
        self,
        context: Context,
        spec: Operation,
        message: Message,
        outcome: str,
        answer: Reply | Download | None,
    ) -> None:
        notes = context.notes
        self.journal.record(
            context.principal,
            spec.name,
            objects_of(spec, message, context, answer),
            list(notes.grants),
            outcome,
            {**where(context.scheme, context.remote), **notes.detail},
        )

    def _run(self, context: Context, message: Message) -> Reply | Download:
        """What is not a :class:`GridError` is logged and masked: no detail leaves."""
        try:
            return self.map.call(context, message)
        except GridError:
            raise
        except Exception as error:
            logger.exception("operation %s failed", type(message).__name__)
            if is_passing(error):
                raise Unavailable(said_of(error)) from error
            raise InternalError("the node failed to answer; its log has the details") from error

    @property
    def configured(self) -> bool:
        """False until the first owner is set up."""
        return all(service.configured() for service in self.services)

    def receive(
        self,
        envelope: Envelope,
        payload: PayloadReader,
        *,
        remote: str = "",
        alive: Callable[[], bool] = always,
    ) -> Iterable[bytes | bytearray | memoryview]:
        """The message plane: a signed request in, the pieces of the signed answer's frame out.

        ``remote`` is the network address it came from, where the transport knows it, and ``alive`` whether who
        sent it still listens.
        """
        try:
            envelope.verify()
            if envelope.recipient != self.id:
                asks_who = envelope.recipient == ANY_NODE and envelope.operation == WHO_IS_THERE
                if envelope.recipient in ("", ANY_NODE) and not asks_who:
                    # Signed for nobody in particular, it could be carried to another node, and be done there too.
                    raise BadRequest("a message names the node that it is for")
                if not asks_who:
                    raise NotFound(
                        f"this node is {self.id}, and the message is for {envelope.recipient[:64]!r}"
                    )
            return self._sealed(envelope, self._answer(envelope, payload, remote, alive))
        except GridError as error:
            return [frame_head(seal_reply(self.identity, envelope, error, now=self.clock.now()))]

    def _sealed(
        self, envelope: Envelope, answer: Reply | Download
    ) -> Iterable[bytes | bytearray | memoryview]:
        """The frame of an answer to ``envelope``."""
        if isinstance(answer, Download) and isinstance(envelope, PartEnvelope):
            return self._part(envelope, answer)
        if isinstance(answer, Download):
            head = seal_reply(
                self.identity,
                envelope,
                answer.reply,
                now=self.clock.now(),
                payload_size=answer.size,
                payload_digest=bytes.fromhex(answer.digest),
            )
            return _chain(frame_head(head), answer.chunks(0, answer.size))
        return [frame_head(seal_reply(self.identity, envelope, answer, now=self.clock.now()))]

    def _part(self, request: PartEnvelope, answer: Download) -> Iterable[bytes | bytearray | memoryview]:
        """The frame of a part of a download. It is read whole: what is sent is signed before."""
        if request.whole not in ("", answer.digest):
            raise Conflict("what is downloaded is not what it was", reason="changed", digest=answer.digest)
        if not 0 <= request.start <= request.stop:
            raise BadRequest("a part begins at 0 or later, and ends where it begins or later")
        start = min(request.start, answer.size)
        stop = min(request.stop, answer.size, start + _LARGEST_PART)
        try:
            pieces = [bytes(piece) for piece in answer.chunks(start, stop)] if start < stop else []
        except Exception as error:
            logger.exception("a part of a download could not be read")
            raise InternalError("the node failed to answer; its log has the details") from error
        head = seal_part(
            self.identity,
            request,
            answer.reply,
            pieces,
            now=self.clock.now(),
            total=answer.size,
            whole=answer.digest,
        )
        return [frame_head(head), *pieces]

    def _answer(
        self, envelope: Envelope, payload: PayloadReader, remote: str, alive: Callable[[], bool]
    ) -> Reply | Download:
        def identify() -> Principal:
            self._replay.admit(envelope, network_of(remote))
            if envelope.token:
                return self.principal_of_token(envelope.token, signed_by=envelope.sender)
            return self.principal_of_key(envelope.sender)

        spec = self.map.operation(envelope.operation)
        # The permission is checked before the body is even decoded: strangers learn nothing from errors.
        principal = self.admit(spec, identify, scheme="message", remote=remote)
        if envelope.payload_size and not spec.uploads:
            raise BadRequest(f"{spec.name} takes no payload")
        if len(envelope.body) > _BESIDE:
            message = offload(spec.decode, envelope.body)
        else:
            message = spec.decode(envelope.body)
        return self.dispatch(Context(principal, payload, "message", remote, alive=alive), message)


def _chain(head: bytes, chunks: Iterable[bytes | memoryview]) -> Iterable[bytes | bytearray | memoryview]:
    yield head
    yield from chunks
