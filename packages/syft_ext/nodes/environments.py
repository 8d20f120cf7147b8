"""Compute environments at a Domain (``domain.workers``; PyGrid 0.5: ``client.workers``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syft_ext.client.listing import Listing
from syft_ext.display.table import Table, ago, fields_table, size, when
from syft_ext.errors import BadRequest, DeadlineExceeded, Forbidden, NotFound, Unavailable
from syft_ext.ids import is_id
from syft_ext.messages import environments as m
from syft_ext.readable import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syft_ext.client.caller import Caller
    from syft_ext.client.objects import RemoteObject
    from syft_ext.pointers.location import Location

__all__ = ["Environment", "Environments"]

_PAGE = 1000
_WAIT = 30.0
_PASSING = ("creating", "destroying")


class Environment:
    """One compute environment: a process of its own for one user's sessions, with limits and without a network."""

    def __init__(self, client: Caller, view: m.EnvironmentView) -> None:
        self.client, self.view = client, view

    @property
    def id(self) -> str:
        return self.view.id

    @property
    def state(self) -> str:
        """As of the last call; ``refresh()`` asks again."""
        return self.view.state

    @property
    def reason(self) -> str:
        """Why it is in that state."""
        return self.view.reason

    def refresh(self, wait: float = 0.0) -> Environment:
        """Ask again how it is; while it is being created or destroyed, wait so many seconds (at most 60)."""
        message = m.GetEnvironment(environment_id=self.id, wait=wait)
        self.view = self.client.call(message, timeout=wait + 30.0)
        return self

    def wait(self, timeout: float = 300.0) -> Environment:
        """Wait until it runs.

        Raises :class:`~syft_ext.errors.Unavailable` when it failed or was destroyed,
        :class:`~syft_ext.errors.DeadlineExceeded` when it is still being created.
        """
        left = timeout
        while left > 0 and self.state in _PASSING:
            self.refresh(min(left, _WAIT))
            left -= _WAIT
        if self.state == "creating":
            raise DeadlineExceeded(f"the environment was not there within {timeout:g} s", seconds=timeout)
        if self.state != "running":
            raise Unavailable(f"the environment is {self.state}: {self.reason}", state=self.state)
        return self

    def destroy(self) -> Environment:
        """End it, with all that is in it."""
        self.view = self.client.call(m.DestroyEnvironment(environment_id=self.id), timeout=60.0)
        return self

    # -- what is computed in it ---------------------------------------------------------------------

    @property
    def location(self) -> Location:
        """Where to send what is to be computed there: ``x.send(environment)`` means it."""
        from syft_ext.pointers.location import location_of

        return location_of(self.client, self.id)

    def pointer(self, object_id: str) -> Any:
        """A pointer to a stored object of the Domain, loaded into this environment."""
        from syft_ext.pointers.stored import pointer

        return pointer(self.client, object_id, self.id)

    def load(self, what: Any) -> Any:
        """A pointer, here, to an object of the Domain's store that you may compute on.

        Args:
            what: the object or asset, its id, or a pointer to values elsewhere at this Domain: those become an
                object of the store first.
        """
        from syft_ext.pointers.fetching import stored_object
        from syft_ext.pointers.location import Location
        from syft_ext.pointers.stored import pointer

        if isinstance(there := getattr(what, "location", None), Location):
            if there == self.location:
                return what
            if there.client.id != self.client.id:
                raise BadRequest(f"those values are at {there.name}, not at {self.client.name}")
            what = stored_object(what)
        object_id = what if isinstance(what, str) else getattr(what, "object_id", None) or what.id
        return pointer(self.client, object_id, self.id)

    def save(
        self, pointer: Any, *, description: str = "", tags: Sequence[str] = (), searchable: bool = False
    ) -> RemoteObject:
        """Make what a pointer stands for an object of the Domain's store, which survives this environment.

        Whoever may read all that it was computed from may read it.
        """
        from syft_ext.client.objects import Objects
        from syft_ext.pointers.fetching import keep

        if getattr(pointer, "location", None) != self.location:
            raise BadRequest("save what a pointer of this environment stands for: load it here first")
        kept = keep(pointer, description=description, tags=list(tags), searchable=searchable)
        return Objects(self.client).describe(kept.object_id)

    # -- showing itself -----------------------------------------------------------------------------

    def table(self) -> Table:
        """How it is, with what it used of what it may use."""
        view = self.view
        fields = [
            ("id", view.id),
            ("for", view.user or "a user who was deleted"),
            ("state", f"{view.state}: {view.reason}" if view.reason else view.state),
            ("instance type", f"{view.instance_type}, by {view.provider}"),
            ("memory", _of(None if view.memory_used is None else size(view.memory_used), size(view.memory))),
            ("CPU time", _of(None if view.cpu_used is None else ago(view.cpu_used), ago(view.cpu_seconds))),
            ("CPU threads", view.threads),
            ("may live", ago(view.seconds)),
            ("sessions", view.sessions),
            ("created", when(view.created_at)),
            ("last used", when(view.used_at)),
            ("ended", when(view.ended_at)),
        ]
        return fields_table(f"Compute environment at {self.client.name}", fields)

    def __repr__(self) -> str:
        what = f"{self.view.instance_type} {self.state}"
        return readable(f"<Environment {what} at {self.client.name}, id {self.id}>")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _of(used: str | None, limit: str) -> str:
    return f"up to {limit}" if used is None else f"{used} of {limit}"


