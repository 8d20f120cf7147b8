"""The service of environments: who may do what with them, and their keeper."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from grid.compute.host_channel import HostChannel
from grid.compute.service import ComputeService
from grid.config import DomainSettings
from grid.environments import records
from grid.environments.keeper import Keeper
from grid.environments.local import LocalProvider
from grid.environments.manager import EnvironmentManager
from grid.environments.provider import parse_types
from grid.environments.registry import make_providers
from grid.node import Context, Node, Principal, Service, handles
from syft_ext.messages import environments as m

__all__ = ["EnvironmentService"]

logger = logging.getLogger(__name__)


class EnvironmentService(Service):
    """Raises :class:`InvalidConfig` when the settings contradict themselves."""

    def __init__(self, node: Node, *, settings: DomainSettings) -> None:
        super().__init__(node)
        chosen = settings.environment_provider
        with node.db.read() as session:
            used = {row.provider for row in records.live(session)}
        self._gate = node.gate
        providers = make_providers(
            chosen, used, node.home, settings.environment_lease, permissive=self._gate.permissive
        )
        self._on_this_machine = isinstance(providers.get(chosen), LocalProvider)
        types = parse_types(settings.environment_types, chosen) if chosen else {}
        self.manager = EnvironmentManager(node.db, node.clock, providers, types, settings.max_environments)
        self._keeper = Keeper(
            node.db,
            node.clock,
            self.manager,
            idle=settings.environment_idle,
            ended=self._ended,
            grace=min(settings.quarantine, settings.environment_lease),
        )
        self._interval = settings.environment_interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- operations ---------------------------------------------------------------------------------

    @handles(m.ListInstanceTypes)
    def instances(self, ctx: Context, message: m.ListInstanceTypes) -> m.InstanceTypes:
        return m.InstanceTypes(types=self.manager.instances())

    @handles(m.CreateEnvironment)
    def create(self, ctx: Context, message: m.CreateEnvironment) -> m.EnvironmentView:
        if self._on_this_machine:
            self._gate.check()
        view = self.manager.create(ctx.principal, message)
        ctx.note(user=view.user_id, instance_type=view.instance_type, provider=view.provider)
        return view

    @handles(m.ListEnvironments)
    def list(self, ctx: Context, message: m.ListEnvironments) -> m.EnvironmentList:
        return m.EnvironmentList(environments=self.manager.all(ctx.principal, message))

    @handles(m.GetEnvironment)
    def get(self, ctx: Context, message: m.GetEnvironment) -> m.EnvironmentView:
        return self.manager.get(ctx.principal, message.environment_id, message.wait)

    @handles(m.DestroyEnvironment)
    def destroy(self, ctx: Context, message: m.DestroyEnvironment) -> m.EnvironmentView:
        view = self.manager.destroy(ctx.principal, message.environment_id)
        ctx.note(user=view.user_id)
        return view

    # -- for the service that runs sessions (grid.compute.hosts.Environments) -----------------------

    def connect(self, environment_id: str, user_id: str) -> HostChannel:
        """A new connection to the host of the user's environment.

        Raises :class:`NotFound` for one that is not there or not theirs, :class:`Conflict` for one that does
        not run, :class:`SessionLost` when its process is gone.
        """
        return self.manager.connect(user_id, environment_id)

    def of(self, user_id: str) -> Sequence[str]:
        """The ids of the environments that run for the user now."""
        return self.manager.of(user_id)

    # -- keeping ------------------------------------------------------------------------------------

    def start(self) -> None:
        self.node.service(ComputeService).use(self)
        self._thread = threading.Thread(target=self._keep, name="environments", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Environments go on: they are there when the node comes back within the lease."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
        for provider in self.manager.providers.values():
            provider.close()

    def keep(self) -> None:
        """Look after all environments once: see :mod:`grid.environments.keeper`."""
        self._keeper.round()

    def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                self.keep()
            except Exception:
                logger.exception("the environments cannot be looked after")
            self._stopping.wait(self._interval)

    def _ended(self, environment_id: str, what: str, reason: str) -> None:
        node = Principal("node", id=self.node.id, name=self.node.name)
        self.node.journal.record(node, f"environments.{what}", [environment_id], detail={"reason": reason})
