"""What every accountant does: it composes events, and says what they cost together.

Every implementation passes ``tests/privacy/accountants.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from grid.privacy.accounting.events import Event

__all__ = ["Accountant"]


class Accountant(ABC):
    """Begins with nothing spent. What it says never grows with delta, and never falls with another event."""

    @abstractmethod
    def compose(self, event: Event, count: int = 1) -> None:
        """Take in ``count`` (≥ 0) such releases, each chosen in the light of those before (adaptive composition).

        Raises :class:`Unsupported` for an event that it has no bound for.
        """

    @abstractmethod
    def epsilon(self, delta: float) -> float:
        """The least ε that it can prove, so that all together are (ε, δ)-differentially private; may be infinite.

        Raises :class:`BadRequest` unless 0 ≤ ``delta`` < 1.
        """
