"""The training pipeline, put together from its parts, which know one another only by their events."""

from __future__ import annotations

import random

from grid.aggregation.base import Aggregator
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.executor import SerialExecutor
from grid.concurrency.jobs import JobQueue
from grid.federated.averaging.aggregator import AggregationJobs
from grid.federated.averaging.garbage import Garbage
from grid.federated.averaging.model_updater import ModelMemory, ModelUpdater
from grid.federated.averaging.recovery import Recovery
from grid.federated.averaging.strategies import PlanRunner, TrainingStrategies, make_aggregator
from grid.federated.averaging.strategy_states import StrategyStates
from grid.federated.averaging.sums import CycleSums
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.policy import SitePolicies
from grid.federated.cycles.scheduler import TaskScheduler
from grid.federated.hosting.stored_config import StoredConfigs
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.participation.collector import Collector
from grid.federated.participation.task_assignment import TaskAssignment
from grid.federated.state.events import CycleOpened
from grid.federated.state.notifier import Notifier
from grid.federated.state.outbox import Outbox
from grid.federated.state.store import TrainingStore
from grid.federated.task_management import TaskManagement
from grid.federated.views import Views
from grid.node.events import EventBus
from grid.storage.blobs.interface import BlobStore
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
        jobs: where closed cycles are averaged. Stopped before the pipeline is.
        bus: where the parts tell one another what happens (:mod:`grid.federated.state.events`).
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
        jobs: JobQueue,
        clock: Clock | None = None,
        bus: EventBus | None = None,
        replica: str = "main",
        rng: random.Random | None = None,
        model_limit: int = MODEL_LIMIT,
        models: ModelMemory | None = None,
    ) -> None:
        clock, bus = clock or SystemClock(), bus or EventBus()
        self.notifier = Notifier()
        self.store = store = TrainingStore(database, blobs, clock, self.notifier)
        self.definitions = definition = TrainingDefinitions(store, StoredConfigs(secret))
        self.policies = policies = SitePolicies(store)
        bus.subscribe(CycleOpened, lambda event: policies.opened(event.unit))
        self.lifecycle = lifecycle = Lifecycle(bus, definition, policies)
        self.scheduler = TaskScheduler(store, bus, lifecycle)
        self.assignments = TaskAssignment(
            store, bus, definition, lifecycle, secret, rng or random.SystemRandom()
        )
        self.collector = Collector(store, bus, definition, lifecycle, policies)

        strategies = TrainingStrategies()

        def make(definition: TrainingDefinition, base: TensorFile) -> Aggregator:
            return make_aggregator(definition, base, blobs, plans, strategies)

        updater = ModelUpdater(store, strategies, StrategyStates(store, bus), models)
        self._jobs, self.executor = jobs, SerialExecutor()
        self.recovery = Recovery(store, bus, definition, lifecycle, updater, make)  # hears first of work
        self.sums = CycleSums(store, bus, definition, policies, make, self.recovery.check)
        self.averaging = AggregationJobs(
            store, bus, lifecycle, Outbox(store, replica), self.sums, updater, self.executor, jobs
        )
        self.garbage = Garbage(store, bus)
        self.tasks = TaskManagement(store, definition, lifecycle, policies, plans, model_limit)
        self.views = Views(store, definition)

    def start(self) -> None:
        """Take up what an earlier process left: first what was being averaged, then the timers."""
        self.definitions.configs.seal_old_rows(self.store.database)
        self.recovery.start()
        self.averaging.start()
        self.scheduler.start()

    def drain(self, timeout: float = 60.0) -> bool:
        """Wait until no work is left that can be done now; whether that came within ``timeout`` seconds."""
        return self.executor.drain(timeout) and self._jobs.drain(timeout)

    def stop(self) -> None:
        """Send away who waits, and end what works; the next start takes up what was under way."""
        self.scheduler.stop()
        self.notifier.close()
        self.assignments.close()
        self.executor.stop()
        self.sums.close()
        self.garbage.stop()
        self.store.blobs.cache.trim(everything=True)
