"""The scene of ``--confidential``: three key hosts, a Domain, four participants. The Domain starts the worker."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import msgspec
import numpy as np
from blake3 import blake3

import syft_ext as sy
from apps.cli.client import open_own_node
from demo.data import Study
from demo.processes import NodeProcess
from grid.confidential.simulator import simulated_workload
from syft_ext.attestation.policy import AttestationPolicy, encode_policy, policy_to_json
from syft_ext.attestation.simulator.policy import SimulatorReferences
from syft_ext.attestation.snp.policy import SnpMinimum, SnpReferences
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.documents import policy_from_document
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.identity import Identity
from syft_ext.messages.key_host import DecidePolicy

__all__ = ["HOSTS", "PEOPLE", "Consortium"]

HOSTS = ("North Keys", "South Keys", "Notary")
PEOPLE = ("North Clinic", "North Institute", "South Clinic", "South Institute")
OWNER = "owner@consortium.example"
DAY = 86_400
CLIP, NOISE = 1.0, 0.1
"""The clip norm of an update, and the standard deviation of the noise on the sum as a multiple of it."""


class Setting(msgspec.Struct):
    """What a participant's process is told on its standard input. Keys in hex digits, statements encoded."""

    url: str
    training: str
    version: str
    key_file: str
    data: str
    hosts: list[str]
    authorities: list[str]
    evidence: bytes
    certificate: bytes
    rho: float
    rounds: int
    seed: int


