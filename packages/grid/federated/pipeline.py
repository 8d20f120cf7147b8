"""The training pipeline, put together from its components."""

from __future__ import annotations

import random

from grid.aggregation.base import Aggregator
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.executor import SerialExecutor
from grid.concurrency.offload import offload
from grid.federated.averaging.aggregator import AggregationJobs
from grid.federated.averaging.garbage import Garbage
from grid.federated.averaging.model_updater import ModelMemory, ModelUpdater
from grid.federated.averaging.recovery import Recovery
from grid.federated.averaging.strategies import PlanRunner, make_aggregator
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.policy import SitePolicies
from grid.federated.cycles.scheduler import TaskScheduler
from grid.federated.hosting.hosted import Hosted, HostedTrainings
from grid.federated.hosting.stored_config import StoredConfigs
from grid.federated.participation.collector import Collector
from grid.federated.participation.task_assignment import TaskAssignment
from grid.federated.state.notifier import Notifier
from grid.federated.state.outbox import Message, Outbox
from grid.federated.state.store import TrainingStore, Unit
from grid.federated.task_management import TaskManagement
from grid.federated.views import Views
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.references import collect
from grid.storage.sql.database import Database
from syft_ext.clock import Clock, SystemClock

__all__ = ["TrainingPipeline"]

MODEL_LIMIT = 64 << 30


class TrainingPipeline:
    """Task management, assignment, scheduler, collector, aggregator and model updater of one node.

    Args:
        secret: the node's own secret: request keys are derived from it, and what seals the secrets of
            trainings; so it must survive restarts.
        plans: runs hosted averaging plans, and checks plans when they are hosted.
        replica: the name of this process among those that share the database; the same after a restart.
        rng: draws random pools; seed it to repeat a run.
        models: the memory from which small models are served.

    Use :attr:`tasks`, :attr:`assignments`, :attr:`collector` and :attr:`views`; :meth:`start` begins the
    background work (timers, and what a crash left undone), :meth:`stop` ends it.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        secret: bytes,
        plans: PlanRunner,
        clock: Clock | None = None,
        replica: str = "main",
        rng: random.Random | None = None,
        model_limit: int = MODEL_LIMIT,
        models: ModelMemory | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.notifier = Notifier()
        self.store = TrainingStore(database, blobs, clock, self.notifier)
        self.hosted = HostedTrainings(self.store, StoredConfigs(secret))
        self.outbox = Outbox(self.store, replica)
        self.executor = SerialExecutor()
        self.garbage = Garbage(lambda digests, cold: offload(self._collect, digests, cold))
        self.policies = SitePolicies(self.store)
        self.lifecycle = Lifecycle(self.hosted, self.outbox, self.policies, lambda: self)
        self.scheduler = TaskScheduler(self.store, self.lifecycle, self.outbox, clock, self.work_waits)
        self.assignments = TaskAssignment(
            self.store,
            self.hosted,
            self.lifecycle,
            self.scheduler.timers,
            secret,
            rng or random.SystemRandom(),
        )
        updater = ModelUpdater(self.store, models)

        def make(hosted: Hosted, base: TensorFile) -> Aggregator:
            return make_aggregator(hosted, base, blobs, plans)

        self.recovery = Recovery(self.store, self.hosted, self.lifecycle, updater, make)
        self.jobs = AggregationJobs(
            self.store,
            self.hosted,
            self.lifecycle,
            self.outbox,
            updater,
            self.executor,
            make,
            lambda _process_id, when: self.scheduler.timers.at("outbox", when),
            self.garbage,
            self.policies,
            self.assignments.expecting,
        )
        self.collector = Collector(
            self.store, self.hosted, self.lifecycle, self.policies, self.jobs.prepare, self.jobs.advance
        )
        self.jobs.collector = self.collector
        self.tasks = TaskManagement(
            self.store, self.hosted, self.lifecycle, self.policies, plans, model_limit
        )
        self.views = Views(self.store, self.hosted)

    def start(self) -> None:
        self.hosted.configs.seal_old_rows(self.store.database)
        self.recovery.start()
        self.scheduler.start()

    def stop(self) -> None:
        self.scheduler.stop()
        self.notifier.close()
        self.assignments.close()
        self.executor.stop()
        self.jobs.close()
        self.garbage.stop()
        self.store.blobs.cache.trim(everything=True)

    def _collect(self, digests: list[str], cold: list[str]) -> None:
        collect(self.store.database, self.store.blobs, digests, recycle=True)
        self.store.blobs.cache.cool(cold)
        self.store.blobs.cache.trim(everything=not digests and not cold)

    # -- reactions to transitions

    def deal(self, unit: Unit) -> None:
        self.assignments.deal_within(unit)

    def work_waits(self, message: Message) -> None:
        self.jobs.work(message)

    def wake_at(self, process_id: str, when: float) -> None:
        self.scheduler.timers.at(process_id, when)

    def forget(self, process_id: str, cycle_id: str, digests: list[str]) -> None:
        self.jobs.forget(process_id, cycle_id, digests)
