"""The part of a Worker that takes part in trainings by itself: joins the Domain, looks for trainings, decides.

The node decides (this module); the participant process trains (:mod:`grid.worker.participant`). A Domain that
is down, or comes back, is waited for; a participant that dies is started again.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
from typing import IO

from grid.config import WorkerSettings
from grid.network.associations import AssociationService
from grid.network.requester import RequesterService
from grid.node import Context, Node, Service, handles
from grid.worker.board import TrainingBoard
from grid.worker.protocol import ParticipantCommand, ParticipantEvent, ParticipantSetup, decode_event, encode
from grid.worker.tables import SeenTraining
from syft_ext.errors import GridError, InvalidConfig
from syft_ext.messages.worker import (
    DecideTraining,
    ListOpenTrainings,
    ListSeenTrainings,
    OpenTrainings,
    SeenTrainingList,
    SeenTrainingView,
)
from syft_ext.transport import Connection
from syft_ext.transport.address import NodeAddress

__all__ = ["TrainingService"]

logger = logging.getLogger(__name__)

#: Seconds that the Domain may hold the question for open trainings.
WAIT = 25.0
LONGEST_PAUSE = 15.0
STOP_TIMEOUT = 8.0


class TrainingService(Service):
    """Takes part in the trainings of one Domain that the owner allows."""

    def __init__(self, node: Node, *, settings: WorkerSettings) -> None:
        super().__init__(node)
        self.settings = settings
        if settings.data and not settings.domain:
            raise InvalidConfig("data needs a domain whose trainings may use it", key="domain")
        self.domain = str(NodeAddress.parse(settings.domain)) if settings.domain else ""
        self.board = TrainingBoard(node.db, node.clock)
        self.peer_connections = node.service(AssociationService).peer_connections
        self.refused = ""
        self._domain_key = ""
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._joined: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._joining = threading.Lock()
        self._threads: list[threading.Thread] = []

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self.board.begin()
        if self.domain:
            self._spawn(self._stay_associated)
        if self.settings.data:
            self._spawn(self._take_part)

    def _spawn(self, target) -> None:  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=target, name=target.__name__, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()
        with self._lock:
            process = self._process
        if process is not None:
            _end(process)
        for thread in self._threads:
            thread.join(2)

    checks = "data"

    def check(self) -> None:
        if self.refused:
            raise InvalidConfig(f"the data cannot be used: {self.refused}")

    @property
    def training(self) -> bool:
        """Whether the participant process runs."""
        return self._process is not None and self._process.poll() is None

    # -- joining the Domain -------------------------------------------------------------------------

    def join(self) -> bool:
        """Ask the Domain to associate, unless that was done; whether it could be asked."""
        with self._joining:
            return not self.domain or self._join()

    def _join(self) -> bool:
        associations, requester = self.node.service(AssociationService), self.node.service(RequesterService)
        known = [row for row in associations.registry.list() if row.address == self.domain]
        if any(row.status in ("accepted", "pending", "denied") for row in known):
            return True
        try:
            row = requester.ask(self.domain, note=f"Worker {self.node.name}")
        except GridError as error:
            logger.warning("%s cannot be joined yet: %s", self.domain, error)
            return False
        logger.info("asked %s to associate: %s", self.domain, row.status)
        return True

    def _stay_associated(self) -> None:
        pause = 0.5
        while not self._stopping.wait(pause):
            try:
                if self.join():
                    return
            except Exception:
                logger.exception("joining %s failed", self.domain)
            pause = min(LONGEST_PAUSE, pause * 2)

    # -- looking for trainings ----------------------------------------------------------------------

    def _take_part(self) -> None:
        pause, revision = 0.0, ""
        while not self._stopping.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - no secret
            try:
                with self._lock:
                    running = self._process
                if running is None or running.poll() is not None:
                    revision = ""  # a new participant has joined nothing yet
                    if not self._start_participant():
                        return
                reply = self._ask(revision)
                if self._changed.is_set() or reply.revision != revision:
                    self._changed.clear()
                    self._decide(reply)
                revision, pause = reply.revision, 0.0
            except GridError as error:
                if not pause:  # said once, not at every attempt
                    logger.warning("%s does not say what trainings it has: %s", self.domain, error)
                pause = min(LONGEST_PAUSE, max(0.5, pause * 2))
            except Exception:
                logger.exception("looking for trainings failed")
                pause = LONGEST_PAUSE

    def _known_key(self) -> str:
        """The Domain's key as it was met first: from the association, else from an earlier answer."""
        rows = self.node.service(AssociationService).registry.list()
        keys = [row.verify_key for row in rows if row.address == self.domain]
        return keys[0] if keys else self._domain_key

    def _ask(self, revision: str) -> OpenTrainings:
        connection = Connection(
            self.peer_connections.transport(self.domain), self.node.identity, node_key=self._known_key()
        )
        message = ListOpenTrainings(revision=revision, wait=WAIT if revision else 0.0)
        reply: OpenTrainings = connection.call(message, timeout=WAIT + 10)
        self._domain_key = connection.node_key
        return reply

    def _decide(self, reply: OpenTrainings) -> None:
        settings = self.settings
        rows = self.board.see(
            self._domain_key,
            reply.trainings,
            everything=settings.approve == "all",
            patterns=settings.trainings,
        )
        for row in rows:
            if row.decision == "waiting" and settings.approve == "ask":
                logger.warning(
                    "training %s/%s waits for your approval: grid worker approve %s/%s --home %s",
                    *(row.name, row.version, row.name, row.version, self.node.home),
                )
            self._obey(row)

    def _obey(self, row: SeenTraining) -> None:
        """Join or leave, as was decided."""
        key = (row.name, row.version)
        wanted = row.decision == "approved" and row.state not in ("over", "failed")
        if wanted and key not in self._joined:
            self._joined.add(key)
            self._tell(ParticipantCommand(action="join", name=row.name, version=row.version))
            self.board.update(row.domain_key, *key, state="joined")
            logger.info("takes part in %s/%s", *key)
        elif row.decision == "denied" and key in self._joined:
            self._tell(ParticipantCommand(action="leave", name=row.name, version=row.version))

    # -- the participant ----------------------------------------------------------------------------

    def _start_participant(self) -> bool:
        """Start the participant; False when the data are unusable or the Worker stops."""
        if self.refused or self._stopping.is_set():
            return False
        if not self._domain_key:
            self._ask("")  # the participant is told the Domain's key, as it was met
        settings = self.settings
        setup = ParticipantSetup(
            domain=self.domain,
            domain_key=self._domain_key,
            node_key_file=str(self.node.home / "node.key"),
            ca_file=settings.ca_file,
            token=settings.training_token,
            data=settings.data,
            target=settings.target,
            classes=settings.classes,
            standardise=settings.standardise,
            statistics=settings.statistics,
            shuffle_seed=settings.shuffle_seed,
            plan_seconds=settings.plan_seconds,
            log_format=settings.log_format,
            log_level=settings.log_level,
            plan_memory=settings.plan_memory,
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "grid.worker.participant"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the node, which then ends this one in order
            env={**os.environ, "GRID_USER_HOME": str(self.node.home / "participant")},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(setup))
        process.stdin.flush()
        with self._lock:
            self._process, self._joined = process, set()
        self._spawn_reader(process.stdout)
        return True

    def _spawn_reader(self, out: IO[bytes]) -> None:
        threading.Thread(target=self._listen, args=(out,), name="participant", daemon=True).start()

    def _listen(self, out: IO[bytes]) -> None:
        for line in out:
            try:
                self._heard(decode_event(line))
            except Exception:
                logger.exception("the participant said something strange")

    def _heard(self, event: ParticipantEvent) -> None:
        if event.event == "ready":
            logger.info("%s samples are ready", event.samples)
            return
        if event.event == "refused":
            self.refused = event.text
            logger.error("the data cannot be used: %s", event.text)
            return
        key = (self._domain_key, event.name, event.version)
        values = _CHANGES.get(event.event)
        if values is not None:
            self.board.update(*key, **values)
        if event.event == "cycle":
            self.board.update(*key, last_cycle=event.cycle, state="joined")
        elif event.event == "reported":
            self.board.update(
                *key, reports=SeenTraining.reports + 1, last_cycle=event.cycle, last_loss=event.loss
            )
            logger.info("reported cycle %s of %s/%s", event.cycle, event.name, event.version)
        elif event.event == "failed":
            self.board.update(*key, state="failed", last_error=event.text)
        if event.event in ("over", "left", "failed"):
            self._joined.discard((event.name, event.version))

    def _tell(self, command: ParticipantCommand) -> None:
        with self._lock:
            process = self._process
            if process is None or process.stdin is None:
                return
            try:
                process.stdin.write(encode(command))
                process.stdin.flush()
            except (OSError, ValueError):
                logger.warning("the participant has died; it is started again")

    # -- the owner ----------------------------------------------------------------------------------

    @handles(ListSeenTrainings)
    def list(self, ctx: Context, message: ListSeenTrainings) -> SeenTrainingList:
        return SeenTrainingList(trainings=[_view(row) for row in self.board.rows()])

    @handles(DecideTraining)
    def decide(self, ctx: Context, message: DecideTraining) -> SeenTrainingView:
        row = self.board.decide(message.name, message.version, message.decision)
        if row.domain_key == self._domain_key and self.training:
            self._obey(row)
        self._changed.set()
        return _view(row)


_CHANGES: dict[str, dict[str, str]] = {"over": {"state": "over"}, "left": {"state": "idle"}}


def _view(row: SeenTraining) -> SeenTrainingView:
    return SeenTrainingView(
        name=row.name,
        version=row.version,
        decision=row.decision,  # type: ignore[arg-type]
        state=row.state,  # type: ignore[arg-type]
        reports=row.reports,
        last_cycle=row.last_cycle,
        last_loss=row.last_loss,
        last_error=row.last_error,
        seen_at=row.seen_at,
        updated_at=row.updated_at,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the participant's input, which tells it to end; kill it when it does not."""
    try:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(STOP_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()
