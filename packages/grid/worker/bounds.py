"""A Worker's bounds, as its settings have them: 0 stands there for "none"."""

from __future__ import annotations

from grid.config import WorkerSettings
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.messages.worker_bounds import check_bounds

__all__ = ["bounds_of"]


def bounds_of(settings: WorkerSettings) -> WorkerBounds:
    """What leaves this Worker at most. Raises :class:`InvalidConfig` for bounds that bound nothing."""
    return check_bounds(
        WorkerBounds(
            clip_norm=settings.clip_norm or None,
            noise_multiplier=settings.noise_multiplier or None,
            min_rows=settings.min_rows,
            max_samples=settings.max_samples or None,
            max_reports=settings.max_reports or None,
        )
    )
