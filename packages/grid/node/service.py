"""Services and the message-to-service map (PyGrid paper, section 3.2.3 and figure 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from prometheus_client import CollectorRegistry

from grid.concurrency.jobs import JobQueue
from grid.kinds import NodeKind
from grid.node.events import EventBus
from grid.node.journal import Journal
from grid.node.pipes import PipeAnswering, PipeRoute
from grid.node.plan_processes import PlanProcesses
from grid.node.principal import Principal
from grid.node.tokens import Tokens
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.confinement.gate import Gate
from syft_ext.errors import NotFound
from syft_ext.identity import Identity
from syft_ext.messages import Message, Operation, Reply, operation_of
from syft_ext.transport import PayloadReader

__all__ = ["Context", "Download", "Notes", "Service", "ServiceMap", "ServiceNode", "always", "handles"]

M = TypeVar("M", bound=Message)
F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound="Service")
_NO_BODY = PayloadReader.of(b"")


@dataclass(slots=True)
class Notes:
    """What one call touched: ids of objects and grants in the order in which they were named, and details."""

    objects: dict[str, None] = field(default_factory=dict)
    grants: dict[str, None] = field(default_factory=dict)
    detail: dict[str, str | int | float | bool] = field(default_factory=dict)


def always() -> bool:
    """A caller of whom nothing is known but that they called."""
    return True


@dataclass(slots=True)
class Context:
    """What a handler knows beside the message: the caller, established by the node, and the uploaded bytes.

    Attributes:
        principal: who calls.
        body: the upload's bytes; empty for operations that do not declare one. Read it to its end before
            committing anything: its last read checks that it is what the caller signed.
        scheme: "http", "ws", "message" or "local": how the call came in.
        remote: network address of the caller, where the transport knows it: login attempts are counted by it.
        notes: what the handler adds to the audit log's entry of this call (:meth:`note`).
        alive: whether the caller is still there to hear the answer. Who holds an answer back asks now and then,
            and gives nothing to whoever has hung up; True where the transport cannot know.
    """

    principal: Principal
    body: PayloadReader = _NO_BODY
    scheme: str = "local"
    remote: str = ""
    notes: Notes = field(default_factory=Notes)
    alive: Callable[[], bool] = always

    def note(self, *object_ids: str, grant: str = "", **detail: str | int | float | bool) -> None:
        """Say what this call touched, by which grant, and what else the audit log should keep of it.

        May be called several times, also before the call is refused. Never pass secrets or data.
        """
        self.notes.objects.update(dict.fromkeys(object_ids))
        if grant:
            self.notes.grants[grant] = None
        self.notes.detail.update(detail)


@dataclass(slots=True)
class Download:
    """The answer of an operation that declares ``downloads``.

    Attributes:
        reply: the typed part of the answer (an HTTP client sees the bytes only).
        chunks: opens the bytes from offset ``start`` to ``stop`` (exclusive).
        size: bytes in all.
        digest: BLAKE3 digest of all bytes, 64 hex digits; it is the ETag too.
    """

    reply: Reply
    chunks: Callable[[int, int], Iterable[bytes | memoryview]]
    size: int
    digest: str
    media_type: str = "application/octet-stream"


Handler = Callable[[Context, Any], Reply | Download]


def handles(message: type[Message]) -> Callable[[F], F]:
    """Mark a service's method as the handler of ``message``."""

    def mark(method: F) -> F:
        method.__handles__ = message  # type: ignore[attr-defined]
        return method

    return mark


class ServiceNode(Protocol):
    """What services use of the node that they belong to; all as :class:`grid.node.Node` says."""

    id: str
    kind: NodeKind
    name: str
    home: Path
    address: str
    identity: Identity
    clock: Clock
    tokens: Tokens
    db: Database
    blobs: BlobStore
    journal: Journal
    events: EventBus
    jobs: JobQueue
    gate: Gate
    plan_processes: PlanProcesses
    metrics: CollectorRegistry
    map: ServiceMap
    services: list[Service]
    answer_pipe: PipeAnswering

    def service(self, kind: type[S]) -> S:
        """The service of this type; it must be among those made before the caller asks."""

    @property
    def configured(self) -> bool:
        """False until the first owner is set up."""


class Service:
    """A group of handlers, with the state and the background work behind them.

    Subclasses mark methods ``(self, ctx, message) -> Reply | Download`` with :func:`handles`. What other services
    do is heard of by subscribing to ``node.events``; the methods here are what the node itself asks for.
    """

    def __init__(self, node: ServiceNode) -> None:
        self.node = node

    def handlers(self) -> Iterator[tuple[type[Message], Handler]]:
        """Its operations: each message with the bound method that is marked to handle it."""
        for name in dir(type(self)):
            message = getattr(getattr(type(self), name), "__handles__", None)
            if message is not None:
                yield message, getattr(self, name)

    def start(self) -> None:
        """Begin background work; the node's database is up to date."""

    def stop(self) -> None:
        """End background work; called once, also after a failed start."""

    def tidy(self) -> int:
        """Remove what users abandoned, and say how much that was; called at start and every hour."""
        return 0

    #: What :meth:`check` looks at, in one word; "" when this service has nothing to look at.
    checks: str = ""

    def check(self) -> None:
        """Raise when this service cannot do its work now (``/readyz`` asks, if :attr:`checks` says so)."""

    def warning(self) -> str:
        """What whoever runs this node must know although it works; "" where nothing is (``/readyz`` asks)."""
        return ""

    def configured(self) -> bool:
        """False while this service waits for its one-time set-up."""
        return True

    def pipes(self) -> Sequence[PipeRoute]:
        """The WebSockets whose messages this service takes over."""
        return ()

    #: Which tokens this service vouches for (the ``typ`` claim).
    token_kind: str = ""

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        """The identity behind a verified token of ``token_kind``; raises when it was revoked."""
        raise NotImplementedError

    def principal_of_key(self, verify_key: str) -> Principal | None:
        """The identity that registered ``verify_key`` here, if this service knows it."""
        return None


class ServiceMap:
    """Message type → handler. SDK and platform services live in this one structure."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Operation, Handler]] = {}

    def add(self, service: Service) -> None:
        """Take in the operations of a service. Raises :class:`TypeError` when one has a handler already."""
        for message, handler in service.handlers():
            spec = operation_of(message)
            if spec.name in self._handlers:
                raise TypeError(f"two handlers for {spec.name}")
            self._handlers[spec.name] = (spec, handler)

    def operations(self) -> list[Operation]:
        """All operations of the node, by name."""
        return sorted((spec for spec, _ in self._handlers.values()), key=lambda spec: spec.name)

    def operation(self, name: str) -> Operation:
        """The operation of that name. Raises :class:`NotFound` for one that this node does not have."""
        return self._find(name)[0]

    def _find(self, name: str) -> tuple[Operation, Handler]:
        try:
            return self._handlers[name]
        except KeyError:
            raise NotFound(f"this node offers no operation {name[:80]!r}") from None

    def call(self, context: Context, message: Message) -> Reply | Download:
        """Check the permission of the message's operation, then run its handler."""
        spec, handler = self._find(operation_of(message).name)
        context.principal.require(spec.permission)
        return handler(context, message)
