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
from dataclasses import asdict
from pathlib import Path
from typing import IO

from grid.config import WorkerSettings, plan_limits
from grid.network.associations import AssociationService
from grid.network.requester import RequesterService
from grid.network.tables import Association
from grid.node import Context, Node, Service, handles
from grid.spending.keeping import WaitingWatch
from grid.worker.board import TrainingBoard
from grid.worker.bounds import bounds_of
from grid.worker.pins import PARTICIPANT, own_pins, place_of
from grid.worker.protocol import ParticipantCommand, ParticipantEvent, ParticipantSetup, decode_event, encode
from grid.worker.reviews import Reviews, ended, offer_view, seen_view
from grid.worker.tables import SeenTraining
from syft_ext.errors import BadRequest, BadSignature, Conflict, GridError, InvalidConfig
from syft_ext.messages.vocabulary import TableOptions
from syft_ext.messages.worker import (
    DecideTraining,
    ListOpenTrainings,
    ListSeenTrainings,
    OfferView,
    OpenTrainings,
    ReviewOffer,
    SeenTrainingList,
    SeenTrainingView,
)
from syft_ext.transport import Connection
from syft_ext.transport.address import NodeAddress

__all__ = ["TrainingService"]

logger = logging.getLogger(__name__)

_CHANCE = random.SystemRandom()

#: Seconds that the Domain may hold the question for open trainings.
WAIT = 25.0
LONGEST_PAUSE = 15.0
STOP_TIMEOUT = 8.0
#: Seconds between two looks at what this Worker is to its Domain.
STANDING_INTERVAL = 1.0
_STANDINGS = {
    "": "%s has not been asked yet whether this Worker may join it",
    "pending": "%s has not accepted this Worker yet: its owner decides with `grid domain accept`",
    "denied": "%s has denied this Worker: it takes part in nothing",
    "revoked": "%s has ended the association: this Worker takes part in nothing until it joins again",
}


