"""What fires is tried again when it fails; a fault that passes is told in a line, another one whole."""

from __future__ import annotations

import errno
import logging

import pytest

from grid.concurrency.timers import Timers
from syft_ext.clock import ManualClock
from syft_ext.errors import Unavailable


@pytest.mark.parametrize(
    ("error", "said", "traced"),
    [
        (Unavailable("the node's disk is full"), "the node's disk is full", False),
        (OSError(errno.ENOSPC, "No space left"), "the node's disk is full", False),
        (ZeroDivisionError("a mistake"), "failed", True),
    ],
    ids=["a full database", "a full disk", "a mistake"],
)
def test_what_fails_is_tried_again_and_told(
    error: Exception, said: str, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    fired: list[str] = []
    errors = [error, error]

    def fire(key: str) -> None:
        fired.append(key)
        if errors:
            raise errors.pop()

    clock = ManualClock(100.0)
    timers = Timers(clock, fire)
    timers.at("outbox", 100.0)
    with caplog.at_level(logging.WARNING, "grid.concurrency.timers"):
        for _ in range(4):
            timers.run_due()
            clock.advance(1.0)
    assert fired == ["outbox"] * 3, "twice it failed, then it was done"
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert said in record.getMessage() and bool(record.exc_info) == traced
