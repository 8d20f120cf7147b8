"""Where a node writes down who did what: the interface, which the audit log fulfils (:mod:`grid.audit.log`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from grid.node.principal import Principal

__all__ = ["Journal"]


class Journal(Protocol):
    """What a node needs of the log behind it."""

    def record(
        self,
        actor: Principal,
        operation: str,
        objects: Sequence[str] = (),
        grants: Sequence[str] = (),
        outcome: str = "ok",
        detail: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        """Return when the entry is kept; raise :class:`InternalError` when it could be kept nowhere.

        Args:
            actor: who did it, as the node established it.
            operation: its name; ``outcome``: "ok" or the code of the error.
            objects, grants: ids of what was touched, and by which grants.
            detail: more of it; must hold no secrets and no data.
        """

    def start(self) -> None:
        """Take up what had to wait; the database is up to date."""

    def close(self) -> None:
        """Let go of files; nothing is recorded afterwards."""
