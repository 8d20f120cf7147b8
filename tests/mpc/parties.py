"""All parties of a protocol in this process, and what they compute."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol as TypingProtocol

import torch

from syft_ext.messages.shared_terms import PROTOCOLS
from syft_ext.mpc.demands import Dealer, Demand, Supply
from syft_ext.mpc.engine import Given, ShareEngine, ShareRound, Steps
from syft_ext.mpc.falcon_abort import FalconAbort
from syft_ext.mpc.fixed import decode, encode, raw_bound
from syft_ext.mpc.local import Traffic, dry_run, run_together
from syft_ext.mpc.registry import dealt_engine, dry_engine, replicated_engine
from syft_ext.mpc.ring import KEY_BYTES
from syft_ext.mpc.shares import ShareTensor

PRECISION = 16
STEP = 2.0**-PRECISION

Program = Callable[..., Steps[Any]]
Protocol = tuple[str, str]
"""Its name and against whom it is."""
EVERY = [(name, security) for name, facts in PROTOCOLS.items() for security in facts.securities]


class Runner(TypingProtocol):
    """:func:`run` under one protocol."""

    def __call__(self, program: Program, *inputs: torch.Tensor, **options: Any) -> Ran: ...


@dataclass
class Ran:
    """What came of a run of ``protocol``: ``value`` in float64, what each party sent, what the dealer was asked
    for and sent."""

    protocol: str
    value: torch.Tensor
    values: list[torch.Tensor]
    traffic: list[Traffic]
    expected: Traffic
    demands: list[Demand]
    corrections: bytes


def stepped(values: torch.Tensor) -> torch.Tensor:
    """Float64 on the grid of fixed-point numbers."""
    return (values.double() / STEP).round() * STEP


def replicated(protocol: Protocol) -> list[ShareEngine]:
    """Three parties with keys that each pair of them has."""
    keys = [secrets.token_bytes(KEY_BYTES) for _ in range(3)]
    return [
        replicated_engine(*protocol, i, PRECISION, (keys[i], keys[(i + 1) % 3]), bytes(KEY_BYTES))
        for i in range(3)
    ]


def run(
    program: Program,
    *inputs: torch.Tensor,
    protocol: Protocol = ("Beaver", "semi-honest"),
    bound: float | Sequence[float] = 2.0**15,
    keep: bool = False,
    mutate: Callable[[bytearray], object] = lambda _: None,
    change: Callable[[int, ShareRound], ShareRound] | None = None,
    pool: int = 48,
) -> Ran:
    """``program(engine, *shares)`` at all parties; its results are settled and opened to all. The parties
    deal the inputs in turn. ``mutate``: what the dealer sent; ``change``: a party's round on its way.
    ``pool``: random products that are made for a check; fewer than usual where nobody cheats."""
    bounds = [bound] * len(inputs) if isinstance(bound, int | float) else list(bound)
    raw_bounds = [raw_bound(each, PRECISION) for each in bounds]

    def whole(engine: ShareEngine, shares: Sequence[ShareTensor]) -> Steps[Any]:
        found = yield from program(engine, *shares)
        results = found if isinstance(found, list) else [found]
        yield from engine.settle()
        opened = yield from engine.open(results)
        return [(raw, each.fraction) for raw, each in zip(opened, results, strict=True)]

    def dealt(engine: ShareEngine) -> Steps[list[ShareTensor]]:
        given = []
        for place, (x, b, limit) in enumerate(zip(inputs, bounds, raw_bounds, strict=True)):
            owner = place % engine.parties
            raw = encode(x, PRECISION, b)
            given.append(
                Given(owner, raw if owner == engine.index else torch.zeros_like(raw), PRECISION, limit)
            )
        return (yield from engine.deal(given))

    dry, recorder = dry_engine(*protocol, PRECISION)
    if isinstance(dry, FalconAbort):
        dry.pool = pool
    blanks, _ = dry_run(dealt(dry))
    _, expected = dry_run(whole(dry, blanks))
    corrections = bytearray()
    if not PROTOCOLS[protocol[0]].dealer:
        parties = replicated(protocol)
    else:
        keys = secrets.token_bytes(16), secrets.token_bytes(16)
        supplies = [Supply(0, keys[0]), Supply(1, keys[1])]
        parties = [dealt_engine(*protocol, i, PRECISION, supplies[i], bytes(KEY_BYTES)) for i in range(2)]
        corrections = bytearray().join(
            each.contiguous().numpy().tobytes() for each in Dealer(keys).corrections(recorder.demands)
        )
        mutate(corrections)
        supplies[1].fill(corrections)

    for engine in parties:
        if isinstance(engine, FalconAbort):
            engine.pool = pool
    shares, _ = run_together([dealt(engine) for engine in parties])
    programs = [whole(engine, own) for engine, own in zip(parties, shares, strict=True)]
    results, traffic = run_together(programs, keep=keep, change=change)
    for other in results[1:]:
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(results[0], other, strict=True))
    values = [decode(raw, fraction) for raw, fraction in results[0]]
    return Ran(protocol[0], values[0], values, traffic, expected, recorder.demands, bytes(corrections))
