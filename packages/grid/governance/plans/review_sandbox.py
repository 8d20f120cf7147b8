"""Where plans that wait for a decision are checked, and approved ones run: the process of whoever sent them.

The server process stays without torch: it reads a plan's structure and moves raw bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grid.node.plan_processes import PlanProcesses
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.limits import Cost

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["ReviewSandbox"]

KEPT_BYTES = 64 << 20
"""A run with more input than this ends its process: the memory that the two share stays as large as it was."""


class ReviewSandbox:
    """Plans of the user ``user_id``, in ``processes``."""

    def __init__(self, processes: PlanProcesses, user_id: str) -> None:
        self._processes, self._user_id = processes, user_id

    def prove(self, plan: bytes) -> Document:
        """The plan's structure, if it passes its checks and its self-test. Raises :class:`InvalidPlan`."""
        with self._processes.of(self._user_id) as process:
            return process.prove(plan)

    def price(
        self, plan: bytes, inputs: Sequence[tuple[str, Sequence[int]]]
    ) -> tuple[Document, dict[str, int], Cost]:
        """Structure, sizes and cost of a run. Raises :class:`InvalidPlan` where the inputs do not fit."""
        with self._processes.of(self._user_id) as process:
            return process.price(plan, inputs)

    def run(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        """The results. Raises :class:`InvalidPlan`, :class:`DeadlineExceeded`, :class:`Unavailable`."""
        large = sum(raw.nbytes for _, _, raw in inputs) > KEPT_BYTES
        with self._processes.of(self._user_id, retire=large) as process:
            return process.run_raw(plan, inputs)
