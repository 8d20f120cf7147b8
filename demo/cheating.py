"""What whoever runs the Domain tries, with its key, disk and messages; and who refuses it, in their words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3
from rich.console import Console

import syft_ext as sy
from demo.consortium import PEOPLE, Consortium
from demo.data import Study
from grid.confidential.hosts import KeyHosts
from grid.confidential.launching import ChildWorkers
from grid.confidential.serving import WorkerServing
from grid.confidential.simulator import Simulator
from grid.storage.blobs.registry import file_url, open_store
from syft_ext.clock import SystemClock
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import RoundJob
from syft_ext.confidential.kernel.reports import report_layout
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.odometer import Odometer
from syft_ext.confidential.offer import Expected, Offer, verify_offer
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import OpenRounds
from syft_ext.confidential.sealing import Sealing, open_content_key, read_head
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.errors import GridError, SealBroken, Unavailable
from syft_ext.messages.confidential import ConfidentialReceipt, DeclareUpload, GetOffer
from syft_ext.messages.federated import Report
from syft_ext.messages.key_host import CheckManifest, OpenHostRounds
from syft_ext.tensors import read_layout
from syft_ext.transport import open_transport

__all__ = ["Attempts"]


@dataclass
class Attempts:
    """Attributes: ``refused``: the names of the attempts that came to nothing."""

    console: Console
    scene: Consortium
    refused: list[str]

    @contextmanager
    def trying(self, name: str, what: str) -> Iterator[None]:
        """An attempt: whoever refuses it raises. One that is not refused ends the demonstration."""
        logging.disable(logging.WARNING)  # what is refused is said below, in one way
        try:
            yield
        except (GridError, SealBroken) as error:
            detail = getattr(error, "detail", str(error))
            self.console.print(f"  [bold]{name}[/bold]: {what}", highlight=False)
            self.console.print(
                f"    [green]refused[/green] ({error.code}): {detail}", highlight=False, markup=True
            )
            self.refused.append(name)
        else:
            raise SystemExit(f"{name}: nobody refused that {what}")
        finally:
            logging.disable(logging.NOTSET)

    @property
    def hosts(self) -> KeyHosts:
        return KeyHosts(self.scene.domain_key, SystemClock(), open_transport)

    # -- with a round that is over ------------------------------------------------------------------

    def after_a_round(self, signed: Signed[ConfidentialPolicy], receipt: ConfidentialReceipt) -> None:
        """Do a round again, in every way that would give something away."""
        policy = ConfidentialPolicy.decode(signed.body)
        manifest = Manifest.decode(Signed.decode(receipt.manifest).body)
        host = policy.hosts[0]
        fewer = msgspec.structs.replace(manifest, entries=manifest.entries[:-1])
        twice = msgspec.structs.replace(manifest, entries=(*manifest.entries[:-1], manifest.entries[0]))
        with self.trying(
            "smaller-cohort", "the round without one participant, whose update is the difference"
        ):
            self._check(policy, fewer)
        with self.trying("replays", "a participant's upload counted twice"):
            self._check(policy, twice)
        quiet = self.scene.policy(bytes(32), 1, scope="quiet", noise=0.0)
        with self.trying("drops-the-noise", "the same round under a policy without noise"):
            context = msgspec.structs.replace(manifest.context, policy=quiet.digest_as(ConfidentialPolicy))
            request = OpenRounds(host=host.key, contexts=(context,), at=int(time.time()))
            message = OpenHostRounds(request=Signed.make(request, self.scene.domain_key).encode())
            self.hosts.call(host, message)

    def _check(self, policy: ConfidentialPolicy, manifest: Manifest) -> None:
        message = CheckManifest(manifest=Signed.make(manifest, self.scene.domain_key).encode())
        for host in policy.hosts:
            reply = self.hosts.call(host, message)
            if reply.entries:
                raise Unavailable(f"{host.name}: {reply.entries[0].reason}")

    def run_again(
        self, signed: Signed[ConfidentialPolicy], receipt: ConfidentialReceipt, job: RoundJob
    ) -> None:
        """An old database: in it the round has no output yet, so a worker is started for it once more."""
        policy = ConfidentialPolicy.decode(signed.body)
        store = open_store(file_url(self.scene.domain.home / "blobs"), make=False)
        simulator = Simulator(self.scene.domain_key, SystemClock())
        with (
            self.trying("restores-an-old-database", "a second output of the round, with other noise"),
            store.create() as writer,
            ChildWorkers("apps.confidential_worker").running(60.0) as pipe,
        ):
            serving = WorkerServing(
                store,
                self.hosts,
                policy,
                lengths={},
                manifest=receipt.manifest,
                output=writer,
                longest=1 << 30,
                quote=simulator.quote,
            )
            pipe.send(job)
            serving.serve(pipe)

    # -- with a round that collects -----------------------------------------------------------------

    def during_a_round(
        self, study: Study, version: str, signed: Signed[ConfidentialPolicy], plan: bytes, model: bytes
    ) -> None:
        """Read what comes, and offer something else than what was agreed on."""
        name = PEOPLE[0]
        client = sy.FLClient(self.scene.domain.url, identity=self.scene.people[name])
        session = client.new_job(study.name, version).session
        session.authenticate()
        part = session.check_in("the demonstration", wait=30.0)
        key = {"assignment_id": part.assignment_id, "request_key": part.request_key}
        said = self._offer(lambda: session.call(GetOffer(**key)))
        offer, policy = Offer.decode(said), ConfidentialPolicy.decode(signed.body)
        expected = Expected(
            domain=key_of(self.scene.domain_key),
            process=offer.context.process,
            assignment=part.assignment_id,
            policy=policy.digest(),
            base=offer.base,
            plans=(blake3(plan).digest(),),
            layout=report_layout(read_layout(model)),
            participant=key_of(self.scene.people[name]),
        )
        now, trust = int(time.time()), self.scene.trust(name)

        def verify(offer: Offer, trust: sy.Trust = trust) -> Any:
            return verify_offer(offer.encode(), expected, trust, Odometer(), now)

        place = verify(offer).place  # what is offered honestly holds
        quiet = self.scene.policy(plan, 1, scope="quiet", noise=0.0)
        with self.trying(
            "swaps-the-policy", "participants are offered a policy without noise for this round"
        ):
            verify(msgspec.structs.replace(offer, policy=quiet))
        own = Signed.make(
            msgspec.structs.replace(policy, owner=key_of(self.scene.domain_key)), self.scene.domain_key
        )
        with self.trying(
            "signs-its-own-policy", "participants are offered terms that the Domain signed itself"
        ):
            verify(msgspec.structs.replace(offer, policy=own))
        with self.trying(
            "passes-for-an-enclave", "a participant who demands an enclave is offered this machine"
        ):
            verify(offer, self.scene.trust_in_enclaves(name))

        content = np.full(expected.layout.size, 0.0421, np.float32).tobytes()
        sealing = Sealing(place, [content], len(content), self.scene.people[name])
        blob = b"".join(sealing.pieces())
        with self.trying("asks-for-plaintext", "the participant is to send its update in the clear"):
            session.call(Report(**key, kind="diff"), [content])
        session.call(DeclareUpload(**key, declaration=sealing.declaration().encode()))
        session.call(Report(**key, kind="sealed"), [blob])
        self._read_the_disk(blob, content, sealing, place)
        client.close()

    def _read_the_disk(self, blob: bytes, content: bytes, sealing: Sealing, place: Any) -> None:
        """The update lies on the Domain's disk now. So does everything that the Domain knows."""
        files = [path for path in self.scene.domain.home.rglob("*") if path.is_file()]
        if not any(blob == path.read_bytes() for path in files):
            raise SystemExit("the sealed update should lie on the Domain's disk")
        if any(content[:64] in path.read_bytes() for path in files):
            raise SystemExit("the update lies on the Domain's disk in the clear")
        _, shares, _ = read_head(blob)
        upload = sealing.declaration().entry.upload
        secrets = [self.scene.domain_key.derive_secret(f"of {key.host.hex()}") for key in place.keys]
        what = (
            f"the sealed update on its disk is opened, with what the Domain has ({len(files)} files, its key)"
        )
        with self.trying("reads-the-disk", what):
            open_content_key(
                UploadStatement.decode(upload.body), shares, place.policy, place.context, place.keys, secrets
            )

    def _offer(self, ask: Callable[[], Any]) -> bytes:
        deadline = time.monotonic() + 60
        while True:
            try:
                said: bytes = ask().offer
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return said
