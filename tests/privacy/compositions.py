"""Random compositions of releases, accounted by us and by Google's dp-accounting: the same, to 1e-6.

    python -m tests.privacy.compositions --compositions 1000 --seed 1

Gaussian noise of random size, so often, with random δ: by Rényi divergences against ``dp_accounting.rdp`` on the
same orders; by ρ against the sum that it is, and above the truth as privacy loss distributions have it
(``dp_accounting.pld``), for one composition in ``--every``: that takes a minute each.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from random import Random

from grid.privacy.accounting.events import GaussianEvent
from grid.privacy.accounting.rdp import ORDERS, RdpAccountant
from grid.privacy.accounting.zcdp import epsilon_of_rho
from grid.privacy.budget.ledger import PARTS, cost_of_rho

__all__ = ["compare"]


def compare(compositions: int, seed: int, every: int = 0) -> float:
    """The largest difference that was found; raises :class:`AssertionError` for one above 1e-6 (of 1, or of ε)."""
    import dp_accounting
    from dp_accounting import pld, rdp

    chance, worst = Random(seed), 0.0
    for number in range(compositions):
        delta = 10 ** -chance.uniform(3, 10)
        releases = [
            (2 ** chance.uniform(-1, 8), chance.choice((1, 1, 2, 10, 1000)))
            for _ in range(chance.randint(1, 20))
        ]
        ours, theirs, exact, ledger = RdpAccountant(), rdp.RdpAccountant(orders=ORDERS), Fraction(0), 0
        for multiplier, count in releases:
            event = GaussianEvent(multiplier)
            ours.compose(event, count)
            theirs.compose(dp_accounting.GaussianDpEvent(multiplier), count)
            exact += count / (2 * Fraction(multiplier) ** 2)
            ledger += count * cost_of_rho(event.rho)
        found, reference = ours.epsilon(delta), theirs.get_epsilon(delta)
        difference = abs(found - reference) / max(1.0, reference)
        worst = max(worst, difference)
        assert difference <= 1e-6, (releases, delta, found, reference)
        # What ledgers count: never less than ρ, and no more than a part for each release.
        count_of_all = sum(count for _, count in releases)
        assert exact * PARTS <= ledger <= exact * PARTS * (1 + Fraction(1, 1 << 49)) + count_of_all
        if every and number % every == 0:
            stated = epsilon_of_rho(ledger / PARTS, delta)
            truth = pld.PLDAccountant()
            for multiplier, count in releases:
                truth.compose(dp_accounting.GaussianDpEvent(multiplier), count)
            assert truth.get_epsilon(delta) <= stated * (1 + 1e-6) + 1e-6
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--compositions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=0)
    asked = parser.parse_args()
    worst = compare(asked.compositions, asked.seed, asked.every)
    print(f"{asked.compositions} compositions: the largest difference is {worst:.2g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
