"""What may be said of the privacy of a confidential training, and under which assumptions. For people."""

from __future__ import annotations

import math

from syft_ext.confidential.policy import NANO, ConfidentialPolicy

__all__ = ["epsilon", "privacy_statement"]

_PICO = 1_000_000_000_000


def epsilon(policy: ConfidentialPolicy, rounds: int | None = None) -> float:
    """ε at the policy's δ for a participant who took part in ``rounds`` rounds (None: in as many as they may).

    ρ of a round adds up, and ρ-zCDP is (ρ + 2√(ρ ln 1/δ), δ)-differentially private (Bun and Steinke 2016, 1.3).
    Infinite without noise.
    """
    mechanism = policy.mechanism
    if not mechanism.noise_multiplier:
        return math.inf
    rho = mechanism.rho * (policy.cohort.participations if rounds is None else rounds) / NANO
    return rho + 2 * math.sqrt(rho * -math.log(policy.budget.delta / _PICO))


def privacy_statement(policy: ConfidentialPolicy, *, simulated: bool) -> str:
    """The sentence that goes with every checkpoint that is released under a policy.

    Args:
        simulated: the hosts said so of the session that made it. Where the policy takes simulated evidence, it
            protects nobody whatever they said: another session, for the same manifest, had the same keys.
    """
    if simulated or policy.evidence.allow_simulator:
        return "simulated: this protects nobody from whoever runs the Domain"
    if not policy.mechanism.noise_multiplier:
        return "no differential privacy: the policy adds no noise"
    cohort, budget = policy.cohort, policy.budget
    return (
        f"(ε = {epsilon(policy):.3g}, δ = {budget.delta / _PICO:g}) for each participant who took part in"
        f" at most {cohort.participations} rounds of scope {budget.scope!r}, none of which cost more than"
        f" ρ = {policy.mechanism.rho / NANO:g}, {cohort.separation} or more granted rounds apart, against"
        " everybody who sees all checkpoints. All rounds of the scope together, of whatever policies, are held"
        f" to ρ = {budget.rho / NANO:g} by each of this one's hosts while it approves this one; other hosts keep a"
        " count of their own. Adjacent: their updates replaced by zero."
        " Assumes the trusted execution environment; for confidentiality, that not all key hosts collude;"
        f" for one output a round and for the budget, that at most {policy.dishonest} of them lie or were rolled"
        " back; a computational generator of noise. Data of a participant that others hold too are not covered;"
        " who took part is not hidden, and hosts learn it; metrics: none."
    )
