"""The confidential worker as a child process of the Domain: one process, one job.

This is how it runs where no enclave is at hand, with simulated evidence; an enclave's launcher hands its socket to
:class:`~grid.confidential.serving.WorkerServing` just the same. The child gets one socket for standard input and
output, and an environment without anything of the node's: whatever it says elsewhere nobody hears.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from syft_ext.confidential.frames import FramePipe, FromOperator, FromWorker, operator_pipe

__all__ = ["ChildWorkers", "Workers"]

_GRACE = 5.0


class Workers(Protocol):
    """Where confidential workers run."""

    def running(self, longest: float) -> AbstractContextManager[FramePipe[FromOperator, FromWorker]]:
        """The pipe of a worker that was just started; it has ended when the block is left.

        Args:
            longest: seconds after which it is ended.
        """


class ChildWorkers:
    """Starts ``python -m MODULE --stdio`` for each job.

    Args:
        module: the program.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    @contextmanager
    def running(self, longest: float) -> Iterator[FramePipe[FromOperator, FromWorker]]:
        """As :meth:`Workers.running`."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-P", "-m", self._module, "--stdio"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8"},
                    cwd="/",
                )
            alarm = threading.Timer(longest, process.kill)
            alarm.daemon = True
            alarm.start()
            try:
                yield operator_pipe(ours)
            finally:
                alarm.cancel()
                with suppress(OSError):
                    ours.shutdown(socket.SHUT_RDWR)
                self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        """It ends by itself once its pipe is gone."""
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
