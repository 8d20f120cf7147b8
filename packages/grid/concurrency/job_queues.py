"""Job queues by the scheme of their URL: Grid's own, and those of installed packages."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from grid.concurrency import local_jobs
from grid.concurrency.jobs import JobQueue
from syft_ext.clock import Clock
from syft_ext.errors import InvalidConfig
from syft_ext.registry import Registry

__all__ = ["GROUP", "QueueOpener", "open_jobs"]

GROUP = "grid.job_queues"


class QueueOpener(Protocol):
    """What an entry point of the group refers to; its name is the scheme."""

    def __call__(self, url: SplitResult, clock: Clock) -> JobQueue:
        """The queue that a URL of this scheme names, not started.

        Raises :class:`InvalidConfig` for a URL that names none, :class:`Unavailable` if it cannot be reached.
        """


_OPENERS: Registry[QueueOpener] = Registry(
    "job queue", GROUP, {"local": local_jobs.open_url}, make=lambda opener: opener
)


def open_jobs(url: str, clock: Clock) -> JobQueue:
    """The queue at ``url``, not started; raises what its opener raises, and :class:`InvalidConfig` for an unknown
    scheme.
    """
    try:
        parts = urlsplit(url)
        opener = _OPENERS.find(parts.scheme)
    except (ValueError, InvalidConfig) as error:
        raise InvalidConfig(f"job_queue: {error}", field="job_queue") from error
    return opener(parts, clock)
