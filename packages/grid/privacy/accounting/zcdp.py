"""Zero-concentrated differential privacy: one number, ρ, that adds up, and what it is worth in ε for a δ.

M. Bun, T. Steinke, "Concentrated differential privacy", 2016: Gaussian noise of standard deviation σ on a
vector of L2 sensitivity Δ is Δ²/(2σ²)-zCDP, discrete Gaussian noise likewise (C. Canonne, G. Kamath, T.
Steinke, 2020, theorem 4); ρ of several releases add up, also where later ones are chosen in the light of
earlier ones; ρ-zCDP is (ρ + 2√(ρ ln 1/δ), δ)-differentially private (proposition 1.3).
"""

from __future__ import annotations

import math

from grid.privacy.accounting.checks import check_delta
from syft_ext.errors import BadRequest

__all__ = ["DELTA", "epsilon_of_rho", "rho_of_epsilon"]

DELTA = 1e-6
"""The δ for which ledgers are stated in ε."""


def epsilon_of_rho(rho: float, delta: float = DELTA) -> float:
    """The ε that ρ (≥ 0) is worth at ``delta`` (above 0)."""
    _check(rho, delta, "rho")
    return rho + 2 * math.sqrt(rho * -math.log(delta))


def rho_of_epsilon(epsilon: float, delta: float = DELTA) -> float:
    """The ρ that is worth this ε (≥ 0) at ``delta`` (above 0): the inverse of :func:`epsilon_of_rho`."""
    _check(epsilon, delta, "epsilon")
    root = math.sqrt(-math.log(delta))
    # Without the difference of two near roots: (√(L+ε) − √L)² = (ε / (√(L+ε) + √L))².
    return (epsilon / (math.sqrt(root * root + epsilon) + root)) ** 2


def _check(value: float, delta: float, name: str) -> None:
    check_delta(delta)
    if not delta or not 0 <= value < math.inf:
        raise BadRequest(f"{name} is a number from 0, and delta above 0", field=name)
