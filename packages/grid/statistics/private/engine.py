"""What makes the noise of a private query: Grid itself, python-dp, or OpenDP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from grid.statistics.guarded.vectors import Vector
from grid.statistics.private.questions import PrivateQuestion
from syft_ext.messages.private_queries import QueryPart

__all__ = ["Engine", "parts_of"]

Whole = NDArray[np.int64]
_PARTS = {"count": 1, "sum": 1, "mean": 2, "variance": 3, "quantile": 1}


def parts_of(question: PrivateQuestion) -> list[Fraction]:
    """The ε of each noisy number that an answer needs: a share each of that of the question."""
    many = _PARTS[question.kind]
    return [question.epsilon / many] * many


class Engine(ABC):
    """Attributes:
    name: as callers choose it. kinds: what it answers.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[str]]

    def check(self) -> None:
        """Raise :class:`Unavailable`, naming the extra, where its library is not installed."""
        return

    @abstractmethod
    def vectors(self, question: PrivateQuestion) -> list[Vector]:
        """What is to be read of the rows."""

    @abstractmethod
    def draw(self, question: PrivateQuestion, exact: Sequence[Whole], key: bytes) -> Whole:
        """The noisy numbers, as 64-bit words that the database keeps; ``key`` is that of this release."""

    @abstractmethod
    def parts(self, question: PrivateQuestion, numbers: Whole) -> list[QueryPart]:
        """What these words stand for."""