class Consortium:
    """Everything that runs. All nodes and participants are processes of their own and talk over sockets.

    Attributes:
        owner, authority: who signs policies, and who vouches for participants: people, not nodes.
        people: the participants' keys, by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.password = folder, secrets.token_urlsafe(12)
        self.owner, self.authority = Identity.generate(), Identity.generate()
        self.people = {name: Identity.load_or_create(folder / slug(name) / "key") for name in PEOPLE}
        self._participants: list[subprocess.Popen[bytes]] = []
        with ThreadPoolExecutor() as pool:
            hosts = pool.map(self._host, HOSTS)
            self.domain = self._domain()
            self.hosts = list(hosts)
        self.domain_key = Identity.load_or_create(self.domain.home / "node.key")
        self.client = self._client()

    def _host(self, name: str) -> NodeProcess:
        arguments = ["--name", name, "--port", "0", "--simulator"]
        return NodeProcess("key-host", self.folder / slug(name), arguments)

    def _domain(self) -> NodeProcess:
        owner = {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": self.password}
        arguments = ["--name", "Consortium", "--port", "0"]
        return NodeProcess("domain", self.folder / "domain", arguments, environment=owner)

    def _client(self) -> sy.DomainClient:
        client = sy.login(self.domain.url, OWNER, self.password)
        assert isinstance(client, sy.DomainClient)
        client.policy.set(participation="open", trainings="trusted-users")
        return client

    # -- terms --------------------------------------------------------------------------------------

    @property
    def evidence(self) -> AttestationPolicy:
        """What the consortium accepts as evidence: the Domain's own word, as there is no enclave here."""
        references = SimulatorReferences(keys=(key_of(self.domain_key),), workloads=(simulated_workload(),))
        return AttestationPolicy(production=False, allow_simulator=True, simulator=references)

    def host_keys(self) -> list[str]:
        return [Identity.load_or_create(host.home / "node.key").verify_key for host in self.hosts]

    def policy(
        self, plan: bytes, rounds: int, *, scope: str, noise: float = NOISE
    ) -> Signed[ConfidentialPolicy]:
        """The terms of a training with this plan, signed by the consortium."""
        rho = 1 / (2 * noise**2) if noise else 0.0
        document = {
            "scope": scope,
            "rounds": rounds + 4,
            "not_after": int(time.time()) + 30 * DAY,
            "plans": [blake3(plan).hexdigest()],
            "hosts": [
                {"name": name, "key": key, "url": host.url}
                for name, key, host in zip(HOSTS, self.host_keys(), self.hosts, strict=True)
            ],
            "cohort": {
                "least": len(PEOPLE),
                "most": len(PEOPLE),
                "authorities": [self.authority.verify_key],
                "participations": rounds + 4,
            },
            "mechanism": {
                "clip_norm": CLIP,
                "grid_bits": 20,
                "noise_multiplier": noise,
                "denominator": len(PEOPLE),
            },
            "budget": {"rho": round(rho * (rounds + 4), 9), "delta": "0.000001"},
            "windows": {"upload": DAY, "erase": 2 * DAY},
            "attestation": policy_to_json(self.evidence),
        }
        return Signed.make(policy_from_document(document, key_of(self.owner)), self.owner)

    def approve(self, policy: Signed[ConfidentialPolicy]) -> None:
        """Publish it; each host's operator, on their own machine, approves what they were told of."""
        view = self.client.confidential.publish(policy)
        for host in self.hosts:
            open_own_node(host.home).call(DecidePolicy(digest=view.digest, state="approved"))

    def certificate(self, name: str, key: Identity) -> Signed[ParticipantCertificate]:
        """The authority's word that this key is theirs."""
        now = int(time.time())
        certificate = ParticipantCertificate(
            key_of(self.authority), name, key_of(key), now - 60, now + 30 * DAY
        )
        return Signed.make(certificate, self.authority)

    def trust(self, name: str) -> sy.Trust:
        """What a participant pins: given to them by people, not by the Domain."""
        return sy.Trust(
            hosts=self.host_keys(),
            authorities=[self.authority.verify_key],
            evidence=[self.evidence],
            certificate=self.certificate(name, self.people[name]),
            rho=1e9,
            rounds=1000,
            production=False,
        )

    def trust_in_enclaves(self, name: str) -> sy.Trust:
        """The same, of somebody who takes production policies alone: what every real participant should be."""
        minimum = SnpMinimum(product="Milan", boot_loader=3, tee=0, snp=8, microcode=115)
        enclave = SnpReferences(measurements=(bytes(48),), minima=(minimum,))
        evidence = AttestationPolicy(production=True, snp=enclave)
        return dataclasses.replace(self.trust(name), evidence=[evidence], production=True)

    def round_keys(self, process_id: str, sequence: int) -> list[bytes]:
        """What the hosts signed for a round, as it lies in the Domain's database."""
        query = "SELECT signed FROM confidential_key WHERE process_id = ? AND sequence = ? ORDER BY place"
        with contextlib.closing(sqlite3.connect(self.domain.home / "node.db")) as database:
            return [row[0] for row in database.execute(query, (process_id, sequence))]

    def said_by_participants(self) -> str:
        """The last line of each, where one fails."""
        logs = [(self.folder / slug(name) / "out.log") for name in self.people]
        lines = [log.read_text().splitlines()[-1:] for log in logs if log.exists()]
        return "; ".join(line[0] for line in lines if line)

    # -- participants -------------------------------------------------------------------------------

    def send_participants(self, study: Study, version: str) -> None:
        """Each participant, as a process with a folder and data of its own."""
        for index, (name, key) in enumerate(self.people.items()):
            home = self.folder / slug(name)
            data = home / "data.npz"
            part = study.parts[index]
            np.savez(data, x=part.x.numpy(), y=part.y.numpy())
            setting = Setting(
                url=self.domain.url,
                training=study.name,
                version=version,
                key_file=str(home / "key"),
                data=str(data),
                hosts=self.host_keys(),
                authorities=[self.authority.verify_key],
                evidence=encode_policy(self.evidence),
                certificate=self.certificate(name, key).encode(),
                rho=1e9,
                rounds=1000,
                seed=index + 1,
            )
            self._participants.append(_participant(home, setting))

    def dismiss_participants(self) -> Sequence[int]:
        """Wait until each has done its part; their exit statuses."""
        statuses = [process.wait(60) for process in self._participants]
        self._participants.clear()
        return statuses

    def close(self) -> None:
        """Stop everything that runs."""
        for process in self._participants:
            process.kill()
            process.wait()
        for node in (self.domain, *self.hosts):
            node.stop()

    def __enter__(self) -> Consortium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def _participant(home: Path, setting: Setting) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.participant"],
        stdin=subprocess.PIPE,
        stdout=(home / "out.log").open("wb"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "GRID_USER_HOME": str(home / "user"), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(msgspec.msgpack.encode(setting))
    return process
