"""A canary: a participant that a training may or may not have had, and what an attacker can tell of it at most.

    python -m tests.privacy.canary --trainings 20000 --cycles 3 --noise 2.0 --seed 1

The same training is run many times, half of them with a planted participant whose contribution is one direction
as long as the clipping norm lets it be; the others contribute nothing, which is the worst case. The attacker knows
that direction, sees every released mean, and sums up how far they lie in it: for Gaussian noise no test is better.
From what they get right follows a lower bound of ε that holds with 95 % (Clopper and Pearson's bounds of both
errors; M. Jagielski, J. Ullman, A. Oprea, "Auditing differentially private machine learning", 2020). It lies below
the ε that the ledger states, and near what the best test could find; with too little noise it would lie above.

What is run is the aggregator of a site's policy (:class:`grid.aggregation.clipped.ClippedMean`), in parts of one
model's numbers.
"""

from __future__ import annotations

import argparse
import math
import sys
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from grid.aggregation.base import Contribution
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.privacy.accounting.zcdp import epsilon_of_rho
from grid.privacy.budget.ledger import PARTS, cost_of_rho
from grid.privacy.mechanisms.registry import ChosenMechanism, vector_mechanism
from tests.federated.models import encode

__all__ = ["audit", "lower_bound", "stated"]

_PLACES = 4
_CONFIDENCE = 0.95


def stated(noise: float, cycles: int, delta: float) -> float:
    """The ε that the ledger says of so many cycles."""
    mechanism = vector_mechanism(1.0, noise)
    return epsilon_of_rho(cycles * cost_of_rho(mechanism.event().rho) / PARTS, delta)


def audit(trainings: int, cycles: int, noise: float, delta: float, seed: int, others: int = 2) -> float:
    """A lower bound of ε that holds with 95 %; ``noise``: what is really added, in clipping norms."""
    chance, mechanism = Random(seed), vector_mechanism(1.0, noise)
    base = _file(np.zeros(_PLACES, np.float32))
    nothing = Contribution(_file(np.zeros(_PLACES, np.float32)), 1.0)
    canary = Contribution(_file(np.full(_PLACES, 1000.0, np.float32)), 1.0)  # clipped to its direction
    seen: dict[bool, list[float]] = {True: [], False: []}
    for number in range(trainings):
        planted = number % 2 == 0
        total = 0.0
        for _ in range(cycles):
            key = chance.randbytes(32)
            mean = _cycle(base, mechanism, key, [canary if planted else nothing, *[nothing] * others])
            total += float(mean.sum())
        seen[planted].append(total)
    return lower_bound(seen[True], seen[False], delta)


def _cycle(
    base: TensorFile, mechanism: ChosenMechanism, key: bytes, contributions: list[Contribution]
) -> NDArray[np.float32]:
    aggregator = ClippedMean(base, mechanism, lambda _: key)
    for each in contributions:
        aggregator.accumulate(each)
    (mean,) = aggregator.finish().values
    return np.asarray(mean)


def lower_bound(there: list[float], absent: list[float], delta: float) -> float:
    """By the best threshold of the first half of what was seen, judged on the second half."""
    learn, judge = ([values[part] for values in map(np.asarray, (there, absent))] for part in _halves(there))
    best, threshold = -math.inf, 0.0
    for candidate in np.quantile(np.concatenate(learn), np.linspace(0.02, 0.98, 97)):
        found = _epsilon(learn[0] > candidate, learn[1] > candidate, delta, 0.5)
        if found > best:
            best, threshold = found, float(candidate)
    return _epsilon(judge[0] > threshold, judge[1] > threshold, delta, 1 - _CONFIDENCE)


def _halves(values: list[float]) -> tuple[slice, slice]:
    middle = len(values) // 2
    return slice(None, middle), slice(middle, None)


def _epsilon(there: NDArray[np.bool_], absent: NDArray[np.bool_], delta: float, alpha: float) -> float:
    """(ε, δ)-differential privacy: P("there" | there) ≤ e^ε P("there" | absent) + δ, and the other way round."""
    bounds = [0.0]
    for said, wrongly in ((there, absent), (~absent, ~there)):
        least = beta.ppf(alpha / 4, said.sum(), (~said).sum() + 1) if said.any() else 0.0
        most = beta.ppf(1 - alpha / 4, wrongly.sum() + 1, (~wrongly).sum()) if not wrongly.all() else 1.0
        if least > delta:
            bounds.append(math.log((least - delta) / most))
    return max(bounds)


def _file(values: NDArray[np.float32]) -> TensorFile:
    return TensorFile(encode({"w": values}))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trainings", type=int, default=20_000)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--noise", type=float, default=2.0)
    parser.add_argument("--delta", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    found = audit(asked.trainings, asked.cycles, asked.noise, asked.delta, asked.seed)
    says = stated(asked.noise, asked.cycles, asked.delta)
    print(f"at least {found:.3f} (with 95 %), stated {says:.3f} at delta {asked.delta:g}")
    return int(found > says)


if __name__ == "__main__":
    sys.exit(main())
