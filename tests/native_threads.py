"""A pytest plugin for scripts/coverage, which sees the threads of :mod:`grid.concurrency.offload` by it.

These begin without :mod:`threading`, through which whoever measures hears of new threads.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any

__all__: list[str] = []

_start = _thread.start_new_thread


def _start_traced(function: Callable[..., Any], args: tuple[Any, ...], *rest: Any) -> int:
    def run(*given: Any, **named: Any) -> None:
        sys.settrace(threading.gettrace())
        function(*given, **named)

    return _start(run, args, *rest)


# What threading itself starts it has taken hold of before, and tells by itself.
_thread.start_new_thread = _start_traced
