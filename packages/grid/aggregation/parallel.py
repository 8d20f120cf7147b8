"""Element-wise work on all processors: numpy lets go of the interpreter lock while it computes."""

from __future__ import annotations

import os
from collections.abc import Callable

from grid.concurrency.offload import native_lock, start_thread

__all__ = ["over_elements"]

WORTH_A_THREAD = 1 << 19
"""Elements for which starting a thread costs little beside the work."""


def over_elements(work: Callable[[int, int], None], count: int) -> None:
    """Call ``work(start, stop)`` for parts that make up 0 … ``count``, at once where that pays.

    ``work`` must be element-wise: the result must not depend on where the parts begin. Real threads are
    used (under gevent too), so it must not touch anything that waits.
    """
    parts = max(1, min(len(os.sched_getaffinity(0)), count // WORTH_A_THREAD, 4))
    bounds = [count * i // parts for i in range(parts + 1)]
    errors: list[BaseException] = []
    done = []
    for start, stop in zip(bounds[1:-1], bounds[2:], strict=True):
        finished = native_lock()
        finished.acquire()
        done.append(finished)

        def run(start: int = start, stop: int = stop, finished: object = finished) -> None:
            try:
                work(start, stop)
            except BaseException as error:
                errors.append(error)
            finally:
                finished.release()  # type: ignore[attr-defined]

        start_thread(run)
    try:
        work(bounds[0], bounds[1])
    finally:
        for finished in done:
            finished.acquire()
    if errors:
        raise errors[0]
