"""What may be said of a training whose reports are summed securely: who sees what, and what its noise is worth.

Noise is distributed: each survivor adds a discrete Gaussian of variance σ² to whole numbers. A sum of discrete
    Gaussians is
not quite one; what that costs is τ (P. Kairouz, Z. Liu, T. Steinke, "The distributed discrete Gaussian
mechanism for federated learning with secure aggregation", 2021, proposition 13 and theorem 14): for h honest
survivors, d numbers and a difference of L2 norm at most Δ, a round is (½ε²)-zCDP with ε² = Δ²/(hσ²) + ½τd and τ
= 10 Σ exp(−2π²σ² k/(k+1)), k = 1 … h − 1.
"""

from __future__ import annotations

import math

from syft_ext.secure_aggregation.rules import SumRules

__all__ = ["epsilon_of", "loss_of_round", "sentences", "tau_of"]

_SLACK = 1 + 2.0**-40
"""More than what rounding in a few hundred operations of doubles takes off."""


def tau_of(rules: SumRules) -> float:
    """τ, rounded up; 0 without noise."""
    if rules.noise is None:
        return 0.0
    variance = float(rules.variance) / _SLACK
    return (
        10
        * _SLACK
        * math.fsum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, rules.honest))
    )


def loss_of_round(rules: SumRules, count: int) -> float | None:
    """ρ of zero-concentrated differential privacy of one round, of ``count`` numbers, rounded up, for whoever
    is in it or whose difference is replaced by zeros; None without noise."""
    if rules.noise is None:
        return None
    bound = rules.grid.bound
    gaussian = bound * bound / (rules.honest * float(rules.variance))
    return (gaussian + tau_of(rules) * count / 2) / 2 * _SLACK


def epsilon_of(rho: float, delta: float) -> float:
    """ε at δ of ρ-zCDP (M. Bun, T. Steinke 2016, proposition 1.3), rounded up."""
    return (rho + 2 * math.sqrt(rho * math.log(1 / delta))) * _SLACK


def sentences(rules: SumRules, count: int, cycles: int) -> list[str]:
    """What reviewers and participants are told, one fact each.

    Args:
        count: numbers that are summed. cycles: of the training; 0: until somebody cancels it.
    """
    n, t = rules.participants, rules.threshold
    told = [
        f"The Domain sees the sum of the reports of {rules.needed} to {n} participants in each cycle, how many "
        "they are and "
        "who; of a single report it sees nothing but that it came"
        + (" (samples are summed, too)." if rules.max_weight > 1 else "."),
        f"That holds while fewer than {t} of {n} participants answer for it what they must not, and with up to "
        f"{rules.corrupt} "
        "of them in league with it; what these have learned themselves it can take off the sum.",
        (
            f"Participants have certificates of the authority {rules.authority[:16]}….: the Domain cannot "
            "invent any."
            if rules.authority
            else "Who takes part is the Domain's word: it could invent participants, and have a real one's "
            "report alone. "
            "Against that, name an authority that certifies participants."
        ),
        f"Each honest participant scales its report down to an L2 norm of {rules.clip:g}. Nobody can see "
        "whether one did: a "
        "dishonest participant can make the model worthless, and no report can be left out of the sum.",
        "Only the model's parameters move; running statistics and counters stay as they were hosted. Loss and "
        "accuracy are "
        "not reported.",
    ]
    rho = loss_of_round(rules, count)
    if rho is None:
        told.append(
            "No noise is added: what several sums, or a sum and all but one of its reports, say of one is not "
            "bounded."
        )
        return told
    told.append(
        f"Each participant adds discrete Gaussian noise with a variance of {float(rules.variance):.4g} squared "
        "steps of the grid. "
        f"That of {rules.honest} honest survivors gives ρ = {rho:.3g} (zero-concentrated differential privacy) "
        "in a cycle "
        f"with τ = {tau_of(rules):.3g} over {count} numbers, for a participant who is replaced by zeros, "
        "against whoever sees "
        "the models and computes with bounded means."
    )
    if cycles:
        total = rho * cycles
        told.append(
            f"Over all {cycles} cycles that is ε = {epsilon_of(total, 1e-6):.3g} at δ = 10⁻⁶, whoever takes "
            "part in all of them."
        )
    return told
