"""Three key hosts, a Domain and its participants, over real sockets; workers are real child processes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blake3 import blake3
from numpy.typing import NDArray

import syft_ext as sy
from apps.assembly import open_node
from apps.key_host.app import build as build_host
from grid.accounts.bootstrap import bootstrap_owner
from grid.confidential.launching import ChildWorkers, Workers
from grid.confidential.service import ConfidentialService
from grid.confidential.simulator import simulated_workload
from grid.config import KeyHostSettings
from grid.federated.pipeline import TrainingPipeline
from grid.federated.service import FederatedService
from grid.key_host.policies import decide
from grid.key_host.service import KeyHostService
from grid.node import Node
from grid.outgoing.dialer import GuardedOpener
from grid.outgoing.policy import OutgoingPolicy
from grid.web.testing import ServedNode
from syft_ext.attestation.policy import AttestationPolicy, encode_policy
from syft_ext.attestation.simulator.policy import SimulatorReferences
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.offer import Offer
from syft_ext.confidential.policy import NANO, Budget, Cohort, ConfidentialPolicy, Host, Mechanism, Windows
from syft_ext.confidential.rounds import open_round_keys
from syft_ext.confidential.sealing import Place, Sealing
from syft_ext.errors import Unavailable
from syft_ext.identity import Identity
from syft_ext.ids import new_id
from syft_ext.messages.confidential import DeclareUpload, GetOffer, OfferReply
from syft_ext.messages.federated import (
    CheckInReply,
    HostTraining,
    ProcessView,
    Report,
    ReportReply,
    UploadModel,
)
from syft_ext.messages.key_host import DecidePolicy
from syft_ext.tensors import encode_tensors
from tests.open_site import open_site
from tests.sdk.live import EMAIL, PASSWORD, SERVICES, log_in

__all__ = ["Consortium", "Participant", "until"]

GRID_BITS = 16
DAY = 86_400


def until(found: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """What ``found`` returns, once that is something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)
    return value


class Consortium:
    """Attributes:
    hosts: served key hosts, in no order. domain: the served Domain that runs now.
    """

    def __init__(
        self,
        path: Path,
        patch: pytest.MonkeyPatch,
        *,
        database_url: str | None = None,
        hosts: int = 3,
        workers: Workers | None = None,
    ) -> None:
        self.path, self._url, self._workers = path, database_url, workers
        self.owner, self.authority = Identity.generate(), Identity.generate()
        self.hosts = [self._host(number) for number in range(hosts)]
        self.start()

    def _host(self, number: int) -> ServedNode:
        settings = KeyHostSettings(name=f"host-{number}", simulator=True)
        return ServedNode(build_host(self.path / f"host{number}", settings))

    def start(self) -> None:
        """Start the Domain, on what is in its home."""
        home = self.path / "domain"
        first = not (home / "node.key").exists()
        node = open_node(
            "domain", home, "consortium", [*SERVICES, self._confidential], database_url=self._url
        )
        if first:
            assert bootstrap_owner(node, EMAIL, PASSWORD)
            open_site(node.db)
        self.domain = ServedNode(node)
        self.client = log_in(self.domain.url)

    def _confidential(self, node: Node) -> ConfidentialService:
        return ConfidentialService(
            node,
            opener=GuardedOpener(OutgoingPolicy(loopback=True)).transport,
            workers=self._workers or ChildWorkers("apps.confidential_worker"),
            aggregates_kept=0.0,
        )

    def stop(self) -> None:
        """Stop the Domain."""
        self.domain.close()

    def close(self) -> None:
        self.stop()
        for host in self.hosts:
            host.close()

    @property
    def pipeline(self) -> TrainingPipeline:
        return self.domain.node.service(FederatedService).pipeline

    @property
    def service(self) -> ConfidentialService:
        return self.domain.node.service(ConfidentialService)

    # -- policies -----------------------------------------------------------------------------------

    def attestation(self, **changes: Any) -> AttestationPolicy:
        references = SimulatorReferences(
            keys=(key_of(self.domain.node.identity),), workloads=(simulated_workload(),)
        )
        values = {"production": False, "allow_simulator": True, "simulator": references}
        return AttestationPolicy(**(values | changes))

    def policy(self, plans: Mapping[str, bytes], *, least: int = 2, **changes: Any) -> ConfidentialPolicy:
        hosts = sorted(
            (
                Host(key=key_of(served.node.identity), name=served.node.name, url=served.url)
                for served in self.hosts
            ),
            key=lambda host: host.key,
        )
        values: dict[str, Any] = {
            "owner": key_of(self.owner),
            "attestation": encode_policy(self.attestation()),
            "hosts": tuple(hosts),
            "threshold": len(hosts),
            "cohort": Cohort(least, 16, (key_of(self.authority),), 100, 1),
            "mechanism": Mechanism(
                clip=1 << GRID_BITS, grid_bits=GRID_BITS, noise_multiplier=0, denominator=least
            ),
            "budget": Budget("consortium", 0, 10**6),
            "plans": tuple(sorted(blake3(plan).digest() for plan in plans.values())),
            "rounds": 20,
            "windows": Windows(DAY, 2 * DAY),
            "not_after": int(time.time()) + 30 * DAY,
        }
        return ConfidentialPolicy(**(values | changes))

    def noisy(self, multiplier: float, rounds: int, least: int = 2) -> dict[str, Any]:
        """Fields of a policy with noise, whose budget pays for so many rounds."""
        mechanism = Mechanism(1 << GRID_BITS, GRID_BITS, int(multiplier * NANO), least)
        return {
            "mechanism": mechanism,
            "budget": Budget(f"noisy {multiplier}", rounds * mechanism.rho, 10**6),
        }

    def approve(self, policy: ConfidentialPolicy) -> Signed[ConfidentialPolicy]:
        """Sign it, publish it, and have every host's operator approve it."""
        signed = Signed.make(policy, self.owner)
        view = self.client.confidential.publish(signed)
        assert {host.state for host in view.hosts} <= {"registered", "approved"}, view.hosts
        for served in self.hosts:
            core = served.node.service(KeyHostService).core
            decide(core, DecidePolicy(digest=policy.digest().hex(), state="approved"))
        return signed

    # -- trainings ----------------------------------------------------------------------------------

    def host(
        self,
        model: Mapping[str, torch.Tensor],
        signed: Signed[ConfidentialPolicy],
        plans: Mapping[str, bytes],
        *,
        name: str = "t",
        **server_config: Any,
    ) -> str:
        """The id of a new training under this policy."""
        policy = ConfidentialPolicy.decode(signed.body)
        config = {
            "confidential": {"policy": base64.b64encode(signed.encode()).decode()},
            "min_diffs": policy.cohort.least,
            "max_diffs": policy.cohort.least,
            "max_workers": policy.cohort.most,
            "num_cycles": 1,
        }
        view: ProcessView = self.client.call(
            HostTraining(
                name=name, version="1", client_plans=dict(plans), server_config={**config, **server_config}
            )
        )
        self.client.call(UploadModel(process_id=view.process_id), [encode_tensors(dict(model))])
        return view.process_id

    def status(self, process_id: str) -> Any:
        return self.pipeline.views.process(process_id)

    def completed(self, process_id: str, cycles: int = 1) -> Any:
        """Wait until so many cycles are completed."""

        def found() -> Any:
            view = self.status(process_id)
            assert view.status in ("running", "completed"), view.reason
            return view if view.cycles_completed >= cycles else None

        return until(found)

    def model(self, name: str = "t") -> dict[str, torch.Tensor]:
        return dict(self.client.trainings.model(name, "1", "latest").state_dict())

    def join(self, subject: str, name: str = "t") -> Participant:
        """A participant with a certificate, that has its part in the current cycle."""
        return Participant(self, subject, name)


