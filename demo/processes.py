"""Nodes as processes of their own, started by the ``grid`` command as an operator would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

__all__ = ["NodeProcess"]


class NodeProcess:
    """One running node.

    Args:
        kind: "network", "domain" or "worker".
        home: the directory that keeps the node's state; starting again with it is a restart.
        arguments: further flags of ``grid <kind> start``.
        environment: further environment variables (the first owner's e-mail and password, say).
        log_file: standard error goes there, as an operator's would, and not line by line into this process.

    Attributes:
        url: where it serves, from the ``ready`` line; empty for a Worker that serves nothing.
        log: the last lines that it wrote to standard error; none if they went to a file.
    """

    def __init__(
        self,
        kind: str,
        home: Path,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str] | None = None,
        log_file: Path | None = None,
        timeout: float = 240.0,
    ) -> None:
        self.kind, self.home = kind, home
        self.log: deque[str] = deque(maxlen=400)
        self.lines: list[str] = []
        self._changed = threading.Condition()
        with (log_file or Path(os.devnull)).open("ab") as log:
            self.process = self._spawn(
                [kind, "start", "--home", str(home), *arguments],
                {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
                None if log_file is None else log,
            )
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.url = self._wait_until_ready(timeout)

    def _spawn(
        self, arguments: list[str], environment: dict[str, str], log: IO[bytes] | None
    ) -> subprocess.Popen[str]:
        """``grid *arguments``, its standard output (and error, without a ``log``) piped to here."""
        return subprocess.Popen(
            [sys.executable, "-m", "apps.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=log or subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self.log.append(line.rstrip("\n"))

    def _wait_until_ready(self, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self.lines:
                    if line.startswith("ready"):
                        return line.removeprefix("ready").strip()
                if self.process.poll() is not None or time.monotonic() > deadline:
                    break
                self._changed.wait(0.2)
        self.kill()
        raise RuntimeError(f"{self.kind} did not become ready:\n" + "\n".join(self.log))

    def stop(self, timeout: float = 15.0) -> int:
        """SIGTERM, then wait for a clean end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._close()

    def kill(self) -> int:
        """SIGKILL: what a power cut does to a process."""
        if self.process.poll() is None:
            self.process.kill()
        return self._close()

    def _close(self) -> int:
        status = self.process.wait()
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return status

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
