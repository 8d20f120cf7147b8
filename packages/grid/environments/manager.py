"""Making and ending environments: first the row says what is meant, then the provider does it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from sqlalchemy import select

from grid.concurrency.offload import Lock
from grid.environments import records
from grid.environments.channels import EnvironmentChannel, Use
from grid.environments.machine import EnvironmentEvent, EnvironmentState
from grid.environments.provider import EnvironmentHealth, Handle, Provider
from grid.environments.tables import EnvironmentRow
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, GridError, NotFound, TooManyRequests, Unavailable, Unsupported
from syft_ext.messages import environments as m

__all__ = ["EnvironmentManager"]

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0  # seconds: another replica's steps are seen no later
_DESTROY_WAIT = 20.0  # seconds that a call to destroy waits for the end


class EnvironmentManager:
    """``limit`` environments at most are there at once; ``types`` is the catalogue."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        providers: Mapping[str, Provider],
        types: Mapping[str, m.InstanceType],
        limit: int,
    ) -> None:
        self._db, self._clock = db, clock
        self.providers, self._types, self._limit = providers, types, limit
        self._changed = threading.Condition()
        self._one_at_a_time = Lock()  # so that two calls do not both take the last place
        self._uses: dict[str, Use] = {}
        self._busy: set[str] = set()  # ids that a thread of this process is making or ending

    # -- look ---------------------------------------------------------------------------------------

    def instances(self) -> list[m.InstanceType]:
        """What environments can be made of; the first is made where none is named. Empty: none are made here."""
        return list(self._types.values())

    def all(self, principal: Principal, message: m.ListEnvironments) -> list[m.EnvironmentView]:
        """The caller's, newest first. Raises :class:`Forbidden` to those who ask for all and manage nothing."""
        with self._db.read() as session:
            return records.listing(session, principal, message)

    def get(self, principal: Principal, environment_id: str, wait: float = 0.0) -> m.EnvironmentView:
        """One that the caller may see, else :class:`NotFound`; what runs, with its use.

        While it is being created or destroyed, the answer may take ``wait`` seconds.
        """
        deadline = time.monotonic() + wait
        while True:
            with self._db.read() as session:
                row = records.visible(session, principal, environment_id)
                view = records.view(session, row)
            left = deadline - time.monotonic()
            if view.state not in (EnvironmentState.CREATING, EnvironmentState.DESTROYING) or left <= 0:
                break
            with self._changed:
                self._changed.wait(min(left, _LOOK_AGAIN))
        if view.state == EnvironmentState.RUNNING and (status := self.status(row)).alive:
            view.cpu_used, view.memory_used = status.cpu_seconds, status.memory
            view.sessions = len(self._use(row).sessions)
            view.used_at = self._use(row).at
        return view

    # -- use ----------------------------------------------------------------------------------------

    def connect(self, user_id: str, environment_id: str) -> EnvironmentChannel:
        """To a running environment, for its user only: nobody else's operations run there.

        Raises :class:`NotFound`, or :class:`Conflict` when it does not run.
        """
        with self._db.read() as session:
            row = session.get(EnvironmentRow, environment_id)
        if row is None or row.user_id != user_id:
            raise NotFound("there is no such environment of yours", id=environment_id)
        if row.state != EnvironmentState.RUNNING or row.handle is None:
            raise Conflict(f"this environment is {row.state}", state=row.state)
        use = self._use(row)
        use.request()
        return EnvironmentChannel.to(self._provider(row).endpoint(row.id, row.handle), user_id, use)

    def of(self, user_id: str) -> list[str]:
        """The ids of the environments that run for the user now."""
        running = select(EnvironmentRow.id).where(
            EnvironmentRow.user_id == user_id, EnvironmentRow.state == EnvironmentState.RUNNING
        )
        with self._db.read() as session:
            return list(session.scalars(running.order_by(EnvironmentRow.created_at)))

    def used_at(self, row: EnvironmentRow) -> float:
        """When something last ran in it; written down, so that it is known after a restart too."""
        at = self._use(row).at
        if at > row.used_at:
            with self._db.transaction() as session:
                records.find(session, row.id).used_at = at
        return at

    def _use(self, row: EnvironmentRow) -> Use:
        return self._uses.setdefault(row.id, Use(self._clock, row.used_at))

    # -- make ---------------------------------------------------------------------------------------

    def create(self, principal: Principal, message: m.CreateEnvironment) -> m.EnvironmentView:
        """Write it down and begin to make it; the answer says "creating".

        Raises :class:`TooManyRequests` at the Domain's limit, :class:`Unsupported` where none are made.
        """
        instance = self._instance(message.instance_type)
        now = self._clock.now()
        with self._one_at_a_time, self._db.transaction() as session:
            user_id = records.user_named(session, message.user or principal.id)
            if len(records.live(session)) >= self._limit:
                raise TooManyRequests(
                    f"{self._limit} environments are here, the most that this Domain has at once: "
                    "destroy one first",
                    limit=self._limit,
                )
            row = records.add(session, user_id, principal.id, instance, now)
            view = records.view(session, row)
            self._busy.add(row.id)
        self._in_thread(row.id, lambda: self._make(row.id, instance))
        return view

    def _instance(self, name: str) -> m.InstanceType:
        if not self._types:
            raise Unsupported("this Domain makes no environments: its environment_provider is empty")
        found = self._types.get(name or next(iter(self._types)))
        if found is None:
            raise NotFound(f"there is no instance type {name!r}; there are: {', '.join(self._types)}")
        return found

    def _make(self, environment_id: str, instance: m.InstanceType) -> None:
        provider = self.providers[instance.provider]
        try:
            handle = provider.create(environment_id, instance)
        except Exception as error:
            reason = error.detail if isinstance(error, GridError) else "the provider failed"
            logger.exception("environment %s did not start", environment_id)
            provider.destroy(environment_id, None)
            self.step(environment_id, EnvironmentEvent.FAILED, reason)
            return
        if not self.step(environment_id, EnvironmentEvent.STARTED, handle=handle):
            provider.destroy(environment_id, handle)  # it was to be destroyed before it began

    # -- end ----------------------------------------------------------------------------------------

    def destroy(self, principal: Principal, environment_id: str) -> m.EnvironmentView:
        """Also what failed or was lost: then its leftovers go."""
        with self._db.transaction() as session:
            row = records.visible(session, principal, environment_id, lock=True)
            records.move(session, row, EnvironmentEvent.DESTROY, self._clock.now(), actor=principal.id)
        self.end(environment_id, row.provider, row.handle)
        return self.get(principal, environment_id, _DESTROY_WAIT)

    def end(self, environment_id: str, provider: str, handle: Handle | None) -> None:
        """Go on with what is to be destroyed, beside the caller."""

        def work() -> None:
            self.providers[provider].destroy(environment_id, handle)
            self.step(environment_id, EnvironmentEvent.DONE)

        self._busy.add(environment_id)
        self._in_thread(environment_id, work)

    # -- steps --------------------------------------------------------------------------------------

    def step(
        self, environment_id: str, event: EnvironmentEvent, reason: str = "", *, handle: Handle | None = None
    ) -> bool:
        """One step that the node makes; False when somebody else's came first."""
        try:
            with self._db.transaction() as session:
                row = records.find(session, environment_id)
                records.move(session, row, event, self._clock.now(), reason=reason)
                row.handle = handle or row.handle
                if row.state != EnvironmentState.RUNNING:
                    self._uses.pop(environment_id, None)
        except Conflict:
            return False
        finally:
            self._wake()
        return True

    def busy(self, environment_id: str) -> bool:
        """Whether this process is making or ending it now."""
        return environment_id in self._busy

    def rows(self) -> list[EnvironmentRow]:
        """All that may be running, with providers that are known here."""
        with self._db.read() as session:
            return [row for row in records.live(session) if row.provider in self.providers]

    def status(self, row: EnvironmentRow) -> EnvironmentHealth:
        """How the provider sees one that runs, or ran."""
        assert row.handle is not None  # what runs has one
        return self._provider(row).status(row.id, row.handle)

    def _provider(self, row: EnvironmentRow) -> Provider:
        if row.provider not in self.providers:
            raise Unavailable(f"the provider {row.provider!r} of this environment is not configured here")
        return self.providers[row.provider]

    def _in_thread(self, environment_id: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception:
                logger.exception("environment %s: the next round tries again", environment_id)
            finally:
                self._busy.discard(environment_id)
                self._wake()

        threading.Thread(target=run, name=f"environment-{environment_id[:8]}", daemon=True).start()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