class TrainingService(Service):
    """Takes part in the trainings of one Domain that the owner allows.

    Attributes:
        apart: why it takes part in nothing now, for its owner; "" where it does.
    """

    def __init__(self, node: Node, *, settings: WorkerSettings) -> None:
        super().__init__(node)
        self.settings = settings
        if settings.data and not settings.domain:
            raise InvalidConfig("data needs a domain whose trainings may use it", key="domain")
        self.domain = str(NodeAddress.parse(settings.domain)) if settings.domain else ""
        self.bounds = bounds_of(settings)
        self._pins = place_of(settings.pins, node.home)
        if self._pins is not None:
            own_pins(self._pins, node.identity)  # said now, rather than when a training is missed
        self.board = TrainingBoard(node.db, node.clock)
        self.peer_connections = node.service(AssociationService).peer_connections
        self.refused = ""
        self.apart = ""
        self._hopeless = False
        self._domain_key = ""
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._joined: dict[str, SeenTraining] = {}  # by digest
        self._announced: set[str] = set()
        self._reviews = Reviews(self._tell)
        self._restored = WaitingWatch(node.db)
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
            self._spawn(self._leave_with_association)

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

    def warning(self) -> str:
        return self.apart

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

    def standing(self) -> str:
        """What this Worker is to its Domain: accepted, pending, denied, revoked; "" before it could ask."""
        rows = self.node.service(AssociationService).registry.list(Association.direction == "outgoing")
        found = [row.status for row in rows if row.address == self.domain]
        return "accepted" if "accepted" in found else (found[0] if found else "")

    def _leave_with_association(self) -> None:
        """Take part no more once the Domain, or the owner here, has ended the association."""
        while not self._stopping.wait(STANDING_INTERVAL):
            try:
                if self._joined and self.standing() != "accepted":
                    logger.warning(
                        "%s does not accept this Worker any more: it takes part in nothing", self.domain
                    )
                    for row in list(self._joined.values()):
                        self._leave(row)
                    self._changed.set()
            except Exception:
                logger.exception("the association could not be looked at")

    # -- looking for trainings ----------------------------------------------------------------------

    def _take_part(self) -> None:
        pause, revision = 0.0, ""
        stood: str | None = None
        while not self._stopping.wait(pause * _CHANCE.uniform(0.5, 1.0)):
            try:
                with self._lock:
                    running = self._process
                if running is None or running.poll() is not None:
                    revision = ""  # a new participant has joined nothing yet
                    if not self._start_participant():
                        return
                standing = self.standing()
                if standing != "accepted":
                    self._say_apart(_STANDINGS.get(standing, _STANDINGS[""]) % self.domain)
                    pause, revision, stood = STANDING_INTERVAL, "", standing
                    continue
                if stood is not None:
                    self.board.begin()  # what failed because the association had ended is tried again
                stood = None
                reply = self._ask(revision)
                self.apart = ""
                if self._changed.is_set() or reply.revision != revision:
                    self._changed.clear()
                    self._decide(reply)
                revision, pause = reply.revision, 0.0
            except GridError as error:
                self._say_apart(f"{self.domain} does not say what trainings it has: {error}")
                pause = min(LONGEST_PAUSE, max(0.5, pause * 2))
            except Exception:
                logger.exception("looking for trainings failed")
                pause = LONGEST_PAUSE

    def _say_apart(self, why: str) -> None:
        """Once, and again when it is another reason: a Domain that went comes back as another one, say."""
        if why != self.apart:
            logger.warning("%s", why)
        self.apart = why

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
        try:
            reply: OpenTrainings = connection.call(message, timeout=WAIT + 10)
        except BadSignature as error:
            raise BadSignature(
                f"{error.detail}: it is not the Domain that this Worker joined, and is told nothing. If "
                "the Domain's owner says that it was installed anew, `grid worker leave` forgets the old one, and "
                "the next start asks the new one"
            ) from error
        self._domain_key = connection.node_key
        return reply

    def _decide(self, reply: OpenTrainings) -> None:
        self._restored.check()  # a "no" of the owner's may be missing: nothing is joined on an older one's word
        settings = self.settings
        rows = self.board.see(
            self._domain_key,
            reply.trainings,
            trust=settings.trust,
            patterns=settings.trainings,
        )
        for row in rows:
            if row.decision == "waiting" and row.digest not in self._announced:
                self._announced.add(row.digest)
                logger.warning(
                    "training %s/%s (%s) waits for your word: grid worker review %s/%s --home %s",
                    *(row.name, row.version, row.digest[:12], row.name, row.version, self.node.home),
                )
            self._obey(row)
        self._announced.intersection_update(row.digest for row in rows)

    def _obey(self, row: SeenTraining) -> None:
        """Join or leave, as was decided."""
        wanted = row.decision == "approved" and row.state not in ("over", "failed", "spent")
        if wanted and row.digest not in self._joined:
            self._joined[row.digest] = row
            self.board.update(row.domain_key, row.digest, state="joined")
            self._tell(_command("join", row))
            logger.info(
                "takes part in %s/%s (%s): %s", row.name, row.version, row.digest[:12], row.decided_by
            )
        elif row.decision != "approved" and row.digest in self._joined:
            self._leave(row)

    def _leave(self, row: SeenTraining) -> None:
        self._tell(_command("leave", row))

    # -- the participant ----------------------------------------------------------------------------

    def _start_participant(self) -> bool:
        """Start the participant, which looks at the data at once; False when it cannot begin or the
        Worker stops."""
        if self._hopeless or self._stopping.is_set():
            return False
        settings = self.settings
        setup = ParticipantSetup(
            domain=self.domain,
            node_key_file=str(self.node.home / "node.key"),
            ca_file=settings.ca_file,
            token=settings.training_token,
            data=settings.data,
            target=settings.target,
            classes=settings.classes,
            columns=settings.columns,
            schema=settings.schema,
            text=TableOptions(
                encoding=settings.encoding,
                delimiter=settings.delimiter,
                decimal=settings.decimal,
                thousands=settings.thousands,
                missing=settings.missing,
            ),
            standardise=settings.standardise,
            statistics=settings.statistics,
            shuffle_seed=settings.shuffle_seed,
            privacy_budget=settings.privacy_budget,
            plan_seconds=settings.plan_seconds,
            plan_executor=settings.plan_executor,
            log_format=settings.log_format,
            log_level=settings.log_level,
            plan_memory=settings.plan_memory,
            plan_limits=asdict(plan_limits(settings)),
            bounds=self.bounds,
            permissive=self.node.gate.permissive,
            pins=str(self._pins or ""),
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "grid.worker.participant"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the node, which then ends this one in order
            env=_environment(settings, self.node.home / PARTICIPANT),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(setup))
        process.stdin.flush()
        with self._lock:
            self._process, self._joined = process, {}
        self._spawn_reader(process.stdout)
        return True

    def _spawn_reader(self, out: IO[bytes]) -> None:
        threading.Thread(target=self._listen, args=(out,), name="participant", daemon=True).start()

    def _listen(self, out: IO[bytes]) -> None:
        with out:
            for line in out:
                try:
                    self._heard(decode_event(line))
                except Exception:
                    logger.exception("the participant said something strange")
        self._reviews.give_up("the process that reads it has ended")

    def _heard(self, event: ParticipantEvent) -> None:
        if event.event == "ready":
            self.refused = ""
            for note in event.notes:
                logger.warning("%s", note)
            logger.info("%s samples are ready", event.samples)
            return
        if event.event in ("refused", "unusable"):
            self.refused, self._hopeless = event.text, event.event == "refused"
            logger.error("the data cannot be used: %s", event.text)
            return
        if event.event == "looked":
            self._reviews.arrived(event)
            return
        key = (self._domain_key, event.digest)
        values = _CHANGES.get(event.event)
        if values is not None:
            self.board.update(*key, **values)
        if event.event == "agreed":
            self.board.update(*key, shown=event.shown)
        elif event.event == "cycle":
            self.board.update(*key, last_cycle=event.cycle, state="joined")
        elif event.event == "reported":
            self.board.update(
                *key, reports=SeenTraining.reports + 1, last_cycle=event.cycle, last_loss=event.loss
            )
            logger.info("reported cycle %s of %s/%s", event.cycle, event.name, event.version)
        elif event.event == "unfit":
            self.board.update(*key, state="unfit", last_error=event.text)
            logger.warning("takes no part in %s/%s for now: %s", event.name, event.version, event.text)
        elif event.event == "fits":
            self.board.update(*key, state="joined", last_error="")
            logger.info("takes part in %s/%s again: the data are mended", event.name, event.version)
        elif event.event == "failed":
            self.board.update(*key, state="failed", last_error=event.text)
        elif event.event == "spent":
            self.board.update(
                *key, last_error=f"it has had {self.bounds.max_reports} reports, as many as the bounds allow"
            )
        if event.event in ("over", "spent", "left", "failed"):
            self._joined.pop(event.digest, None)

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
        seen = [seen_view(row) for row in self.board.rows()]
        return SeenTrainingList(trainings=seen, bounds=self.bounds, apart=self.apart)

    @handles(ReviewOffer)
    def review(self, ctx: Context, message: ReviewOffer) -> OfferView:
        row = self.board.find(message.name, message.version, message.digest, domain_key=self._domain_key)
        if not self.training:
            raise Conflict(
                "the process that holds the data does not run: see `grid worker status`", reason="state"
            )
        if row.domain_key != self._domain_key:
            raise Conflict("that training is of a Domain that this Worker left", reason="state")
        try:
            look = self._reviews.look(row, trial=message.trial)
        except BadRequest as error:
            if any(each.review.digest == row.digest for each in self._ask("").trainings):
                raise
            raise ended(row) from error
        self.board.update(row.domain_key, row.digest, shown=look.shown)
        return offer_view(row, look, self.board.approved_before(row), self.bounds)

    @handles(DecideTraining)
    def decide(self, ctx: Context, message: DecideTraining) -> SeenTrainingView:
        row = self.board.decide(
            message.name,
            message.version,
            message.decision,
            message.digest,
            domain_key=self._domain_key,
        )
        if row.domain_key == self._domain_key and self.training:
            self._obey(row)
        self._changed.set()
        return seen_view(row)


_CHANGES: dict[str, dict[str, str]] = {
    "over": {"state": "over"},
    "left": {"state": "idle"},
    "spent": {"state": "spent"},
}


def _environment(settings: WorkerSettings, home: Path) -> dict[str, str]:
    """The participant's: it reaches the Domain as its node does, by a proxy only where the owner says so."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if settings.proxy == "environment" or not name.lower().endswith("_proxy")
    }
    return {**kept, "GRID_USER_HOME": str(home)}


def _command(action: str, row: SeenTraining) -> ParticipantCommand:
    return ParticipantCommand(
        action=action, name=row.name, version=row.version, digest=row.digest, domain_key=row.domain_key
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
