"""Participants that speak with a pipeline in this process, each with what it has said on disk."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from nacl.signing import SigningKey
from numpy.typing import NDArray

from syft_ext.federated.formats.sum_records import SumRecords
from syft_ext.identity import Identity
from syft_ext.messages.federated import ReportReply
from syft_ext.secure_aggregation.client import ClientRound
from syft_ext.secure_aggregation.identities import subjects
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.server import Phase, ServerRound
from syft_ext.secure_aggregation.statements import Round
from syft_ext.transport import PayloadReader
from tests.federated.driver import Driver

__all__ = ["CONFIG", "STEPS", "Party", "learned"]

STEPS = ("advertise", "share", "report", "confirm", "answer")
CONFIG: dict[str, Any] = {
    "num_cycles": 1,
    "max_diffs": 5,
    "max_workers": 7,
    "secure_aggregation": {"clip": 64.0, "threshold": 4, "phase_seconds": 30.0},
}


def learned(number: int, base: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The difference that participant ``number`` reports on a model: always the same."""
    return {name: np.float32(0.25) * values + np.float32(number) / 8 for name, values in base.items()}


class Party:
    """Participant ``number`` in the training's present cycle: a new process of it, each time."""

    def __init__(self, driver: Driver, number: int) -> None:
        self.driver, self.number = driver, number
        self.identity = Identity(SigningKey(hashlib.sha256(b"party %d" % number).digest()))
        cycle = driver.view.cycle
        self.worker = driver.worker(f"key:{number}")
        self.reply = driver.check_in(self.worker, idempotency_key=f"cycle {cycle}")
        assert self.reply.status == "accepted", self.reply
        rules = SumRules.parse(self.reply.report_options)
        self.records = SumRecords(
            "node", self.reply.definition, self.identity.verify_key, cycle=self.reply.cycle
        )
        self.round = ClientRound(
            Round(
                domain=bytes(32),
                training=bytes.fromhex(self.reply.definition),
                cycle=self.reply.cycle,
                attempt=self.reply.cycle_id,
                base=bytes.fromhex(self.reply.model_digest),
            ),
            rules,
            self.identity,
            self.records,
            subjects(rules, 0),
        )

    @property
    def row(self) -> Any:
        return self.driver.pipeline.collector.find(
            self.reply.assignment_id, self.worker, self.reply.request_key
        )

    @property
    def seen(self) -> ServerRound:
        """The round, as the Domain has stored it."""
        return self.driver.pipeline.masked.look(self.row)

    def advertise(self) -> None:
        self.driver.pipeline.masked.advertise(
            self.row, *self.round.advertise(), self.identity.verify_key, 0.0
        )

    def share(self) -> None:
        assert self.seen.roster is not None
        shares = self.round.share(self.seen.roster.encode())
        self.driver.pipeline.masked.take(self.row, lambda server, name: server.share(name, shares))

    def masked(self) -> bytes:
        base = self.driver.model(self.reply.checkpoint)
        difference = learned(self.number, base)
        sealed = self.seen.shares_for(self.reply.assignment_id)
        return bytes(self.round.mask(sealed, lambda: [each.reshape(-1) for each in difference.values()]))

    def report(self, **options: Any) -> ReportReply:
        body = PayloadReader.of(self.masked())
        return self.driver.report((self.worker, self.reply), {}, body=body, kind="masked", **options)

    def confirm(self) -> None:
        signature = self.round.confirm(self.seen.agreed.survivors)
        self.driver.pipeline.masked.take(self.row, lambda server, name: server.confirm(name, signature))

    def answer(self) -> None:
        answer = self.round.unmask(self.seen.confirmations)
        self.driver.pipeline.masked.take(self.row, lambda server, name: server.answer(name, answer))

    def catch_up(self) -> None:
        """Say again, to nobody, what was said before this process: its machine is where the round is."""
        if self.seen.phase is Phase.ADVERTISE:
            return
        assert self.seen.roster is not None
        record = self.records.record()
        if record is None or not record.roster:
            return
        self.round.share(self.seen.roster.encode())
        if record.vector:
            self.masked()
        if record.survivors:
            self.round.confirm(self.seen.agreed.survivors)

    def close(self) -> None:
        self.records.close()
