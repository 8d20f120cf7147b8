"""What may be said of a training whose reports are summed securely: who sees what, and what its noise is worth.

Noise is distributed: each survivor adds a discrete Gaussian to whole numbers; what their sum is worth is in
:mod:`syft_ext.privacy.distributed`.
"""

from __future__ import annotations

from syft_ext.privacy.distributed import DistributedNoise, epsilon_of
from syft_ext.secure_aggregation.rules import SumRules

__all__ = ["epsilon_of", "loss_of_round", "sentences", "tau_of"]


def tau_of(rules: SumRules) -> float:
    """τ, rounded up; 0 without noise."""
    return 0.0 if rules.noise is None else _noise(rules).tau


def loss_of_round(rules: SumRules, count: int) -> float | None:
    """ρ of zero-concentrated differential privacy of one round, of ``count`` numbers, rounded up, for whoever
    is in it or whose difference is replaced by zeros; None without noise."""
    return None if rules.noise is None else _noise(rules).rho(count)


def _noise(rules: SumRules) -> DistributedNoise:
    return DistributedNoise(rules.variance, rules.honest, rules.grid.bound)


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
