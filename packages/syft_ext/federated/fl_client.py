"""The worker's side of model-centric federated learning: ``FLClient`` (paper, listing 8)."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from syft_ext.confidential.trust import Trust
from syft_ext.errors import NotFound, Unauthenticated
from syft_ext.federated.bounds import BoundedReports
from syft_ext.federated.job import FLJob
from syft_ext.federated.job_client import PlanLoader
from syft_ext.federated.offer import TrainingOffer, read_offer
from syft_ext.federated.session import WorkerSession, WorkerTransports
from syft_ext.federated.speed import Speeds, measure
from syft_ext.identity import Identity
from syft_ext.messages.federated import WorkerView
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.plans.graph.limits import Limits
from syft_ext.profile import credentials
from syft_ext.profile.credentials import SavedLogin
from syft_ext.profile.devices import Device
from syft_ext.profile.home import user_identity
from syft_ext.readable import readable
from syft_ext.transport import Transport
from syft_ext.transport.address import NodeAddress
from syft_ext.transport.base import Path

__all__ = ["FLClient", "GridWorker"]


class FLClient:
    """A participant of federated trainings at one Domain.

    Args:
        url: ``host:port``, ``http(s)://host:port``, or ``ws(s)://host:port`` (everything over one WebSocket).
        auth_token: satisfies the authentication that the training's host configured; "" if there is none.
        secure: TLS, where ``url`` names no scheme.
        identity: the key of this worker, and all that it is known by: a Worker that the Domain accepted. By
            default the client takes part as the user who is logged in there (``sy.login``, or ``grid
            login``); where nobody is, with a fresh key, which only Domains take that let anybody take part.
        device: who comes back with the same one (and the same account or key) is the same worker to the Domain. By
            default two clients of one user at once are two workers, and one that is made when another has been
            closed, or when its process has ended, is that worker again: it gets the assignment that it held.
        ca_file: a private certificate authority, if the Domain uses one.
        transport: how to reach the Domain, if not by ``url`` (in-process, for instance).
        sandbox: plans of others run in a sandbox, each training's in one of its own. False runs them in this
            process, with all its rights: on your files too. That is said in a line of output for each plan.
        report_metrics: send loss, accuracy and samples with reports that do not state them, as the plan's
            steps gave them. What is passed to ``report()`` is always sent, as far as ``bounds`` let it out.
        bounds: what leaves at most, whatever a training does: clipping norm, noise, fewest rows, most samples
            and most reports. They act in this process after the plan; the Domain is told of them. None: only
            the model's own tensors, finite ones.
        plan_limits: what one run of a training's plan may cost here; None: what :class:`~syft_ext.plans.Limits`
            has as defaults.
        say: is given the line that says what a job will run, on whose word. By default it is printed, once.
        trust: whose word counts in confidential trainings, and how much they may have. With it, this client takes
            part in confidential trainings alone (by secure aggregation where it says so), and sends nothing in the
            clear; without, in none of them.

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
        device: str = "",
        report_metrics: bool = True,
        sandbox: bool = True,
        bounds: WorkerBounds | None = None,
        plan_limits: Limits | None = None,
        say: Callable[[str], object] | None = None,
        trust: Trust | None = None,
    ) -> None:
        self.url = url
        self.auth_token = auth_token or ""
        address = NodeAddress.parse(url, secure=secure)
        self._address = str(address)
        session = self._session()
        self._as_user = identity is None and session is not None
        ca_file = ca_file or (session.ca_file if session else "") or None
        self.identity = identity or (user_identity() if self._as_user else Identity.generate())
        self._device = Device(self._address) if self._as_user and not device else None
        self.device = self._device.id if self._device else device
        self.worker_id: str | None = None
        self.report_metrics = report_metrics
        self.sandbox, self.plan_limits = sandbox, plan_limits
        self.reports = BoundedReports(bounds, self.identity.derive_secret("noise of reports"))
        self.say = say or _print_once
        self.trust = trust
        self._declared = bounds
        self._transports = WorkerTransports(address, self.identity, ca_file=ca_file, transport=transport)
        self.grid_worker = GridWorker(self)
        self._sessions: dict[tuple[str, str], WorkerSession] = {}
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """How the Domain is reached, and why not otherwise: ``{"taken": way, "failed": {way: reason}}``."""
        return self._transports.path

    @property
    def site(self) -> str:
        """Who takes part, apart from all others: the key, and the device."""
        return f"{self.identity.verify_key}/{self.device}"

    def _session(self) -> SavedLogin | None:
        found = credentials.load(self._address)
        return None if found is None or found.expired else found

    def _login(self) -> str:
        """The token of the user who takes part; "" where somebody else does.

        Raises :class:`~syft_ext.errors.NotLoggedIn` when their session has expired.
        """
        return credentials.require(self._address).token if self._as_user else ""

    def session(self, name: str, version: str) -> WorkerSession:
        """This worker's part in the training ``name``, ``version``; made at first use."""
        with self._lock:
            key = (name, version)
            if key not in self._sessions:
                self._sessions[key] = WorkerSession(
                    self._transports,
                    name,
                    version,
                    self.auth_token,
                    device=self.device,
                    login=self._login,
                    bounds=self._declared,
                )
            return self._sessions[key]

    def new_job(
        self, model_name: str, model_version: str, *, digest: str = "", load_plan: PlanLoader | None = None
    ) -> FLJob:
        """A part in the training ``model_name``, ``model_version``; nothing is sent yet.

        It runs what reviewers at the Domain have approved, or what is the Domain's own, and says so in a line
        before. Anything else it refuses, and names the digest of what the training is.

        Args:
            digest: the definition that you agree to: exactly this is run, whoever has approved it or has not.
            load_plan: makes a plan of downloaded bytes; by default they are read, checked and self-tested, and
                run as ``sandbox`` says.
        """
        return FLJob(self, model_name, model_version, digest, load_plan)

    def review(self, model_name: str, model_version: str) -> TrainingOffer:
        """All that would run of a training, for you to read; nothing of it runs, and no slot is asked for.

        Its ``digest`` is what ``new_job(…, digest=…)`` agrees to.
        """
        return read_offer(self.session(model_name, model_version), model_name, model_version)

    def forget(self, model_name: str, model_version: str) -> None:
        """Join that training anew, next time: what the Domain answered is of the one that had its name before."""
        with self._lock:
            self._sessions.pop((model_name, model_version), None)

    def close(self) -> None:
        """Release the sockets; the next client of this user may be this worker."""
        self._transports.close()
        if self._device is not None:
            self._device.close()

    def __enter__(self) -> FLClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return readable(f"<FLClient at {self.url}, worker {self.worker_id or 'not authenticated yet'}>")


_printed: set[str] = set()


def _print_once(line: str) -> None:
    """One job after the other runs the same, in a loop say: it is news once."""
    if line not in _printed:
        _printed.add(line)
        sys.stdout.write(f"{readable(line)}\n")


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
