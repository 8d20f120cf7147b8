"""The training pipeline, put together from its parts, which know one another only by their events."""

from __future__ import annotations

import hashlib
import random

from grid.aggregation.base import Aggregator
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.executor import SerialExecutor
from grid.concurrency.jobs import JobQueue
from grid.federated.averaging.aggregator import AggregationJobs
from grid.federated.averaging.garbage import Garbage
from grid.federated.averaging.model_updater import ModelMemory, ModelUpdater
from grid.federated.averaging.recovery import Recovery
from grid.federated.averaging.resuming import Resuming
from grid.federated.averaging.retention import Pruning, Retention
from grid.federated.averaging.strategies import PlanRunner, TrainingStrategies, make_aggregator
from grid.federated.averaging.strategy_states import StrategyStates
from grid.federated.averaging.sums import CycleSums
from grid.federated.consent.reviews import TrainingReviews
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.outside import Outsiders
from grid.federated.cycles.policy import SitePolicies
from grid.federated.cycles.scheduler import TaskScheduler
from grid.federated.encrypted.library import ConfinedLibrary
from grid.federated.encrypted.sums import EncryptedSums
from grid.federated.hosting.secure_sums import SECURE_SUM
from grid.federated.hosting.stored_config import StoredConfigs
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.masked.rounds import MaskedRounds
from grid.federated.masked.rows import MaskedRows
from grid.federated.masked.sums import MaskedSums
from grid.federated.participation.collector import Collector
from grid.federated.participation.standing_aside import StandingAside
from grid.federated.participation.task_assignment import TaskAssignment
from grid.federated.state.events import CycleOpened
from grid.federated.state.notifier import Notifier
from grid.federated.state.outbox import Outbox
from grid.federated.state.store import TrainingStore
from grid.federated.task_management import TaskManagement
from grid.federated.views import Views
from grid.governance.requests.manager import RequestManager
from grid.node.events import EventBus
from grid.outgoing.endpoints import TrustedEndpoints
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.database import Database
from syft_ext.clock import Clock, SystemClock
from syft_ext.confinement.gate import Gate
from syft_ext.encrypted.statement import CKKS

__all__ = ["TrainingPipeline"]

MODEL_LIMIT = 64 << 30


class TrainingPipeline:
    """Task management, assignment, scheduler, collector, aggregator and model updater of one node.

    Args:
        secret: the node's own secret: request keys are derived from it, what seals the secrets of
            trainings, and the noise that the site's policy demands; so it must survive restarts.
        plans: runs hosted averaging plans, and checks plans when they are hosted.
        jobs: where closed cycles are averaged. Stopped before the pipeline is.
        bus: where the parts tell one another what happens (:mod:`grid.federated.state.events`).
        replica: the name of this process among those that share the database; the same after a restart.
        rng: draws random pools; seed it to repeat a run.
        models: the memory from which small models are served.
        desk: where people decide on requests, those to run trainings too.
        endpoints: whom the node's owner lets it ask about workers' tokens; nobody when None.
        retention: what is kept of each training; everything when None.
        verify_key: what participants know this node by (hex).
        gate: whether ciphertexts of participants can be read here; a strict one when None.

    Attributes:
        outside: who sums reports that nobody in this process can read; registered before :meth:`start`.

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
        desk: RequestManager | None = None,
        endpoints: TrustedEndpoints | None = None,
        retention: Retention | None = None,
        verify_key: str = "",
        gate: Gate | None = None,
    ) -> None:
        clock, bus = clock or SystemClock(), bus or EventBus()
        self.notifier = Notifier()
        self.store = store = TrainingStore(database, blobs, clock, self.notifier)
        self.definitions = definition = TrainingDefinitions(
            store, StoredConfigs(secret), endpoints or TrustedEndpoints()
        )
        noise_secret = hashlib.sha256(b"grid noise of trainings" + secret).digest()
        self.policies = policies = SitePolicies(store, noise_secret)
        bus.subscribe(
            CycleOpened,
            lambda event: policies.opened(event.unit, definition.get(event.unit.process.id).server),
        )
        self.outside = Outsiders()
        self.lifecycle = lifecycle = Lifecycle(bus, definition, policies, self.outside)
        self.scheduler = TaskScheduler(store, bus, definition, lifecycle)
        self.assignments = TaskAssignment(
            store, bus, definition, lifecycle, policies, secret, rng or random.SystemRandom()
        )
        self.collector = Collector(store, bus, definition, lifecycle, policies, self.outside)
        rows = MaskedRows(store, definition, verify_key)
        self.masked = MaskedRounds(store, bus, definition, lifecycle, policies, rows)
        self.outside.register(SECURE_SUM, MaskedSums(store, policies, self.masked))
        self._library = ConfinedLibrary(gate or Gate())
        self.encrypted = EncryptedSums(store, bus, definition, self._library)
        self.outside.register(CKKS, self.encrypted)

        strategies = TrainingStrategies()

        def make(definition: TrainingDefinition, base: TensorFile) -> Aggregator:
            return make_aggregator(definition, base, blobs, plans, strategies)

        states = StrategyStates(store, bus)
        updater = ModelUpdater(store, strategies, states, models)
        self._jobs, self.executor = jobs, SerialExecutor()
        self.recovery = Recovery(store, bus, definition, lifecycle, updater, make)  # hears first of work
        self.sums = CycleSums(store, bus, definition, policies, make, self.recovery.check)
        self.pruning = Pruning(store, retention or Retention())
        self.averaging = AggregationJobs(
            store,
            bus,
            lifecycle,
            Outbox(store, replica),
            self.sums,
            updater,
            self.executor,
            jobs,
            self.pruning,
            self.outside,
        )
        self.garbage = Garbage(store, bus)
        desk = desk or RequestManager(database, clock, bus)
        self.reviews = TrainingReviews(store, bus, definition, lifecycle, desk)
        self.tasks = TaskManagement(
            store,
            definition,
            lifecycle,
            policies,
            self.reviews,
            Resuming(store, states),
            plans,
            self.outside,
            model_limit=model_limit,
        )
        self.views = Views(store, definition, self.averaging.waiting)
        self.aside = StandingAside(store)

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
        self._library.close()
        self.garbage.stop()
        self.store.blobs.cache.trim(everything=True)
