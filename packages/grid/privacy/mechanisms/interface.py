"""What every mechanism offers: how a contribution is bounded before, and what noise is added to the sum after.

Every implementation passes ``tests/privacy/mechanisms.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Protocol

from numpy.typing import NDArray

from grid.extensions.parameters import Parameters
from grid.privacy.accounting.events import Event

__all__ = ["Mechanism", "Noise", "Parameters"]


class Noise(Protocol):
    """A source of noise: independent on every number that it is added to."""

    def add(self, values: NDArray[Any]) -> None:
        """Add noise to a flat array of the mechanism's ``numbers``, in place."""


class Mechanism(ABC):
    """Clipping of a contribution, noise for the sum, and what a release of that costs.

    Attributes:
        name: what it is found by.
        parameters: the type of its parameters.
        numbers: what arrays it works on: "float64", or "int64".
        sensitivity: which size of a contribution the noise is made for: its "l2" norm over all numbers, or each
            "number" by itself (a contribution that changes several costs as often).
        exact: the distribution is the stated one to the last bit; else rounding of floating-point numbers can tell
            what the noise was to hide, and ε holds for real numbers only.
        repeatable: noise can follow from a key, so that who asks the same again gets the same noise.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    numbers: ClassVar[Literal["float64", "int64"]]
    sensitivity: ClassVar[Literal["l2", "number"]]
    exact: ClassVar[bool]
    repeatable: ClassVar[bool] = False

    @abstractmethod
    def bound(self, parameters: Any) -> float:
        """The sensitivity: :meth:`clip` leaves no more of a contribution."""

    def measure(self, part: NDArray[Any]) -> float:
        """What :meth:`clip` has to know of the whole contribution; of its parts, it adds up."""
        return 0.0

    @abstractmethod
    def clip(self, part: NDArray[Any], measured: float, parameters: Any) -> None:
        """Bound a part of a contribution, in place. ``measured``: of all its parts."""

    @abstractmethod
    def noise(self, parameters: Any, key: bytes | None = None) -> Noise:
        """Noise for one release; ``key``: 16 secret bytes that it follows from, None: fresh ones.

        Raises :class:`Unsupported` for a key that it cannot use (:attr:`repeatable`).
        """

    @abstractmethod
    def event(self, parameters: Any) -> Event:
        """What one release of a sum of so clipped contributions, with this noise, costs."""
