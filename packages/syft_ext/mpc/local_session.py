"""A session whose parties are all in this process: to try programs and their ranges. It hides nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch

from syft_ext.errors import BadRequest
from syft_ext.messages.shared_terms import PROTOCOLS
from syft_ext.mpc.demands import Dealer, Supply
from syft_ext.mpc.engine import Given, ShareEngine, Steps
from syft_ext.mpc.fixed import PRECISIONS, decode, encode, raw_bound
from syft_ext.mpc.interpreter import check_protocols, interpret
from syft_ext.mpc.local import dry_run, run_together
from syft_ext.mpc.placing import as_share
from syft_ext.mpc.registry import dealt_engine, dry_engine, replicated_engine
from syft_ext.mpc.ring import KEY_BYTES
from syft_ext.plans.ir import Plan

__all__ = ["LocalSession"]


class LocalSession:
    """``protocol``: "Falcon", three parties, or "Beaver", two and a dealer; else as a session of Domains."""

    def __init__(
        self, protocol: str = "Falcon", *, security_type: str = "semi-honest", precision: int = 16
    ) -> None:
        facts = PROTOCOLS.get(protocol)
        if facts is None or security_type not in facts.securities:
            raise BadRequest(f"there is no protocol {protocol[:40]!r} that is {security_type[:40]!r}")
        if precision not in PRECISIONS:
            raise BadRequest(f"precision is {PRECISIONS.start} to {PRECISIONS.stop - 1} bits")
        self.protocol, self.security_type, self.precision = protocol, security_type, precision

    def run(
        self, plan: Plan, secrets: Mapping[str, torch.Tensor], *, bounds: Mapping[str, float]
    ) -> dict[str, torch.Tensor]:
        """Every input of the plan is shared: output → float64 tensor.

        Raises :class:`OutOfRange`, :class:`Unsupported` for an operation without a protocol, :class:`BadRequest`
        for inputs that are missing.
        """
        names = [each.name for each in plan.inputs]
        if secrets.keys() != set(names) or not bounds.keys() >= set(names):
            raise BadRequest(f"give these inputs, and how large their numbers are: {', '.join(names)}")
        check_protocols(plan.document, [True] * len(names))
        binding = plan.bind([secrets[name] for name in names])
        raws = {name: encode(secrets[name], self.precision, bounds[name]) for name in names}

        def program(engine: ShareEngine) -> Steps[list[torch.Tensor]]:
            given = []
            for place, (name, raw) in enumerate(raws.items()):
                owner = place % engine.parties
                own = raw if owner == engine.index and not engine.dry else torch.zeros_like(raw)
                limit = raw_bound(bounds[name], self.precision)
                given.append(Given(owner, own, self.precision, limit))
            shares = yield from engine.deal(given)
            found = yield from interpret(engine, plan.document, shares, binding)
            opened = []
            for each in found:
                value = yield from engine.rounded(as_share(engine, each))
                opened.append(engine.aligned(value, self.precision))
            yield from engine.settle()
            return (yield from engine.open(opened))

        results, _ = run_together([program(engine) for engine in self._engines(program)])
        named = zip(plan.outputs, results[0], strict=True)
        return {output.name: decode(raw, self.precision) for output, raw in named}

    def _engines(self, program: Callable[[ShareEngine], Steps[Any]]) -> list[ShareEngine]:
        kind, count = (self.protocol, self.security_type), PROTOCOLS[self.protocol].parties
        keys = [os.urandom(KEY_BYTES) for _ in range(count)]
        coins = os.urandom(KEY_BYTES)
        if not PROTOCOLS[self.protocol].dealer:
            return [
                replicated_engine(*kind, i, self.precision, (keys[i], keys[(i + 1) % count]), coins)
                for i in range(count)
            ]
        dry, demands = dry_engine(*kind, self.precision)
        dry_run(program(dry))
        supplies = [Supply(i, key) for i, key in enumerate(keys)]
        made = Dealer((keys[0], keys[1])).corrections(demands.demands)
        supplies[1].fill(b"".join(each.contiguous().numpy().tobytes() for each in made))
        return [dealt_engine(*kind, i, self.precision, supplies[i], coins) for i in range(count)]
