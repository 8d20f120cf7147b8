"""Whether strangers' code may run on this machine: asked before it is taken, and by each child for itself."""

from __future__ import annotations

import time

from syft_ext.confinement.lockdown import Confinement, in_words
from syft_ext.confinement.probe import probe
from syft_ext.errors import Unconfined

__all__ = ["Gate"]

#: Seconds for which a machine that lacks something is not asked again.
_PATIENCE = 10.0


class Gate:
    """Args: ``permissive``: for development: strangers' code runs with what there is, and it is said so."""

    def __init__(self, *, permissive: bool = False) -> None:
        self.permissive = permissive
        self._found: Confinement | None = None
        self._at = 0.0

    def look(self) -> Confinement:
        """What there is. The first call takes a tenth of a second."""
        found = self._found
        # No lock: greenlets and threads call this, and to look twice does no harm.
        if found is None or (found.missing and time.monotonic() - self._at > _PATIENCE):
            found = self._found = probe()
            self._at = time.monotonic()
        return found

    def check(self) -> None:
        """Raise :class:`Unconfined`, naming what is missing, where strangers' code must not run."""
        if refusal := self.refusal():
            raise Unconfined(refusal, missing=", ".join(sorted(self.look().missing)))

    def refusal(self) -> str:
        """Why nothing of strangers runs here, and what would change it; "" where it may."""
        missing = self.look().missing
        if not missing or self.permissive:
            return ""
        return (
            f"this machine cannot confine strangers' code ({in_words(missing)}): no plans, sessions, environments "
            'or conversions run here until it can. For development only there is sandbox = "permissive"'
        )

    def warning(self) -> str:
        """What is to be said of a machine for development; "" of all others."""
        if not self.permissive:
            return ""
        missing = self.look().missing
        lacks = in_words(missing) if missing else "nothing is missing now"
        return (
            f"sandbox = permissive: strangers' code runs without what this machine lacks ({lacks}); "
            "for development only"
        )
