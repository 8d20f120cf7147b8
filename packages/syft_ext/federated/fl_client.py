"""The worker's side of model-centric federated learning: ``FLClient`` (paper, listing 8)."""

from __future__ import annotations

import threading
from typing import Any

from syft_ext.errors import NotFound, Unauthenticated
from syft_ext.federated.job import FLJob, PlanLoader
from syft_ext.federated.session import WorkerSession, WorkerTransports
from syft_ext.federated.speed import Speeds, measure
from syft_ext.identity import Identity
from syft_ext.messages.federated import WorkerView
from syft_ext.transport import Transport
from syft_ext.transport.address import NodeAddress

__all__ = ["FLClient", "GridWorker"]


class FLClient:
    """A participant of federated trainings at one Domain.

    Args:
        url: ``host:port``, ``http(s)://host:port``, or ``ws(s)://host:port`` (everything over one WebSocket).
        auth_token: satisfies the authentication that the training's host configured; "" if there is none.
        secure: TLS, where ``url`` names no scheme.
        identity: the key of this worker. By default a fresh one: two clients are two workers. Whoever comes
            back with the same key is the same worker to the Domain.
        ca_file: a private certificate authority, if the Domain uses one.
        transport: how to reach the Domain, if not by ``url`` (in-process, for instance).
        load_plan: makes a plan of downloaded bytes; by default they are read, checked and self-tested, and
            run in this process.
        report_metrics: send loss, accuracy and samples with reports that do not state them, as the plan's
            steps gave them. What is passed to ``report()`` is always sent.

    Attributes:
        worker_id: set by the first authentication (or by hand, as in listing 8).
        grid_worker: the single calls, e.g. ``grid_worker.authenticate(token, name, version)``.
    """

    def __init__(
        self,
        url: str,
        auth_token: str | None = "",
        secure: bool = False,
        *,
        identity: Identity | None = None,
        ca_file: str | None = None,
        transport: Transport | None = None,
        load_plan: PlanLoader | None = None,
        report_metrics: bool = True,
    ) -> None:
        self.url = url
        self.auth_token = auth_token or ""
        self.identity = identity or Identity.generate()
        self.worker_id: str | None = None
        self.load_plan = load_plan
        self.report_metrics = report_metrics
        address = NodeAddress.parse(url, secure=secure)
        self._transports = WorkerTransports(address, self.identity, ca_file=ca_file, transport=transport)
        self.grid_worker = GridWorker(self)
        self._sessions: dict[tuple[str, str], WorkerSession] = {}
        self._lock = threading.Lock()

    def session(self, name: str, version: str) -> WorkerSession:
        """This worker's part in the training ``name``, ``version``; made at first use."""
        with self._lock:
            key = (name, version)
            if key not in self._sessions:
                self._sessions[key] = WorkerSession(self._transports, name, version, self.auth_token)
            return self._sessions[key]

    def new_job(self, model_name: str, model_version: str) -> FLJob:
        """A part in the training ``model_name``, ``model_version``; nothing is sent yet."""
        return FLJob(self, model_name, model_version)

    def close(self) -> None:
        """Release the sockets."""
        self._transports.close()

    def __enter__(self) -> FLClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<FLClient at {self.url}, worker {self.worker_id or 'not authenticated yet'}>"


class GridWorker:
    """The calls of a worker one by one, as PyGrid's ``client.grid_worker`` had them."""

    def __init__(self, client: FLClient) -> None:
        self._client = client

    def authenticate(self, auth_token: str | None, model_name: str, model_version: str) -> dict[str, Any]:
        """Join a training.

        Returns:
            ``{"type": "model-centric/authenticate", "data": {"status": "success", "worker_id": …,
            "requires_speed_test": …}}``

        Raises:
            NotFound: there is no such training.
            InvalidToken: the training refuses ``auth_token``.
        """
        session = self._client.session(model_name, model_version)
        session.auth_token = auth_token or ""
        worker = session.authenticate()
        self._client.worker_id = worker.worker_id
        data = {
            "status": worker.status,
            "worker_id": worker.worker_id,
            "requires_speed_test": worker.requires_speed_test,
        }
        return {"type": "model-centric/authenticate", "data": data}

    def speed_test(self, model_name: str, model_version: str) -> Speeds:
        """Measure this worker's line to the Domain: ping in ms, download and upload in KB/s."""
        session = self._client.session(model_name, model_version)
        if session.worker is None:
            raise Unauthenticated("authenticate for the training first")
        session.speeds = measure(session.transports.bulk(session.worker.token))
        return session.speeds

    def worker(self, model_name: str, model_version: str) -> WorkerView:
        """What the Domain answered to the authentication for this training."""
        worker = self._client.session(model_name, model_version).worker
        if worker is None:
            raise NotFound("this client has not authenticated for that training")
        return worker
