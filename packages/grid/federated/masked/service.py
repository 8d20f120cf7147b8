"""The messages of :mod:`syft_ext.messages.secure_aggregation`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from grid.federated.masked.rounds import gone
from grid.federated.service import FederatedService
from grid.federated.state.machines.assignment import AssignmentStatus
from grid.node import Context, Service, handles
from syft_ext.messages import secure_aggregation as m
from syft_ext.secure_aggregation.server import Phase, ServerRound

__all__ = ["SecureAggregationService"]

_LIVING = (AssignmentStatus.ASSIGNED, AssignmentStatus.REPORTED)
_ORDER = list(Phase)
Shown = Callable[[ServerRound, str], m.SumRoundView]


class SecureAggregationService(Service):
    """Takes what participants of masked rounds say, and holds the answer until the phase is over."""

    def _row(self, ctx: Context, message: Any) -> Any:
        return self._pipeline.collector.find(message.assignment_id, ctx.principal.id, message.request_key)

    @property
    def _pipeline(self) -> Any:
        return self.node.service(FederatedService).pipeline

    def _living(self, ctx: Context, message: Any) -> Any:
        """The assignment's row. Raises :class:`Conflict` where it is over."""
        row = self._row(ctx, message)
        if row.status not in _LIVING:
            raise gone(row)
        return row

    @handles(m.SendSumKeys)
    def keys(self, ctx: Context, message: m.SendSumKeys) -> m.SumRoundView:
        row = self._living(ctx, message)
        seq = self._pipeline.masked.advertise(
            row, message.keys, message.signature, ctx.principal.verify_key, self.node.clock.now()
        )
        return self._when_after(ctx, message, row, Phase.ADVERTISE, _keys, seq)

    @handles(m.SendSumShares)
    def shares(self, ctx: Context, message: m.SendSumShares) -> m.SumRoundView:
        row = self._living(ctx, message)
        seq = self._pipeline.masked.take(row, lambda server, name: server.share(name, message.shares))
        return self._when_after(ctx, message, row, Phase.SHARES, _shares, seq)

    @handles(m.ConfirmSurvivors)
    def consistency(self, ctx: Context, message: m.ConfirmSurvivors) -> m.SumRoundView:
        row = self._living(ctx, message)
        if not message.signature:
            return self._when_after(ctx, message, row, Phase.MASKED, _survivors, 0)
        seq = self._pipeline.masked.take(row, lambda server, name: server.confirm(name, message.signature))
        return self._when_after(ctx, message, row, Phase.CONSISTENCY, _confirmations, seq)

    @handles(m.OpenSum)
    def unmask(self, ctx: Context, message: m.OpenSum) -> m.SumRoundView:
        row = self._row(ctx, message)
        if row.status == AssignmentStatus.INCLUDED:  # its first answer, or enough others', made the sum
            return m.SumRoundView(phase=str(Phase.SUM))
        self._living(ctx, message)
        if self._pipeline.masked.phase(row.cycle_id) is not Phase.SUM:
            self._pipeline.masked.take(row, lambda server, name: server.answer(name, message.answer))
        return m.SumRoundView(phase=str(self._pipeline.masked.phase(row.cycle_id)))

    def _when_after(
        self, ctx: Context, message: Any, row: Any, phase: Phase, shown: Shown, seq: int
    ) -> m.SumRoundView:
        """What a participant has asked for, once ``phase`` is over; where the round is, when it has waited long
        enough.

        Raises :class:`Conflict` when its part is over.
        """
        store, deadline = self._pipeline.store, time.monotonic() + message.wait
        while True:
            at = self._pipeline.masked.phase(row.cycle_id)
            if _ORDER.index(at) > _ORDER.index(phase):
                self._living(ctx, message)
                return shown(self._pipeline.masked.look(row), row.id)
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not store.notifier.wait(row.process_id, seq, remaining, ctx.alive):
                self._living(ctx, message)
                return m.SumRoundView(phase=str(at))
            if at is Phase.ADVERTISE and phase is not Phase.ADVERTISE:
                self._living(ctx, message)  # the round is gone, with its cycle
            seq = self._pipeline.masked.latest(row.process_id)


def _keys(server: ServerRound, name: str) -> m.SumRoundView:
    assert server.roster is not None
    return m.SumRoundView(phase=str(server.phase), roster=server.roster.encode())


def _shares(server: ServerRound, name: str) -> m.SumRoundView:
    return m.SumRoundView(phase=str(server.phase), shares=server.shares_for(name))


def _survivors(server: ServerRound, name: str) -> m.SumRoundView:
    return m.SumRoundView(phase=str(server.phase), survivors=list(server.agreed.survivors))


def _confirmations(server: ServerRound, name: str) -> m.SumRoundView:
    return m.SumRoundView(phase=str(server.phase), confirmations=server.confirmations)
