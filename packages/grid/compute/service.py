"""Remote computation at this Domain: who calls what, in which session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from blake3 import blake3

from grid.access.decision import require
from grid.access.policy import check_operation, current_policy
from grid.access.viewer import viewer_of
from grid.compute import protocol as p
from grid.compute.contents import Content
from grid.compute.hosts import Environments
from grid.compute.outputs import Outputs
from grid.compute.running import Runner
from grid.compute.sessions import SessionRegistry
from grid.concurrency.offload import offload
from grid.config import DomainSettings
from grid.node import Context, Download, Node, Service, handles
from grid.storage.objects.tables import ObjectRow
from syft_ext.messages import Empty
from syft_ext.messages import compute as c
from syft_ext.messages.objects import ObjectView
from syft_ext.plans.graph.document import MAX_PLAN_BYTES, read_ops

__all__ = ["ComputeService"]

logger = logging.getLogger(__name__)


class ComputeService(Service):
    """Values are never in this process, and torch is not either."""

    def __init__(self, node: Node, settings: DomainSettings) -> None:
        super().__init__(node)
        self.settings = settings
        self._sessions = SessionRegistry(node.clock, settings, node.gate)
        self._runner = Runner(node, seconds=settings.compute_seconds, payload=settings.compute_payload)
        self._outputs = Outputs(node)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def use(self, environments: Environments) -> None:
        """Sessions may be opened in these environments from now on."""
        self._sessions.environments = environments

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._sweep_until_stopped, name="compute", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._sessions.stop()
        if self._thread is not None:
            self._thread.join(10)

    def close_idle(self) -> None:
        """Close sessions that nobody used for as long as the settings allow."""
        self._sessions.sweep()

    def _sweep_until_stopped(self) -> None:
        interval = min(30.0, self.settings.compute_idle / 4)
        while not self._stopping.wait(interval):
            try:
                self.close_idle()
            except Exception:
                logger.exception("idle compute sessions could not be closed")

    # -- sessions -----------------------------------------------------------------------------------

    @handles(c.OpenComputeSession)
    def open(self, ctx: Context, message: c.OpenComputeSession) -> c.ComputeSessionView:
        session = self._sessions.open(ctx.principal.id, message.environment)
        ctx.note(session.id)
        return session.view()

    @handles(c.ListComputeSessions)
    def sessions(self, ctx: Context, message: c.ListComputeSessions) -> c.ComputeSessionList:
        return c.ComputeSessionList(
            sessions=[session.view() for session in self._sessions.of(ctx.principal.id)]
        )

    @handles(c.CloseComputeSession)
    def close(self, ctx: Context, message: c.CloseComputeSession) -> Empty:
        self._sessions.close(self._sessions.find(message.session_id, ctx.principal.id))
        return Empty()

    # -- objects ------------------------------------------------------------------------------------

    @handles(c.DescribeContent)
    def describe(self, ctx: Context, message: c.DescribeContent) -> c.ContentLayout:
        with self.node.db.read() as db:
            viewer, now = viewer_of(db, ctx.principal), self.node.clock.now()
            spent = self._sessions.spent(viewer.user_id)
            require(db, viewer, "compute", [message.object_id], now=now, spent=spent)
            row = db.get_one(ObjectRow, message.object_id)
            digest, kind = row.blob_digest, row.kind
        with offload(Content, self.node.blobs, digest, kind) as content:
            return c.ContentLayout(
                object_id=message.object_id, kind=kind, tensors=content.tensors(), form=content.form
            )

    # -- values -------------------------------------------------------------------------------------

    @handles(c.RunActions)
    def run(self, ctx: Context, message: c.RunActions) -> c.RanActions:
        session = self._sessions.find(message.session_id, ctx.principal.id)
        with session.used():
            return self._runner.run(ctx, session, message)

    @handles(c.PutPlan)
    def plan(self, ctx: Context, message: c.PutPlan) -> c.PlanKept:
        session = self._sessions.find(message.session_id, ctx.principal.id)
        with session.used():
            data = ctx.body.read_all(min(MAX_PLAN_BYTES, self.settings.compute_payload))
            names = self._check_plan(data)
            plan_id = blake3(data).hexdigest()
            seconds = self.settings.compute_seconds
            with session.turn(0):
                session.channel.stage(session.id, "content", len(data), [data])
                session.channel.call(p.KeepPlan(session.id, plan_id, seconds), p.Done, seconds=seconds)
                session.plans[plan_id] = frozenset(names)
            ctx.note(plan=plan_id)
            return c.PlanKept(plan_id=plan_id)

    def _check_plan(self, data: bytearray) -> Sequence[str]:
        """The operations of a plan, if the policy allows them; the rest is checked where it will run."""
        names = offload(read_ops, data)
        with self.node.db.read() as db:
            policy = current_policy(db)
        for name in names:
            check_operation(policy, name)
        return names

    @handles(c.CheckValues)
    def check_values(self, ctx: Context, message: c.CheckValues) -> c.ValueAccess:
        session = self._sessions.find(message.session_id, ctx.principal.id)
        with session.used():
            return self._outputs.check(ctx, session, message)

    @handles(c.FetchValues)
    def fetch(self, ctx: Context, message: c.FetchValues) -> Download:
        session = self._sessions.find(message.session_id, ctx.principal.id)
        with session.used():
            return self._outputs.fetch(ctx, session, message)

    @handles(c.KeepValues)
    def keep(self, ctx: Context, message: c.KeepValues) -> ObjectView:
        session = self._sessions.find(message.session_id, ctx.principal.id)
        with session.used():
            return self._outputs.keep(ctx, session, message)
