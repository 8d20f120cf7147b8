"""How long a database is waited for while its node works, and how long once it stops."""

from __future__ import annotations

__all__ = ["HURRIED", "ServerPatience"]

HURRIED = 5.0
"""Seconds that an answer may take once the node stops: whoever stopped it waits."""


class ServerPatience:
    """How much patience all connections of a database have; shared by them."""

    def __init__(self) -> None:
        self._hurried = self._mute = False

    def hurry(self) -> None:
        """Have less of it from now on, also where somebody waits already; none once the server was mute."""
        self._hurried = True

    def relax(self) -> None:
        """Have as much as at first."""
        self._hurried = self._mute = False

    def missed(self) -> None:
        """An answer did not come in time."""
        self._mute = self._hurried

    @property
    def given_up(self) -> bool:
        """Whether nothing more is asked of the server: it was mute, and there is no time."""
        return self._mute

    def limit(self, patience: float) -> float:
        """Seconds for an answer, of ``patience`` usually."""
        if self._mute:
            return 0.0
        return min(patience, HURRIED) if self._hurried else patience
