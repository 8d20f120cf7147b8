"""``TensorSandbox``: a plan's flat tensors to the child and back.

Results are copied out of the shared memory before anyone looks at them: the child could still write to it. In a
chain of steps, as a training is one, what goes from one step to the next stays with the child.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from syft_ext.plans.checking.sizes import bind
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.sandbox.channel import RunStep, Slot, layout
from syft_ext.plans.sandbox.process import SandboxChild, SandboxProcess

__all__ = ["LoadedPlan", "TensorSandbox", "sandbox_for", "shared_sandbox"]

_SECONDS = 600.0
_PREPARED = 32


@dataclass(frozen=True, slots=True)
class LoadedPlan:
    """What the sandbox must know of a plan: its bytes, their digest, the structure, and what a run may cost."""

    data: bytes
    id: str
    document: Document
    limits: Limits


class TensorSandbox(SandboxProcess):
    """Runs plans on tensors. See :class:`SandboxProcess` for its arguments."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._prepared: dict[tuple[Any, ...], _Planned] = {}

    def run_flat(
        self, plan: LoadedPlan, flat: Sequence[torch.Tensor], seconds: float | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Flat inputs to flat outputs, both in plan order.

        Raises :class:`InvalidPlan` when the plan fails its check or crashes, :class:`DeadlineExceeded` when it
        takes longer than ``seconds`` (default: the sandbox's). The sandbox stays usable.
        """
        (results,) = self.run_chain(plan, [flat], seconds=seconds)
        return tuple(result for result in results if result is not None)

    def run_chain(
        self,
        plan: LoadedPlan,
        steps: Sequence[Sequence[torch.Tensor | int]],
        wanted: Sequence[int] | None = None,
        seconds: float | None = None,
    ) -> list[list[torch.Tensor | None]]:
        """One run after the other, in one message; a number among the inputs is a result of the step before.

        Args:
            wanted: which results of all steps but the last come back; the others are None. By default all. Of the
                last step all do.
            seconds: of each step; default: the sandbox's.

        Raises as :meth:`run_flat`.
        """
        key = plan.id if plan.limits == self.limits else f"{plan.id} {plan.limits}"
        runs = self._plan(plan, key, steps, wanted)
        with self._lock:
            child = self._send(plan.data, key, runs[-1].end if runs else 0, plan.limits)
            for planned, step in zip(runs, steps, strict=True):
                planned.fill(child, step)
            sent = [planned.step for planned in runs]
            self._run_steps(child, key, sent, self.seconds if seconds is None else seconds)
            return [planned.results(child) for planned in runs]

    def _plan(
        self,
        plan: LoadedPlan,
        key: str,
        steps: Sequence[Sequence[torch.Tensor | int]],
        wanted: Sequence[int] | None,
    ) -> list[_Planned]:
        """Where everything lies; the same as for the last single step of the same plan on such tensors."""
        described = [[_kind(each) for each in step] for step in steps]
        known = (key, *described[0]) if len(steps) == 1 else ()
        if known and (found := self._prepared.get(known)) is not None:
            return [found]
        every = range(len(plan.document.outputs))
        runs: list[_Planned] = []
        for number, kinds in enumerate(described):
            chosen = every if number == len(steps) - 1 or wanted is None else wanted
            runs.append(_Planned(plan, kinds, chosen, runs[-1] if runs else None))
        if known:
            if len(self._prepared) >= _PREPARED:
                self._prepared.clear()
            self._prepared[known] = runs[0]
        return runs


Kind = tuple[str, tuple[int, ...]] | int


def _kind(tensor: torch.Tensor | int) -> Kind:
    if isinstance(tensor, int):
        return tensor
    return dtype_name(tensor.dtype) or str(tensor.dtype), tuple(tensor.shape)


class _Planned:
    """One step: where its inputs and results lie, behind those of the step ``before``.

    Raises :class:`InvalidPlan` for inputs that do not fit the plan.
    """

    declared: list[tuple[str, list[int]]]
    end: int

    def __init__(
        self, plan: LoadedPlan, kinds: Sequence[Kind], wanted: Sequence[int], before: _Planned | None
    ) -> None:
        described: list[tuple[str, Sequence[int]]] = []
        for kind in kinds:
            if isinstance(kind, int):
                assert before is not None
                described.append(before.declared[kind])
            else:
                described.append(kind)
        binding = bind(plan.document, described)
        self.declared: list[tuple[str, Sequence[int]]] = [
            (o.dtype, list(eval_shape(o.shape, binding))) for o in plan.document.outputs
        ]
        slots, end = layout(
            [kind for kind in kinds if not isinstance(kind, int)], before.end if before else 0
        )
        following = iter(slots)
        self.end: int
        self._sources = [kind if isinstance(kind, int) else next(following) for kind in kinds]
        found, self.end = layout([self.declared[position] for position in wanted], end)
        places = dict(zip(wanted, found, strict=True))
        self._targets = [places.get(position) for position in range(len(self.declared))]
        self.step = RunStep(self._sources, self._targets)

    def fill(self, child: SandboxChild, inputs: Sequence[torch.Tensor | int]) -> None:
        """Copy the inputs to their places."""
        for source, tensor in zip(self._sources, inputs, strict=True):
            if isinstance(source, Slot):
                assert isinstance(tensor, torch.Tensor)
                child.arena.write(source, tensor.detach())

    def results(self, child: SandboxChild) -> list[torch.Tensor | None]:
        """The results that are wanted, in memory of their own."""
        return [None if slot is None else _copy(child, slot) for slot in self._targets]


def _copy(child: SandboxChild, slot: Slot) -> torch.Tensor:
    return child.arena.view(slot).clone()


_shared: tuple[int, TensorSandbox] | None = None
_lock = threading.Lock()


def _new_sandbox(limits: Limits | None = None) -> TensorSandbox:
    """A sandbox for plans that this process waits for: with all of its memory and as many threads as it has."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return TensorSandbox(limits, seconds=_SECONDS, memory_bytes=memory, threads=torch.get_num_threads())


_by_content: OrderedDict[tuple[int, str, Limits | None], TensorSandbox] = OrderedDict()
_MOST = 4
"""Of so many trainings the sandboxes are kept warm; others end when nothing uses their plans any more."""


def sandbox_for(digest: str, limits: Limits | None = None) -> TensorSandbox:
    """The sandbox of this process for plans of what has this digest, and of nothing else: what one may have done
    to it reaches nobody else's data. Started at the first use, and found warm by the next job of the same."""
    key = (os.getpid(), digest, limits)  # a fork has the sockets of its parent's, and must not use them
    with _lock:
        if key not in _by_content:
            _by_content[key] = _new_sandbox(limits)
        _by_content.move_to_end(key)
        while len(_by_content) > _MOST:
            _by_content.popitem(last=False)
        return _by_content[key]


def shared_sandbox() -> TensorSandbox:
    """The sandbox of this process for plans that were read without naming one; started at the first use, ended
    with the process."""
    global _shared
    with _lock:
        if (
            _shared is None or _shared[0] != os.getpid()
        ):  # a fork has the socket of its parent's, and must not use it
            _shared = os.getpid(), _new_sandbox()
            atexit.register(_end, *_shared)
        return _shared[1]


@atexit.register
def _end_all() -> None:
    for (process, _, _), sandbox in _by_content.items():
        _end(process, sandbox)


def _end(process: int, sandbox: TensorSandbox) -> None:
    if os.getpid() == process:
        sandbox.abandon()
