"""The process that takes part in trainings: holds the owner's data, trains, reports. Child of the Worker's node.

It is a process of its own because the node must stay small and responsive: torch, the data and the training
live here, and a crash here takes nobody along. The plan itself runs one process further, in the sandbox.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from grid.config.logs import set_up_logging
from grid.worker.protocol import (
    ParticipantCommand,
    ParticipantEvent,
    ParticipantSetup,
    TrainingLook,
    decode_command,
    decode_setup,
    encode,
)
from syft_ext.errors import GridError, NotAgreed, NotFound
from syft_ext.identity import Identity
from syft_ext.importing import importing
from syft_ext.plans.graph.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from grid.worker.sandboxed import SandboxedPlans
    from syft_ext.confidential.trust import Trust
    from syft_ext.federated import FLClient, FLJob, RunSummary
    from syft_ext.federated.inputs import Rows

__all__ = ["main"]

# Not __name__: this module runs as __main__.
logger = logging.getLogger("grid.worker.participant")
#: Seconds that a training step may go on after the Worker was told to stop.
GRACE = 5.0


class Participant:
    """The trainings that this process has joined, each in a thread of its own."""

    def __init__(self, setup: ParticipantSetup, out: BinaryIO) -> None:
        with importing():
            from grid.worker.data import owner_data

        self.setup = setup
        self._out = out
        self._lock = threading.Lock()
        self._meeting = threading.Lock()
        self._jobs: dict[str, FLJob] = {}  # by the digest of the definition that was approved
        self.withdrawn: set[str] = set()  # those that the owner said no to
        self._plans: dict[str, SandboxedPlans] = {}  # of each job
        self._spare: SandboxedPlans | None = self._new_plans()
        self._spare.warm_up()  # it starts while this process reads the data
        self.data = owner_data(setup)
        # The node's own key: after a restart the Domain knows this Worker again.
        self.identity = Identity.load_or_create(Path(setup.node_key_file))
        self.trust = self._pins()
        self.client = self._connect()

    def _pins(self) -> Trust | None:
        """What the owner pins for confidential trainings; None: nothing, and then it takes part in none."""
        if not self.setup.pins:
            return None
        with importing():
            from grid.worker.pins import own_pins

        return own_pins(Path(self.setup.pins), self.identity)

    def _new_plans(self) -> SandboxedPlans:
        """A sandbox for one training: what a plan may have done to it reaches the data of no other."""
        with importing():
            from grid.worker.sandboxed import SandboxedPlans

        setup = self.setup
        return SandboxedPlans(
            seconds=setup.plan_seconds,
            executor=setup.plan_executor,
            memory=setup.plan_memory,
            permissive=setup.permissive,
            limits=Limits(**setup.plan_limits),
        )

    def _unused_plans(self) -> SandboxedPlans:
        """The spare sandbox, which no plan has been in, once; then a new one each time."""
        plans, self._spare = self._spare, None
        return plans or self._new_plans()

    def tell(self, event: ParticipantEvent) -> None:
        """Write one line to the node. A node that is gone needs no news: this process ends with it."""
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._out.write(encode(event))
            self._out.flush()

    def look_at_data(self) -> None:
        """Say at once what is wrong with the data; of those that cannot be used, again whenever they
        have changed."""
        while True:
            stamp = self.data.stamp()
            try:
                survey = self.data.survey()
            except Exception as error:
                if not isinstance(error, GridError):  # of those, the node says in a line what is wrong
                    logger.exception("the data cannot be read")
                self.tell(ParticipantEvent(event="unusable", text=str(error)[:2000]))
            else:
                self.tell(ParticipantEvent(event="ready", samples=survey.rows, notes=survey.notes))
                return
            self.data.changed(stamp, time.sleep)

    def _connect(self) -> FLClient:
        from syft_ext.federated import FLClient

        setup = self.setup
        return FLClient(
            setup.domain,
            setup.token,
            identity=self.identity,
            ca_file=setup.ca_file or None,
            bounds=setup.bounds,
            say=logger.info,
            trust=self.trust,
        )

    def _meet_domain(self, domain_key: str, stopped: threading.Event) -> None:
        """Hold every connection of this process to the key that the node knows the Domain by."""
        from syft_ext.errors import BadSignature, DeadlineExceeded, Unavailable
        from syft_ext.profile.known_nodes import forget_node, meet
        from syft_ext.transport import Connection, open_transport
        from syft_ext.transport.address import NodeAddress
        from syft_ext.transport.backoff import Backoff

        address = str(NodeAddress.parse(self.setup.domain))
        transport = open_transport(address, ca_file=self.setup.ca_file or None)
        backoff = Backoff(stop=stopped)
        with self._meeting:
            forget_node(address)
            while True:
                try:
                    metadata = meet(Connection(transport, self.identity), address)
                    break
                except (Unavailable, DeadlineExceeded):
                    if not backoff.wait():
                        raise
            if metadata.verify_key != domain_key:
                forget_node(address)
                raise BadSignature(f"{address} has another key than the Domain that this Worker knows")

    # -- commands -----------------------------------------------------------------------------------

    def obey(self, command: ParticipantCommand) -> None:
        """Join or leave a training, as its owner decided, or look at one; told twice, nothing more happens."""
        digest = command.digest
        if command.action == "leave":
            self.withdrawn.add(digest)  # before the job can hear of it: what it is learning now stays here
            job = self._jobs.get(digest)
            if job is not None:
                job.stop()
        elif command.action == "join" and digest not in self._jobs:
            self.withdrawn.discard(digest)
            self.client.forget(command.name, command.version)
            plans = self._plans[digest] = self._unused_plans()
            job = self._jobs[digest] = self.client.new_job(
                command.name, command.version, digest=digest, load_plan=plans.load
            )
            threading.Thread(target=self._run, args=(job, plans, command.domain_key), daemon=True).start()
        elif command.action == "look":
            threading.Thread(target=self._look, args=(command,), daemon=True).start()

    def _run(self, job: FLJob, plans: SandboxedPlans, domain_key: str) -> None:
        digest = job.consent.digest
        ends: list[ParticipantEvent] = []
        job.add_listener(job.EVENT_CYCLE_STARTED, self._cycle_started)
        job.add_listener(job.EVENT_ERROR, self._failed_once)
        job.add_listener(job.EVENT_FINISHED, lambda job, summary: ends.append(self._ended(job, summary)))
        try:
            self._meet_domain(domain_key, job.stopped)
            self._agree(job)
            job.run(self._trainer(job))
        except Exception as error:
            logger.warning("%s %s: %s", job.model_name, job.model_version, error)
            ends.append(self.event("failed", job, text=str(error)[:2000]))
        finally:
            self._jobs.pop(digest, None)
            self._plans.pop(digest, None)
            plans.close()
            for event in ends:  # now: whoever hears it may have it joined again at once
                self.tell(event)

    def _trainer(self, job: FLJob) -> Callable[[FLJob], None] | None:
        """What trains over the owner's data, once they are what the training takes: until then it waits for
        them to be mended, and asks for no part.

        None: it was stopped, or the training is over and shows nobody what it takes.
        """
        from syft_ext.federated.retry import Persistence, Stopped

        try:
            Persistence(job.session, job.stopped).call(job.authenticate)
        except (Stopped, NotAgreed):  # which the run meets as well, and ends by
            return None
        aside = False
        while job.consent.facts is not None:
            stamp = self.data.stamp()
            try:
                rows = self.data.rows(job.consent.facts.inputs)
            except GridError as error:
                aside = True
                self.tell(self.event("unfit", job, text=str(error)[:2000]))
                job.stand_aside(error)
            else:
                if not _hides(job):  # else the Domain would see who stays away because of it
                    self.client.reports.check_rows(len(rows))  # with too few it is no use to train
                for note in rows.notes:
                    logger.warning("%s %s: %s", job.model_name, job.model_version, note)
                if aside:
                    self.tell(self.event("fits", job))
                    job.stand_aside(None)
                return _reporting(self, rows)
            if not self.data.changed(stamp, job.stopped.wait):
                return None
        return None

    def _agree(self, job: FLJob) -> None:
        """Read what was approved, and keep its text: the next version is compared with it."""
        from syft_ext.federated.offer import read_offer
        from syft_ext.federated.retry import Persistence, Stopped

        digest = job.consent.digest
        try:
            offer = Persistence(job.session, job.stopped).call(
                lambda: read_offer(job.session, job.model_name, job.model_version, digest)
            )
        except (Stopped, NotFound):
            return  # the run ends by itself then: it was stopped, or is over and shown to nobody any more
        self.tell(self.event("agreed", job, shown=offer.texts()))

    def _look(self, command: ParticipantCommand) -> None:
        event = ParticipantEvent(
            event="looked", name=command.name, version=command.version, digest=command.digest
        )
        event.ticket = command.ticket
        try:
            self._meet_domain(command.domain_key, threading.Event())
            event.look = self._looked(command)
        except Exception as error:
            logger.warning("%s %s cannot be read: %s", command.name, command.version, error)
            event.text = str(error)[:2000]
        self.tell(event)

    def _looked(self, command: ParticipantCommand) -> TrainingLook:
        from grid.worker.looking import look

        with self._connect() as client, contextlib.closing(self._new_plans()) as plans:
            session = client.session(command.name, command.version)
            return look(session, command, plans.load, self.data, self.setup.bounds)

    def event(self, event: str, job: FLJob, **facts: Any) -> ParticipantEvent:
        """What to tell the node of a job."""
        return ParticipantEvent(
            event=event, name=job.model_name, version=job.model_version, digest=job.consent.digest, **facts
        )

    def _cycle_started(self, job: FLJob, cycle: int) -> None:
        self.tell(self.event("cycle", job, cycle=cycle))

    def _failed_once(self, job: FLJob, error: Exception) -> None:
        logger.warning("%s %s, cycle %s: %s", job.model_name, job.model_version, job.cycle, error)

    def _ended(self, job: FLJob, summary: RunSummary) -> ParticipantEvent:
        event = {"over": "over", "max-reports": "spent"}.get(summary.reason, "left")
        return self.event(event, job, text=summary.reason)

    def close(self) -> None:
        """Give open assignments back and end the sandboxes."""
        for job in list(self._jobs.values()):
            job.stop()
        for plans in [*self._plans.values(), *([self._spare] if self._spare else [])]:
            plans.close()


def _hides(job: FLJob) -> bool:
    """Whether what the job does may say nothing of how many rows there are: in confidential trainings, and under
    the owner's own noise."""
    facts = job.consent.facts
    confidential = facts is not None and facts.server_config.get("confidential") is not None
    return confidential or job.client.reports.bounds.noise_multiplier is not None


