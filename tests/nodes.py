"""Nodes as processes, started as an operator would, but forked: see :mod:`tests.forkserver`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import IO, Any, cast

import demo.processes
from tests.forkserver import Forked

__all__ = ["NodeProcess"]


class NodeProcess(demo.processes.NodeProcess):
    """A node that is ready in a fraction of the CPU time; everything else as in the base class.

    Args:
        namespace: the network namespace that it is in, as a file.
    """

    def __init__(self, *arguments: Any, namespace: Path | None = None, **options: Any) -> None:
        self._namespace = namespace
        super().__init__(*arguments, **options)

    def _spawn(
        self, arguments: list[str], environment: dict[str, str], log: IO[bytes] | None
    ) -> subprocess.Popen[str]:
        return cast(subprocess.Popen[str], Forked(arguments, environment, log, self._namespace))
