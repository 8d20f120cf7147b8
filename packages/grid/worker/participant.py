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
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from grid.config.logs import set_up_logging
from grid.worker.protocol import (
    ParticipantCommand,
    ParticipantEvent,
    ParticipantSetup,
    decode_command,
    decode_setup,
    encode,
)
from syft_ext.importing import importing

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from syft_ext.federated import FLClient, FLJob, RunSummary

__all__ = ["main"]

# Not __name__: this module runs as __main__.
logger = logging.getLogger("grid.worker.participant")
#: Seconds that a training step may go on after the Worker was told to stop.
GRACE = 5.0


class Participant:
    """The trainings that this process has joined, each in a thread of its own."""

    def __init__(self, setup: ParticipantSetup, out: BinaryIO) -> None:
        with importing():
            from grid.worker.sandboxed import SandboxedPlans

        self.setup = setup
        self._out = out
        self._lock = threading.Lock()
        self._meeting = threading.Lock()
        self._jobs: dict[tuple[str, str], FLJob] = {}
        self.withdrawn: set[tuple[str, str]] = set()  # trainings that the owner said no to
        self.plans = SandboxedPlans(seconds=setup.plan_seconds, memory=setup.plan_memory)
        self.plans.warm_up()  # it starts while this process reads the data
        self.data = self._load()
        self.client = self._connect()

    def tell(self, event: ParticipantEvent) -> None:
        """Write one line to the node. A node that is gone needs no news: this process ends with it."""
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._out.write(encode(event))
            self._out.flush()

    def _load(self) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        from grid.worker.data import load_data, standardise

        setup = self.setup
        data = load_data(Path(setup.data), setup.target, setup.classes)
        statistics = Path(setup.statistics) if setup.statistics else None
        data = standardise(data, setup.standardise, statistics)
        return torch.from_numpy(data.x), torch.from_numpy(data.y)

    def _connect(self) -> FLClient:
        from syft_ext.federated import FLClient
        from syft_ext.identity import Identity

        setup = self.setup
        # The node's own key: after a restart the Domain knows this Worker again.
        self.identity = Identity.load_or_create(Path(setup.node_key_file))
        return FLClient(
            setup.domain,
            setup.token,
            identity=self.identity,
            ca_file=setup.ca_file or None,
            load_plan=self.plans.load,
        )

    def _meet_domain(self, stopped: threading.Event) -> None:
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
            if metadata.verify_key != self.setup.domain_key:
                forget_node(address)
                raise BadSignature(f"{address} has another key than the Domain that this Worker knows")

    # -- commands -----------------------------------------------------------------------------------

    def obey(self, command: ParticipantCommand) -> None:
        """Join or leave a training, as its owner decided; told twice, nothing more happens."""
        key = (command.name, command.version)
        if command.action == "leave":
            self.withdrawn.add(key)  # before the job can hear of it: what it is learning now stays here
            job = self._jobs.get(key)
            if job is not None:
                job.stop()
        elif command.action == "join" and key not in self._jobs:
            self.withdrawn.discard(key)
            job = self._jobs[key] = self.client.new_job(*key)
            threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _run(self, job: FLJob) -> None:
        name, version = key = job.model_name, job.model_version
        job.add_listener(job.EVENT_CYCLE_STARTED, self._cycle_started)
        job.add_listener(job.EVENT_ERROR, self._failed_once)
        job.add_listener(job.EVENT_FINISHED, self._finished)
        try:
            self._meet_domain(job.stopped)
            job.run(_reporting(self))
        except Exception as error:
            logger.warning("%s %s: %s", name, version, error)
            self.tell(ParticipantEvent(event="failed", name=name, version=version, text=str(error)[:2000]))
        finally:
            self._jobs.pop(key, None)

    def _cycle_started(self, job: FLJob, cycle: int) -> None:
        self.tell(
            ParticipantEvent(event="cycle", name=job.model_name, version=job.model_version, cycle=cycle)
        )

    def _failed_once(self, job: FLJob, error: Exception) -> None:
        logger.warning("%s %s, cycle %s: %s", job.model_name, job.model_version, job.cycle, error)

    def _finished(self, job: FLJob, summary: RunSummary) -> None:
        event = "over" if summary.reason == "over" else "left"
        self.tell(
            ParticipantEvent(event=event, name=job.model_name, version=job.model_version, text=summary.reason)
        )

    def close(self) -> None:
        """Give open assignments back and end the sandbox."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.stop()
        self.plans.close()


def _reporting(participant: Participant) -> Callable[[FLJob], None]:
    """The default local training over the owner's data; tells the node of every report."""
    from syft_ext.federated.batches import PlanTrainer
    from syft_ext.federated.retry import Stopped

    seed = participant.setup.shuffle_seed
    trainer = PlanTrainer(*participant.data, seed=None if seed < 0 else seed)

    def train(job: FLJob) -> None:
        params = trainer(job)
        if (job.model_name, job.model_version) in participant.withdrawn:
            raise Stopped  # the assignment is given back
        job.report(params)
        account = job.account
        participant.tell(
            ParticipantEvent(
                event="reported",
                name=job.model_name,
                version=job.model_version,
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
    try:
        participant = Participant(setup, out)
    except Exception as error:
        logger.exception("the participant cannot begin")
        out.write(encode(ParticipantEvent(event="refused", text=str(error)[:2000])))
        out.flush()
        sys.exit(3)
    participant.tell(ParticipantEvent(event="ready", samples=len(participant.data[0])))
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
