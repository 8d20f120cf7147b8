"""What every mechanism offers: how a contribution is bounded before, and what noise is added to the sum after.

Every implementation passes ``tests/privacy/mechanisms.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from grid.extensions.parameters import Parameters
from grid.privacy.accounting.events import Event
from syft_ext.privacy.grid import Parts

__all__ = ["Mechanism", "Noise", "Parameters", "Parts"]


class Noise(Protocol):
    """A source of noise: independent on every number that it is added to."""

    def add(self, values: NDArray[Any]) -> None:
        """Add noise to a flat array of the mechanism's ``numbers``, in place."""


class Mechanism(ABC):
    """Clipping of a contribution, noise for the sum, and what a release of that costs.

    A contribution comes as parts: flat arrays of its numbers. Sums, and what noise is added to, are in
    ``numbers``; :meth:`restore` says what these stand for. What leaves is a function of that alone.

    Attributes:
        name: what it is found by.
        parameters: the type of its parameters.
        numbers: what is summed: "int64", on which sums and noise are exact, or "float64".
        sensitivity: which size of a contribution the noise is made for: its "l2" norm over all numbers, or each
            "number" by itself (a contribution that changes several costs as often).
        exact: clipping holds, and the distribution is the stated one, to the last bit; else rounding of
            floating-point numbers can tell what the noise was to hide, and ε holds for real numbers only.
        repeatable: noise can follow from a key, so that who asks the same again gets the same noise.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    numbers: ClassVar[Literal["float64", "int64"]]
    sensitivity: ClassVar[Literal["l2", "number"]]
    exact: ClassVar[bool]
    repeatable: ClassVar[bool] = False

    def check(self, parameters: Any) -> None:
        """Raise :class:`InvalidConfig`, naming the field, for parameters that it cannot keep its word with."""
        return

    @abstractmethod
    def bound(self, parameters: Any) -> float:
        """The sensitivity, in ``numbers``: :meth:`clip` leaves no more of a contribution."""

    def measure(self, parts: Parts, parameters: Any) -> Any:
        """What :meth:`clip` has to know of the whole contribution.

        Raises :class:`InvalidTensors` for one that is not finite, if that matters.
        """
        return None

    @abstractmethod
    def clip(self, part: NDArray[Any], measured: Any, parameters: Any) -> NDArray[Any]:
        """A part of the contribution, bounded, in ``numbers``; ``part`` itself may be changed and returned."""

    def restore(self, values: NDArray[Any], parameters: Any) -> NDArray[Any]:
        """What sums and noise in ``numbers`` stand for, in float64; ``values`` may be returned."""
        found: NDArray[Any] = values.astype(np.float64, copy=False)
        return found

    @abstractmethod
    def noise(self, parameters: Any, key: bytes | None = None) -> Noise:
        """Noise for one release; ``key``: 32 secret bytes that it follows from, None: fresh ones.

        Raises :class:`Unsupported` for a key that it cannot use (:attr:`repeatable`).
        """

    @abstractmethod
    def event(self, parameters: Any) -> Event:
        """What one release of a sum of so clipped contributions, with this noise, costs each of them, against
        its being nothing."""