def _reporting(participant: Participant, rows: Rows) -> Callable[[FLJob], None]:
    """The default local training over the owner's data; tells the node of every report."""
    from grid.worker.data import tensors
    from syft_ext.federated.batches import PlanTrainer
    from syft_ext.federated.privacy_book import PrivacyBook
    from syft_ext.federated.retry import Stopped

    seed = participant.setup.shuffle_seed
    site = participant.client.site
    # By the path that all ways to the data lead to: a link of another name is no other data.
    book = PrivacyBook(
        os.path.realpath(participant.setup.data), budget=participant.setup.privacy_budget or None
    )
    trainer = PlanTrainer(*tensors(rows), seed=None if seed < 0 else seed, site=site, book=book)

    def train(job: FLJob) -> None:
        params = trainer(job)
        if job.consent.digest in participant.withdrawn:
            raise Stopped  # the assignment is given back
        job.report(params)
        account = job.account
        participant.tell(
            participant.event(
                "reported",
                job,
                cycle=job.cycle,
                samples=account.samples,
                loss=account.loss,
                accuracy=account.accuracy,
            )
        )

    return train


def main() -> None:
    """Read the set-up and then commands from standard input; end when it ends."""
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not look like a line of ours
    setup = decode_setup(source.readline())
    set_up_logging(setup.log_format, setup.log_level)
    from syft_ext.confinement.folders import claim_folders
    from syft_ext.profile.home import user_home

    claim_folders(user_home())
    try:
        participant = Participant(setup, out)
    except Exception as error:
        if not isinstance(error, GridError):  # of those, the node says in a line what is wrong
            logger.exception("the participant cannot begin")
        out.write(encode(ParticipantEvent(event="refused", text=str(error)[:2000])))
        out.flush()
        sys.exit(3)
    threading.Thread(target=participant.look_at_data, daemon=True).start()
    for line in source:
        participant.obey(decode_command(line))
    # The node is gone or wants us gone. A step in progress is not waited for long.
    timer = threading.Timer(GRACE, os._exit, (0,))
    timer.daemon = True
    timer.start()
    participant.close()
    os._exit(0)


if __name__ == "__main__":
    main()
