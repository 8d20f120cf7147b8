"""Drives a pipeline in this process, as services and workers would over the wire."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grid.access.tables import PolicyRow
from grid.aggregation.base import Aggregator
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.local_jobs import LocalJobs
from grid.federated.hosting.config import ServerConfig
from grid.federated.participation.collector import Metrics
from grid.federated.pipeline import TrainingPipeline
from grid.storage.blobs.files import FileBlobStore
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.checked import CheckedContents
from grid.storage.sql.database import Database
from syft_ext.clock import Clock, SystemClock
from syft_ext.errors import Unsupported
from syft_ext.messages.federated import CheckInReply, ReportReply
from syft_ext.tensors import Layout
from syft_ext.transport import PayloadReader
from tests.federated.models import decode, encode, small_model
from tests.open_site import open_site

SECRET = b"the node's own secret"


class NoPlans:
    """For trainings without plans: accepts opaque plan bytes, refuses to run any."""

    def check(self, owner: str, kind: str, plan: bytes, server: ServerConfig) -> None:
        if kind != "plan":
            raise Unsupported("this test hosts no averaging plan")

    def check_model(self, owner: str, plan: bytes, server: ServerConfig, layout: Layout) -> None:
        raise Unsupported("this test hosts no averaging plan")

    def check_configuration(self, plans: Mapping[str, bytes], config: Mapping[str, Any]) -> None:
        """Nothing is known of opaque plans."""

    def check_layout(self, plans: Mapping[str, bytes], layout: Layout) -> None:
        """Nothing is known of opaque plans."""

    def check_step(
        self, owner: str, plans: Mapping[str, bytes], config: Mapping[str, Any], model: TensorFile
    ) -> None:
        """Nothing is known of opaque plans."""

    def aggregator(self, owner: str, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        raise Unsupported("this test runs no plan")


class CheckedFiles(CheckedContents):
    """Contents as an assembled node has them, whose files a test may damage."""

    inner: FileBlobStore

    def path(self, digest: str) -> Path:
        return self.inner.path(digest)


class DrivenPipeline(TrainingPipeline):
    """A pipeline with a job queue of its own, which starts and stops with it, as a node's does."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock | None, **options: Any) -> None:
        clock = clock or SystemClock()
        self.queue = LocalJobs(clock)
        super().__init__(database, blobs, clock=clock, jobs=self.queue, **options)

    def start(self) -> None:
        self.queue.start()
        super().start()

    def stop(self) -> None:
        self.queue.stop()
        super().stop()


class Driver:
    """A pipeline and the ids of its one training."""

    def __init__(
        self, database: Database, blobs: BlobStore, clock: Clock | None = None, **options: Any
    ) -> None:
        with database.read() as session:
            fresh = session.get(PolicyRow, 1) is None
        if fresh:
            open_site(database)
        if isinstance(blobs, FileBlobStore):
            blobs = CheckedFiles(blobs, database)
        options.setdefault("plans", NoPlans())
        options.setdefault("rng", random.Random(7))
        options.setdefault("secret", SECRET)
        self.pipeline = DrivenPipeline(database, blobs, clock, **options)
        self.process_id = ""

    def host(
        self, server_config: Mapping[str, Any], *, name: str = "mnist", version: str = "1.0", **options: Any
    ) -> str:
        """Host a training and upload its model, so that its first cycle opens."""
        model = options.pop("model", None) or small_model()
        self.process_id = self.pipeline.tasks.create(
            "owner",
            client_plans=options.pop("client_plans", {"training_plan": b"plan"}),
            client_config={"name": name, "version": version, "lr": 0.1},
            server_config=server_config,
            **options,
        )
        self.pipeline.tasks.upload_model(self.process_id, [encode(model)])
        return self.process_id

    def worker(self, subject: str | None = None) -> str:
        definition = self.pipeline.definitions.get(self.process_id)
        return self.pipeline.assignments.authenticate(definition, None, key=subject or "")

    def check_in(self, worker_id: str | None = None, **options: Any) -> CheckInReply:
        return self.pipeline.assignments.check_in(self.process_id, worker_id or self.worker(), **options)

    def join(self) -> tuple[str, CheckInReply]:
        """A new worker with an assignment."""
        worker_id = self.worker()
        reply = self.check_in(worker_id)
        assert reply.status == "accepted", reply
        return worker_id, reply

    def report(
        self, part: tuple[str, CheckInReply], tensors: Mapping[str, Any], **options: Any
    ) -> ReportReply:
        worker_id, reply = part
        metrics = Metrics(**{k: options.pop(k) for k in ("samples", "loss", "accuracy") if k in options})
        body = options.pop("body", None) or PayloadReader.of(encode(tensors))
        return self.pipeline.collector.accept(
            reply.assignment_id, worker_id, reply.request_key, body, metrics=metrics, **options
        )

    def model(self, checkpoint: str | int = "latest") -> dict[str, Any]:
        view = self.pipeline.views.checkpoint(self.pipeline.definitions.get(self.process_id), checkpoint)
        return decode(self.pipeline.store.blobs.map(view.digest))

    @property
    def view(self) -> Any:
        return self.pipeline.views.process(self.process_id)

    def until(self, condition: Callable[[Any], bool], timeout: float = 90.0) -> Any:
        """Wait for the training to satisfy ``condition`` (woken by its history, as a watcher is)."""
        deadline, after = time.monotonic() + timeout, 0
        while True:
            events = self.pipeline.views.watch(self.process_id, after, deadline - time.monotonic())
            after = events.last
            if condition(events.process):
                return events.process
            assert time.monotonic() < deadline, events.process

    def completed(self, count: int) -> Any:
        """Wait until so many cycles are completed."""
        return self.until(lambda view: view.cycles_completed >= count)


def together(count: int, action: Callable[[int], Any]) -> list[Any]:
    """Run ``action(0 … count-1)`` in as many threads, started at one moment."""
    results: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = action(index)
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