class Participant:
    """One participant's part in a cycle, step by step, as its SDK does it."""

    def __init__(
        self, home: Consortium, subject: str, name: str = "t", identity: Identity | None = None
    ) -> None:
        self.home, self.subject = home, subject
        self.identity = identity or Identity.generate()
        self.certificate = Signed.make(
            ParticipantCertificate(
                authority=key_of(home.authority),
                subject=subject,
                participant=key_of(self.identity),
                not_before=int(time.time()) - DAY,
                not_after=int(time.time()) + 30 * DAY,
            ),
            home.authority,
        )
        self.client = sy.FLClient(home.domain.url)
        self.session = self.client.new_job(name, "1").session
        self.session.authenticate()
        self.assignment: CheckInReply = self.session.check_in(new_id(), wait=10.0)
        assert self.assignment.status == "accepted", self.assignment

    @property
    def key(self) -> dict[str, str]:
        return {"assignment_id": self.assignment.assignment_id, "request_key": self.assignment.request_key}

    def offer(self) -> Offer:
        """What the Domain offers, once it can."""

        def found() -> OfferReply | None:
            try:
                reply: OfferReply = self.session.call(GetOffer(**self.key))
            except Unavailable:
                return None
            return reply

        return Offer.decode(until(found).offer)

    def seal(self, change: Mapping[str, NDArray[Any]], offer: Offer | None = None) -> tuple[bytes, bytes]:
        """The sealed blob and the declaration of what is subtracted from the model."""
        offer = offer or self.offer()
        policy = ConfidentialPolicy.decode(offer.policy.body)
        keys = open_round_keys(offer.keys, tuple(host.key for host in policy.hosts), offer.context)
        place = Place(policy, offer.context, keys, offer.base, offer.assignment, self.certificate)
        content = b"".join(
            np.ascontiguousarray(change[tensor.name], dtype="<f4").tobytes()
            for tensor in offer.layout.tensors
        )
        sealing = Sealing(place, [content], len(content), self.identity)
        blob = b"".join(sealing.pieces())
        return blob, sealing.declaration().encode()

    def declare(self, declaration: bytes) -> None:
        self.session.call(DeclareUpload(**self.key, declaration=declaration))

    def send(self, blob: bytes, kind: str = "sealed", **fields: Any) -> ReportReply:
        reply: ReportReply = self.session.call(Report(**self.key, kind=kind, **fields), [blob])
        return reply

    def report(self, change: Mapping[str, NDArray[Any]]) -> ReportReply:
        blob, declaration = self.seal(change)
        self.declare(declaration)
        return self.send(blob)
