"""What accountants refuse, whoever they are: a wrong number must not become a small epsilon."""

from __future__ import annotations

import math

from grid.privacy.accounting.events import Event, GaussianEvent, PureEvent
from syft_ext.errors import BadRequest

__all__ = ["check_delta", "check_release"]


def check_release(event: Event, count: int) -> None:
    """Raise :class:`BadRequest` for an event that cannot be, or that cannot happen so often."""
    if type(count) is not int or count < 0:
        raise BadRequest("releases are counted in whole numbers from 0", field="count")
    if isinstance(event, GaussianEvent) and not 0 < event.noise_multiplier < math.inf:
        raise BadRequest("a noise multiplier is a positive number", field="noise_multiplier")
    if isinstance(event, PureEvent) and not 0 <= event.epsilon < math.inf:
        raise BadRequest("an epsilon is a number from 0", field="epsilon")


def check_delta(delta: float) -> None:
    """Raise :class:`BadRequest` unless 0 ≤ delta < 1."""
    if not 0 <= delta < 1:
        raise BadRequest("delta is a number from 0 to less than 1", field="delta")
