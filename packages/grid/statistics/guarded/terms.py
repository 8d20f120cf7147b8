"""On which terms a guarded table answers: what the site's policy says, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, sqrt

from grid.privacy.budget.ledger import Allowance, parts_of_epsilon, parts_of_rho
from grid.statistics.rules import lets_ask
from syft_ext.messages.policy import SitePolicy

__all__ = ["Terms", "terms_of"]


@dataclass(frozen=True, slots=True)
class Terms:
    """Attributes:
    fewest: groups of fewer rows are kept back, as far as noise lets tell (the policy's ``min_rows``).
    base: the least σ, in rows.
    epsilon: what a user pays for each unit that is measured for the first time.
    allowance: what a lineage may spend.
    missing: whether to tell how many values are missing beside what was asked.
    """

    fewest: int
    base: int
    epsilon: float
    allowance: Allowance
    missing: bool = False

    def sigma(self, rows: int) -> int:
        """σ for a table of so many rows, by their noisy number: it stays below the sampling error of large
        counts."""
        return max(self.base, int(sqrt(max(rows, 0)) / 16 + 0.5))


def terms_of(policy: SitePolicy) -> Terms | None:
    """None where answers are exact: the policy demands neither noise nor a number of rows."""
    epsilon = policy.statistics_epsilon
    if policy.min_rows == 1 and epsilon is None:
        return None
    base = max(policy.min_rows, 1 if epsilon is None else ceil(1 / Fraction(epsilon)))
    most = parts_of_rho(Fraction(2, base * base)) if policy.strict else None
    return Terms(
        policy.min_rows,
        base,
        epsilon or 0.0,
        Allowance(parts_of_epsilon(policy.statistics_total), most),
        lets_ask(policy, "missing"),
    )
