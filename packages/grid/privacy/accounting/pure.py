"""Basic composition of pure ε-differential privacy: the epsilons add up.

C. Dwork, A. Roth, "The algorithmic foundations of differential privacy", 2014, theorem 3.14.
"""

from __future__ import annotations

import math

from grid.privacy.accounting.checks import check_delta, check_release
from grid.privacy.accounting.events import Event, GaussianEvent, Unbounded
from grid.privacy.accounting.interface import Accountant
from syft_ext.errors import Unsupported

__all__ = ["PureAccountant"]


class PureAccountant(Accountant):
    """Needs no delta; of Gaussian noise it can say nothing."""

    def __init__(self) -> None:
        self._spent = 0.0

    def compose(self, event: Event, count: int = 1) -> None:
        check_release(event, count)
        if isinstance(event, GaussianEvent):
            raise Unsupported("Gaussian noise is not ε-differentially private for any ε: account in rdp")
        if not count:
            return
        self._spent += math.inf if isinstance(event, Unbounded) else event.epsilon * count

    def epsilon(self, delta: float = 0.0) -> float:
        check_delta(delta)
        return self._spent
