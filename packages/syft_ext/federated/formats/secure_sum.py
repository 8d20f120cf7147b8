"""Masked reports: a participant's part in a round of secure aggregation, from its keys to its answer.

It begins when the participant has trained, so that whoever fails to costs the round nothing: keys, list of
keys, shares; the masked words are the report; then the survivors, and one share of everybody. What the protocol
refuses (:class:`~syft_ext.errors.RoundRefused`) ends the job: no other cycle of a Domain that cheats is better.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from syft_ext.errors import BadRequest, Conflict, GridError, RoundRefused, Unsupported
from syft_ext.federated.formats.encoder import EncodedReport, NodeLine, ReportContext, ReportEncoder
from syft_ext.federated.formats.flat import flat_parameters
from syft_ext.federated.formats.sum_records import SumRecords
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.secure_aggregation import (
    ConfirmSurvivors,
    OpenSum,
    SendSumKeys,
    SendSumShares,
    SumRoundView,
)
from syft_ext.secure_aggregation.client import ClientRound
from syft_ext.secure_aggregation.identities import subjects
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.server import Phase
from syft_ext.secure_aggregation.statements import Round

__all__ = ["SecureSumEncoder"]

WAIT = 25.0
"""Seconds that the Domain may hold an answer; below the usual idle timeouts of proxies."""
_PATIENCE = 30.0
_ORDER = list(Phase)


class SecureSumEncoder(ReportEncoder):
    """The Domain sees the sum of all reports, and of this one nothing."""

    name = "secure_aggregation"
    tells_metrics = False

    def check(self, options: Mapping[str, Any]) -> None:
        """The rules, held against what every honest participant demands of them: of whatever a Domain declares."""
        try:
            SumRules.parse(options)
        except GridError as error:
            raise Unsupported(
                f"the rules of this training's secure aggregation protect nobody: {error.detail}"
            ) from error

    def encode(self, context: ReportContext, trained: Any) -> EncodedReport:
        if context.line is None:
            raise Unsupported("masked reports are made together with others, through a Domain")
        part = _Part(context, context.line)
        try:
            content = part.masked(trained)
        except BaseException:
            part.close()
            raise
        return EncodedReport([content], "masked", finish=part.finish, close=part.close)


def _check_authority(rules: SumRules, pinned: frozenset[str]) -> None:
    """Raise :class:`RoundRefused` where participants are somebody's word whom this user has not pinned. Where
    they have pinned nobody, it is whose word the training's definition says, which they agreed to."""
    if pinned and rules.authority not in pinned:
        who = f"the authority {rules.authority[:16]}…" if rules.authority else "the Domain alone"
        raise RoundRefused(
            f"who takes part in this training is the word of {who}, and not of an authority that you have pinned",
            reason="identity",
        )


class _Part:
    """This participant's part in one round."""

    def __init__(self, context: ReportContext, line: NodeLine) -> None:
        self._context, self._line = context, line
        assignment = context.assignment
        self._rules = SumRules.parse(assignment.report_options)
        _check_authority(self._rules, line.authorities)
        self._ids: dict[str, Any] = {
            "assignment_id": assignment.assignment_id,
            "request_key": assignment.request_key,
        }
        self._records = SumRecords(
            line.node_key, assignment.definition, line.identity.verify_key, cycle=assignment.cycle
        )
        self._round = ClientRound(
            Round(
                domain=bytes.fromhex(line.node_key),
                training=bytes.fromhex(assignment.definition),
                cycle=assignment.cycle,
                attempt=assignment.cycle_id,
                base=bytes.fromhex(context.base.digest),
            ),
            self._rules,
            line.identity,
            self._records,
            subjects(self._rules, int(time.time())),
            line.certificate,
        )

    def masked(self, trained: Any) -> bytes | memoryview:
        """This participant's masked words, once everybody's keys and shares have come."""
        keys, signature = self._round.advertise()
        found = self._until(
            Phase.ADVERTISE, SendSumKeys(**self._ids, keys=keys, signature=signature, wait=WAIT)
        )
        shares = self._round.share(found.roster)
        found = self._until(Phase.SHARES, SendSumShares(**self._ids, shares=shares, wait=WAIT))
        parts = flat_parameters(self._context.base, trained)
        return self._round.mask(found.shares, lambda: parts, self._weight())

    def finish(self) -> None:
        """Agree on who has survived, and open their sum. The report is in it, or in nothing, from here on: that
        the sum was made without this participant's word is no failure."""
        try:
            found = self._until(Phase.MASKED, ConfirmSurvivors(**self._ids, wait=WAIT))
            signature = self._round.confirm(found.survivors)
            confirm = ConfirmSurvivors(**self._ids, signature=signature, wait=WAIT)
            found = self._until(Phase.CONSISTENCY, confirm)
            answer = self._round.unmask(found.confirmations)
            self._line.call(OpenSum(**self._ids, answer=answer), _PATIENCE)
        except Conflict as error:
            if error.extra.get("reason") != "duplicate":
                raise
        self._round.close()

    def _until(self, phase: Phase, message: Any) -> SumRoundView:
        """The answer to a message once the Domain is past a phase."""
        while True:
            if phase is Phase.ADVERTISE:  # nobody counts on this participant yet
                self._line.stay()
            found: SumRoundView = self._line.call(message, WAIT + _PATIENCE)
            try:
                if _ORDER.index(Phase(found.phase)) > _ORDER.index(phase):
                    return found
            except ValueError as error:
                raise RoundRefused(
                    "the Domain speaks of a phase that there is not", reason="order"
                ) from error

    def _weight(self) -> int:
        if self._rules.max_weight == 1:
            return 1
        samples, policy = self._context.samples, self._context.assignment.policy or CyclePolicy()
        if samples is None:
            raise BadRequest("this training weights reports by their samples: state them", field="samples")
        return max(1, min(samples, self._rules.max_weight, policy.max_samples))

    def close(self) -> None:
        """Let another process take part."""
        self._records.close()
