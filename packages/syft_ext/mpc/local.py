"""All parties of a computation in one process, and a program without values: for tests, prices and dealers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from syft_ext.mpc.engine import Mail, ShareRound, Steps

__all__ = ["Traffic", "dry_run", "run_together"]

T = TypeVar("T")


@dataclass(slots=True)
class Traffic:
    """What one party sent. ``nbytes`` is of the tensors, without seals. ``sent``: the tensors, if kept."""

    rounds: int = 0
    nbytes: int = 0
    sent: list[torch.Tensor] = field(default_factory=list)


def _count(traffic: Traffic, turn: ShareRound, *, keep: bool) -> None:
    traffic.rounds += 1
    for tensors in turn.sent.values():
        traffic.nbytes += sum(each.element_size() * math.prod(each.shape) for each in tensors)
        if keep:
            traffic.sent += [each.clone() for each in tensors]


def run_together(
    parties: Sequence[Steps[T]],
    *,
    keep: bool = False,
    change: Callable[[int, ShareRound], ShareRound] | None = None,
) -> tuple[list[T], list[Traffic]]:
    """Run all parties in turns. Returns what each of them found, and what each sent. ``change``: what a party's
    round becomes on its way."""
    traffic = [Traffic() for _ in parties]
    results: dict[int, T] = {}
    waiting: dict[int, ShareRound] = {}

    def advance(index: int, step: Callable[[], ShareRound]) -> None:
        try:
            turn = step()
            _count(traffic[index], turn, keep=keep)
            waiting[index] = turn if change is None else change(index, turn)
        except StopIteration as end:
            results[index] = end.value

    for index, party in enumerate(parties):
        advance(index, lambda party=party: next(party))  # type: ignore[misc]
    while waiting:
        turns, waiting = waiting, {}
        for index, party in enumerate(parties):
            if index in turns:
                mine = {other: turns[other].sent[index] for other in turns[index].awaited}
                advance(index, lambda party=party, mine=mine: party.send(mine))  # type: ignore[misc]
    return [results[index] for index in range(len(parties))], traffic


def dry_run(program: Steps[T]) -> tuple[T, Traffic]:
    """Run one party without the others, on zeros (an engine that is ``dry``)."""
    traffic = Traffic()
    try:
        turn = next(program)
        while True:
            _count(traffic, turn, keep=False)
            nothing: Mail = {
                party: [torch.zeros_like(each) for each in tensors] for party, tensors in turn.awaited.items()
            }
            turn = program.send(nothing)
    except StopIteration as end:
        return end.value, traffic
