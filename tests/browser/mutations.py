"""Plans that somebody gives away under ids of their own, changed at random: refused, or computed as Python does.

    python -m tests.browser.mutations [--count 20000] [--seed 14] [--plan logistic_regression] [--chromium]

What Python refuses the browser's engine must refuse, and what Python runs it must compute alike. The exit status
is 1 where one did otherwise.
"""

from __future__ import annotations

import argparse
import base64
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from blake3 import blake3

from syft_ext.errors import GridError
from syft_ext.plans import Plan

from . import steps
from .conformance import packed, unpacked
from .engines import Engine, chromium, node

__all__ = ["Outcome", "mutated"]
#: Asked of the engine at a time.
TOGETHER = 100


@dataclass
class Outcome:
    """Of one plan: whether both ran it, and what the engine did otherwise than Python; "" where it did alike."""

    ran: bool
    wrong: str


def mutated(
    engine: Engine, plan: Plan, flat: list[torch.Tensor], *, count: int, seed: int
) -> Iterator[Outcome]:
    """So many plans of one or two changed bytes."""
    chance, data, inputs = random.Random(seed), plan.dumps(), [packed(each) for each in flat]
    for first in range(0, count, TOGETHER):
        made = [_changed(data, chance) for _ in range(min(TOGETHER, count - first))]
        engine.renew()
        found = engine.run(
            [
                {
                    "plan": base64.b64encode(each).decode(),
                    "id": blake3(each).hexdigest(),
                    "inputs": inputs,
                }
                for each in made
            ]
        )
        for each, outcome in zip(made, found, strict=True):
            yield _held(each, flat, outcome)


def _changed(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.choice([1, 1, 2])):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def _held(data: bytes, flat: list[torch.Tensor], outcome: dict[str, object]) -> Outcome:
    if "failed" in outcome:
        return Outcome(False, f"failed: {outcome['failed']}")
    try:
        expected = Plan.read(data).run(flat)
    except GridError as error:
        return Outcome(False, "" if "refused" in outcome else f"Python refuses: {error.detail}")
    if "results" not in outcome:
        return Outcome(False, f"refused: {outcome}")
    results = outcome["results"]
    assert isinstance(results, list)
    for got, wanted in zip(results, expected, strict=True):
        try:
            torch.testing.assert_close(unpacked(got), wanted, rtol=1e-4, atol=1e-5, equal_nan=True)
        except AssertionError as error:
            return Outcome(True, str(error))
    return Outcome(True, "")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--plan", default="logistic_regression", help="one of tests/plans/examples.py")
    parser.add_argument("--chromium", action="store_true", help="in real Chromium; else in Node")
    options = parser.parse_args()
    ((_, (plan, flat)),) = steps.traced(options.plan)
    ran = wrong = seen = 0
    with (chromium if options.chromium else node)() as engine:
        for outcome in mutated(engine, plan, flat, count=options.count, seed=options.seed):
            seen += 1
            ran += outcome.ran
            if outcome.wrong:
                wrong += 1
                print(f"number {seen}: {outcome.wrong}", flush=True)
    print(
        f"{seen} plans: {ran} computed, {seen - ran - wrong} refused by both, {wrong} otherwise than Python"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
