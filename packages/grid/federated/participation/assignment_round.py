"""The answers of one round of assigning slots, and the rules that say no before anybody chooses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.participation.waiting_room import Waiter
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import Unit
from syft_ext.messages.federated import CheckInReply
from syft_ext.messages.policy import CyclePolicy

__all__ = ["GRACE", "RETRY", "AssignmentRound", "interval"]

HEARTBEAT = 10.0
"""Seconds between two heartbeats; fewer where the training's ``assignment_timeout`` is short."""
GRACE = 3
"""Heartbeats that may be missed: then the worker is dead, or out of reach, and its slot is another's."""
RETRY = 5.0
"""Seconds until another check-in makes sense, where nothing better is known."""


def interval(server: ServerConfig) -> float:
    """Seconds between two heartbeats of a worker."""
    return min(HEARTBEAT, server.assignment_timeout / GRACE)


class AssignmentRound:
    """The answers of one round; they are given when its transaction is committed."""

    def __init__(
        self, definition: TrainingDefinition, digest: str, rng: random.Random, request_key: Any
    ) -> None:
        self.definition, self.digest = definition, digest
        self.rng, self._request_key = rng, request_key
        self.bounds, self.models = dict[str, Any](), dict[int, tuple[str, int]]()
        self.answers: list[tuple[Waiter, CheckInReply]] = []
        self.duplicates: list[tuple[Waiter, Waiter]] = []
        self.concerned: Sequence[Waiter] = ()
        self.cycle_id = ""
        self.empty = False

    def give_answers(self) -> None:
        """The transaction is committed: now they are true."""
        for waiter in self.concerned:
            waiter.seen = self.cycle_id
        for waiter, answer in self.answers:
            waiter.answer = answer

    def accept(self, waiter: Waiter, row: Any, model: tuple[str, int], policy: CyclePolicy) -> None:
        """Answer a waiter with the slot in ``row`` and all that its worker needs; ``model``: digest and size;
        ``policy``: that of the slot's cycle."""
        deadline = row.lease_until if row.deadline is None else min(row.lease_until, row.deadline)
        answer = CheckInReply(
            status="accepted",
            assignment_id=row.id,
            request_key=self._request_key(row.id),
            cycle=row.sequence,
            cycle_id=row.cycle_id,
            num_cycles=self.definition.server.num_cycles,
            checkpoint=row.base_checkpoint,
            model_digest=model[0],
            model_size=model[1],
            plans=self.definition.names("plan"),
            protocols=self.definition.names("protocol"),
            client_config=dict(self.definition.client_config),
            report_format=self.definition.server.report_format,
            report_options=self.definition.server.report_options,
            deadline=deadline,
            definition=self.digest,
            heartbeat=interval(self.definition.server),
            policy=None if policy == CyclePolicy() else policy,
        )
        self.answers.append((waiter, answer))

    def reject(self, waiter: Waiter, reason: str, retry_after: float | None, *, final: bool = False) -> None:
        """Send an impatient waiter away; a patient one stays, unless waiting is no use (``final``)."""
        if final or not waiter.patient:
            answer = CheckInReply(
                status="rejected",
                reason=reason,
                retry_after=retry_after,
                client_config=dict(self.definition.client_config),
            )
            self.answers.append((waiter, answer))

    def answer_duplicates(self) -> None:
        """A check-in that was repeated before its answer was there gets the same answer."""
        given = {id(waiter): answer for waiter, answer in self.answers}
        for duplicate, waiter in self.duplicates:
            answer = given.get(id(waiter))
            if answer is not None and (answer.status == "accepted" or not duplicate.patient):
                self.answers.append((duplicate, answer))
            else:
                self.reject(duplicate, "taking-part", RETRY)

    def pause(self, unit: Unit) -> float:
        """Seconds until another check-in makes sense: at most until this cycle's time is up."""
        deadline = unit.cycle.deadline if unit.cycle else None
        return RETRY if deadline is None else min(max(deadline - unit.now, 0.1), RETRY)

    def turned_away(self, unit: Unit, waiter: Waiter, rests_until: int, holding: dict[str, Any]) -> bool:
        """Whether a rule says no to this worker now (it is answered, or goes on waiting)."""
        status, config, cycle = (
            trainings.TrainingStatus(unit.process.status),
            self.definition.server,
            unit.cycle,
        )
        if status in trainings.TERMINAL:
            self.reject(waiter, "over", None, final=True)
        elif too_slow(waiter, config.minimum_upload_speed, config.minimum_download_speed):
            self.reject(waiter, "too-slow", 60.0, final=True)
        elif status in (trainings.TrainingStatus.CREATED, trainings.TrainingStatus.WAITING):
            self.reject(waiter, "in-review", RETRY)
        elif status is not trainings.TrainingStatus.RUNNING or cycle is None:
            self.reject(waiter, "paused", RETRY)
        elif waiter.worker_id in holding:
            self.reject(waiter, "taking-part", self.pause(unit))
        elif cycle.sequence < rests_until:
            self.reject(waiter, "resting", self.pause(unit))
        elif cycles.CycleStatus(cycle.status) not in cycles.ADMITTING:
            self.reject(waiter, "full", self.pause(unit))
        else:
            return False
        return True


def too_slow(waiter: Waiter, upload: float | None, download: float | None) -> bool:
    """Whether a stated speed, or its absence, falls short of a minimum (KB/s)."""
    return bool(
        (upload and (waiter.upload is None or waiter.upload < upload))
        or (download and (waiter.download is None or waiter.download < download))
    )