class Environments(Listing[Environment]):
    """Your compute environments that are there; :meth:`find` looks further."""

    title = "Workers"
    headings = ("for", "type", "state", "memory", "CPU seconds", "created", "last used", "id")

    def _fetch(self) -> list[Environment]:
        return self.find()

    def find(
        self, *, include_all: bool = False, include_failed: bool = False, include_destroyed: bool = False
    ) -> list[Environment]:
        """Newest first; yours, and those that are there, unless more is asked for.

        Args:
            include_all: those of all users; only for who manages infrastructure.
            include_failed: also those that never ran, or ended by themselves.
        """
        found: list[Environment] = []
        while True:
            message = m.ListEnvironments(
                include_all=include_all,
                include_failed=include_failed,
                include_destroyed=include_destroyed,
                limit=_PAGE,
                offset=len(found),
            )
            page: m.EnvironmentList = self.client.call(message)
            found += [Environment(self.client, view) for view in page.environments]
            if len(page.environments) < _PAGE:
                return found

    def instances(self) -> list[m.InstanceType]:
        """What environments may be made of here."""
        reply: m.InstanceTypes = self.client.call(m.ListInstanceTypes())
        return reply.types

    def create(
        self, user: str = "", instance_type: str = "", *, wait: bool = True, timeout: float = 300.0
    ) -> Environment:
        """Make an environment for a user, and wait until it runs.

        Args:
            user: their id or e-mail address; "" for yourself.
            instance_type: a name of :meth:`instances`; "" for the first.
        """
        message = m.CreateEnvironment(user=user, instance_type=instance_type)
        environment = Environment(self.client, self.client.call(message))
        return environment.wait(timeout) if wait else environment

    def get(self, environment_id: str) -> Environment:
        """By id, how it begins, or whose it is. Raises :class:`~syft_ext.errors.NotFound`, also for what you may
        not see."""
        view = self.client.call(m.GetEnvironment(environment_id=self._id(environment_id)))
        return Environment(self.client, view)

    def destroy(self, environment_id: str) -> Environment:
        """End it, with all sessions in it. It may be "destroying" still when this returns."""
        view = self.client.call(m.DestroyEnvironment(environment_id=self._id(environment_id)), timeout=60.0)
        return Environment(self.client, view)

    def _id(self, which: str) -> str:
        """Of one that runs, if one is called so; else of one that ran."""
        if is_id(which):
            return which
        try:
            return self.choose(self._mine_or_all(), which).id
        except NotFound:
            return self.choose(self._mine_or_all(include_failed=True, include_destroyed=True), which).id

    def _mine_or_all(self, **wider: bool) -> list[Environment]:
        try:
            return self.find(include_all=True, **wider)
        except Forbidden:
            return self.find(**wider)

    def key(self, item: Environment) -> tuple[str, ...]:
        return (item.id, item.view.user)

    def row(self, item: Environment) -> tuple[Any, ...]:
        view = item.view
        moments = (when(view.created_at), when(view.used_at))
        limits = (size(view.memory), view.cpu_seconds)
        return (view.user, view.instance_type, view.state, *limits, *moments, view.id)
