"""Where plans that wait for a decision are checked, and approved ones run: a sandboxed process of its own.

The server process stays without torch: it reads a plan's structure and moves raw bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.limits import Cost

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw, SandboxProcess

__all__ = ["ReviewSandbox"]

RUN_SECONDS = 120.0
KEPT_BYTES = 64 << 20
"""A run with more input than this ends its process: the memory that the two share stays as large as it was."""


class ReviewSandbox:
    """One warm child process; it starts with the first plan."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: SandboxProcess | None = None

    def prove(self, plan: bytes) -> Document:
        """The plan's structure, if it passes its checks and its self-test. Raises :class:`InvalidPlan`."""
        return self._process().prove(plan)

    def price(
        self, plan: bytes, inputs: Sequence[tuple[str, Sequence[int]]]
    ) -> tuple[Document, dict[str, int], Cost]:
        """Structure, sizes and cost of a run. Raises :class:`InvalidPlan` where the inputs do not fit."""
        return self._process().price(plan, inputs)

    def run(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        """The results. Raises :class:`InvalidPlan`, :class:`DeadlineExceeded`, :class:`Unavailable`."""
        process = self._process()
        try:
            return process.run_raw(plan, inputs)
        finally:
            if sum(raw.nbytes for _, _, raw in inputs) > KEPT_BYTES:
                self.close()

    def _process(self) -> SandboxProcess:
        from syft_ext.plans.sandbox.process import SandboxProcess

        with self._lock:
            if self._child is None:
                self._child = SandboxProcess(seconds=RUN_SECONDS)
            return self._child

    def close(self) -> None:
        """End the process. A plan that runs in it fails."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.close()
