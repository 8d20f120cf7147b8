"""A session at a Domain (or in a compute environment) as its user sees it: record, and wait only for results.

Sending threads carry batches of actions while the user's code goes on. What went wrong with an action shows at
the next :meth:`RemoteSession.fetch` or :meth:`RemoteSession.barrier`, with the line of the user's code that
recorded it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from syft_ext.errors import (
    Conflict,
    DeadlineExceeded,
    GridError,
    Problem,
    SessionLost,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    from_problem,
)
from syft_ext.messages import Message
from syft_ext.messages import compute as m
from syft_ext.messages.objects import ObjectView
from syft_ext.pointers.call_sites import CallSite, line_at
from syft_ext.pointers.cells import Handle
from syft_ext.pointers.outbox import ActionBatch, Outbox
from syft_ext.profile import credentials
from syft_ext.tensors import decode_tensors

if TYPE_CHECKING:
    import torch

    from syft_ext.client.caller import Caller
    from syft_ext.transport import Connection

__all__ = ["RemoteSession"]

SENDERS = 4  # batches on their way at once
IDLE = 5.0  # seconds after which a sending thread that has nothing to do ends
ATTEMPTS = 6
TIMEOUT = 600.0
RELOGIN = 1800.0  # seconds for which batches wait when the login is over
T = TypeVar("T")
_ENCODER = msgspec.msgpack.Encoder()


class RemoteSession:
    """Values of one user in one place. Made by :class:`~syft_ext.pointers.location.Location`.

    Attributes:
        client: of the node that holds the values, or that owns the environment.
        environment: id of the compute environment; "" is the Domain itself.
    """

    def __init__(
        self, client: Caller, environment: str = "", view: m.ComputeSessionView | None = None
    ) -> None:
        self.client, self.environment = client, environment
        self.view = view or client.call(m.OpenComputeSession(environment=environment), timeout=TIMEOUT)
        self.outbox = Outbox()
        self._lock = threading.Lock()
        self._failures: dict[int, m.Failure] = {}
        self._call_sites: dict[int, CallSite] = {}  # of the actions that failed
        self._told: set[int] = set()
        self._plans: set[str] = set()
        self.contexts: dict[str, Handle] = {}  # public contexts that were sent here, by digest
        self._ending = weakref.finalize(self, _end, client.connection, self.id)
        self._ending.atexit = False  # then the locations close what is open

    @property
    def id(self) -> str:
        """The session's id at the node."""
        return self.view.session_id

    @property
    def alive(self) -> bool:
        """Whether something can be recorded still; False once sending has failed or the session has ended."""
        return self.outbox.error is None

    # -- recording ----------------------------------------------------------------------------------

    def record(
        self, outs: int, make: Callable[[list[int]], m.Action], data: memoryview | None = None
    ) -> list[Handle]:
        """Queue the action that ``make`` gives for the numbers of its results; it runs after all before it.

        Returns the results, each of which lives as long as its handle.
        """
        numbers, more = self.outbox.add(outs, make, data)
        if more:
            self._start()
        return [Handle(self.outbox, number) for number in numbers]

    def plan(self, plan_id: str, data: bytes) -> None:
        """Bring a plan here, once."""
        if plan_id not in self._plans:
            kept: m.PlanKept = self._call(m.PutPlan(session_id=self.id), [data])
            if kept.plan_id != plan_id:
                raise GridError(f"{self.client.name} knows the plan by another id")
            self._plans.add(plan_id)

    # -- waiting ------------------------------------------------------------------------------------

    def current(self) -> m.ComputeSessionView:
        """What the node says of it now. Raises :class:`SessionLost` when it is over."""
        reply: m.ComputeSessionList = self.client.call(m.ListComputeSessions())
        for view in reply.sessions:
            if view.session_id == self.id:
                self.view = view
                return view
        raise SessionLost(f"the session at {self.client.name} is over")

    def fetch(self, handles: Sequence[Handle]) -> list[torch.Tensor]:
        """Download values, after everything that was recorded so far has run.

        Raises what went wrong with an action since the last time, or why the values cannot be had.
        """
        if not handles:
            self.barrier()
            return []
        numbers = list(dict.fromkeys(handle.number for handle in handles))
        data = self._synchronise(m.FetchValues(session_id=self.id, values=numbers, after=self._flush()))
        tensors = dict(zip(numbers, decode_tensors(data).values(), strict=True))
        return [tensors[handle.number] for handle in handles]

    def barrier(self) -> None:
        """Wait until everything that was recorded so far has run."""
        self._synchronise(m.FetchValues(session_id=self.id, after=self._flush()))

    def check(self, handles: Sequence[Handle]) -> m.ValueAccess:
        """Whether the values may be fetched now."""
        numbers, after = list(dict.fromkeys(handle.number for handle in handles)), self._flush()
        message = m.CheckValues(session_id=self.id, values=numbers, after=after)
        access: m.ValueAccess = self._call(message, after=after)
        return access

    def keep(self, handles: Sequence[Handle], names: list[str] | None, **fields: Any) -> ObjectView:
        """Make values an object of the Domain's store."""
        numbers, after = [handle.number for handle in handles], self._flush()
        message = m.KeepValues(session_id=self.id, values=numbers, names=names, after=after, **fields)
        view: ObjectView = self._call(message, after=after)
        return view

    def _flush(self) -> int:
        after = self.outbox.flush()
        self._start()
        return after

    def _synchronise(self, message: m.FetchValues) -> bytearray:
        with self._explaining(message.after):
            reply, data = self._patiently(lambda: self._download(message))
        self._note(reply.failures)
        self.raise_failure()
        return data

    def _download(self, message: m.FetchValues) -> tuple[m.RanActions, bytearray]:
        with self.client.explained():
            found: tuple[m.RanActions, bytearray] = self.client.connection.download(message, timeout=TIMEOUT)
        return found

    def _patiently(self, ask: Callable[[], T]) -> T:
        """What waits for actions is refused after a while when they do not come; a slow line may need longer."""
        while True:
            token = self.client.connection.token
            try:
                return ask()
            except Unauthenticated:
                if not self._logged_in_again(token):
                    raise
            except Conflict as error:
                if "done" not in error.extra or not self.outbox.busy or self.outbox.error is not None:
                    raise

    def _logged_in_again(self, token: str) -> bool:
        """Go on with a later login than ``token``'s of the same user at this node, if there is one: the values
        are theirs."""
        client = self.client
        if client.session is None:
            return False
        if client.connection.token != token:
            return True  # another thread has seen it
        found = credentials.load(client.session.address)
        if found is None or found.user_id != client.session.user_id:
            return False
        if found.token == token:
            return False
        client.session, client.connection.token = found, found.token
        return True

    @contextmanager
    def _explaining(self, after: int) -> Iterator[None]:
        """An action that failed is the reason for what is refused after it: tell that, with its line."""
        try:
            yield
        except GridError as error:
            if self.outbox.error is not None:
                raise self.outbox.error from error
            if isinstance(error, SessionLost):
                raise self._lost(error) from error
            if error.status < 500:
                with suppress(GridError):
                    barrier = m.FetchValues(session_id=self.id, after=after)
                    self._note(self.client.connection.download(barrier, timeout=TIMEOUT)[0].failures)
                self.raise_failure()
            raise

    def _call(self, message: Message, payload: Sequence[bytes] = (), *, after: int = 0) -> Any:
        with self._explaining(after):
            return self._patiently(lambda: self.client.call(message, payload, timeout=TIMEOUT))

    # -- failures -----------------------------------------------------------------------------------

    def _note(self, failures: Sequence[m.Failure]) -> None:
        with self._lock:
            for failure in failures:
                if failure.action not in self._told:
                    self._failures.setdefault(failure.action, failure)
                    where = self.outbox.call_sites.get(failure.action)
                    if where is not None:
                        self._call_sites.setdefault(failure.action, where)

    def raise_failure(self) -> None:
        """Raise what went wrong first and was not told yet; what follows from it is told with it."""
        with self._lock:
            if not self._failures:
                return
            first = min(self._failures)
            failure = self._failures[first]
            self._told.update(self._failures)
            self._failures.clear()
        raise self._explained(failure)

    def _explained(self, failure: m.Failure) -> GridError:
        line = line_at(self._call_sites.get(failure.action) or self.outbox.call_sites.get(failure.action))
        extra: dict[str, Any] = {"action": failure.action}
        if line.number:
            extra |= {"file": line.file, "line": line.number}
        error = from_problem(Problem(code=failure.code, detail=failure.detail, extra=extra))
        return error.noted(f"recorded by {line}") if line.number else error

    def _lost(self, error: GridError) -> GridError:
        lost = SessionLost(
            f"the session at {self.client.name} is over, and its values with it ({error.detail}). It was closed, "
            "not used for long, or the node was started again: send and load the data again",
            session=self.id,
        )
        self.outbox.fail(lost)
        return lost

    # -- sending ------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.outbox.enlist(SENDERS):
            threading.Thread(target=self._send_all, name=f"grid-session-{self.id[:8]}", daemon=True).start()

    def _send_all(self) -> None:
        while (batch := self.outbox.take(IDLE)) is not None:
            self._send(batch)

    def _send(self, batch: ActionBatch) -> None:
        message = m.RunActions(session_id=self.id, first=batch.first, actions=_ENCODER.encode(batch.actions))
        try:
            reply: m.RanActions = self._insist(message, batch)
            self._note(reply.failures)
        except SessionLost as error:
            self._lost(error)
        except GridError as error:
            over = "the session cannot go on after that: send and load the data again"
            self.outbox.fail(type(error)(error.detail, **error.extra).noted(over))
            self._ending()
        except Exception as error:  # whoever waits must hear of it
            self.outbox.fail(GridError(f"what was recorded cannot be sent: {error!r}"))
            self._ending()
        finally:
            self.outbox.sent(batch)

    def _insist(self, message: m.RunActions, batch: ActionBatch) -> Any:
        """Send; what came twice does not run twice, so a broken line is no reason to give up at once."""
        failures, patience = 0, time.monotonic() + RELOGIN
        while True:
            try:
                return self._patiently(lambda: self.client.call(message, batch.pieces, timeout=TIMEOUT))
            except (Unavailable, DeadlineExceeded, TooManyRequests):
                failures += 1
                if failures == ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**failures)
            except Unauthenticated:  # whoever waits for a result is told to log in again
                if not self.outbox.open or time.monotonic() > patience:
                    raise
                time.sleep(0.5)

    def close(self) -> None:
        """End it; its values are gone."""
        alive = self.alive
        self._ending.detach()
        self.outbox.close()
        self.outbox.error = self.outbox.error or SessionLost(
            f"the session at {self.client.name} was closed; send and load the data again"
        )
        if alive:
            self.client.call(m.CloseComputeSession(session_id=self.id), timeout=10.0)


def _end(connection: Connection, session_id: str) -> None:
    """Free what a session held that nothing here refers to any more. A finaliser must not wait."""

    def close() -> None:
        with suppress(GridError):
            connection.call(m.CloseComputeSession(session_id=session_id), timeout=10.0)

    threading.Thread(target=close, name="grid-session-end", daemon=True).start()
