"""``SandboxProcess``: a warm child process in which plans of strangers are proved and run.

The checker bounds what a plan may cost, but kernels have had memory errors on hostile values. So the plan runs
where a crash, a leak or a hang ends nothing but that run: no network, no files, bounded memory and CPU time
(:mod:`syft_ext.plans.sandbox.lockdown`), the tensors in shared memory (:mod:`syft_ext.plans.sandbox.channel`).
The child keeps torch and the plans loaded; it is replaced when it dies.

The parent needs no torch: it knows a plan's structure from its bytes, and tensors as raw bytes. That is what a
node's server process uses; :class:`~syft_ext.plans.sandbox.sandbox.PlanSandbox` adds tensors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from syft_ext.errors import DeadlineExceeded, GridError, InvalidPlan, Unavailable
from syft_ext.plans.graph.document import Document, decode
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.graph.limits import Cost, Limits
from syft_ext.plans.sandbox.channel import (
    Arena,
    Done,
    Failed,
    LoadPlan,
    Price,
    Priced,
    Ready,
    Run,
    RunStep,
    Slot,
    layout,
    receive,
    send,
)
from syft_ext.plans.sandbox.child import CHILD_SOCKET, FOLDER, ChildProcess

__all__ = ["Raw", "SandboxProcess"]

Raw = tuple[str, Sequence[int], NDArray[np.uint8]]
"""A tensor as bytes: dtype ("f32"), shape, and its flat little-endian bytes."""

_START_SECONDS = 120.0
_DESCRIBED = 8


class SandboxProcess:
    """Proves and runs plans in a child process of their own; inputs and results are raw bytes.

    ``limits`` bounds every plan (checked in the child, before anything is allocated); ``seconds`` is the
    wall-clock and CPU time of one run; ``memory_bytes`` the address space of the child beyond what torch
    itself needs; ``threads`` torch's threads (more than one only helps on idle machines). Runs of one sandbox
    take turns. Works from plain threads and from gevent-patched processes.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        seconds: float = 60.0,
        memory_bytes: int = 4 << 30,
        threads: int = 1,
    ) -> None:
        self.limits = limits or Limits()
        self.seconds, self.memory_bytes, self.threads = seconds, memory_bytes, threads
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False
        self._described: dict[bytes, tuple[str, Document]] = {}
        self._child = self._spawn()

    def prove(self, plan: bytes) -> Document:
        """Load ``plan`` in the child, check what it costs and pass its self-test; return its structure.

        Raises :class:`InvalidPlan` when any of that fails.
        """
        document = decode(plan, self.limits.max_plan_bytes)
        with self._lock:
            child = self._ready()
            self._ask(child, LoadPlan(plan, self._limits(), True), self.seconds)
            child.remember(blake3(plan).hexdigest())
        return document

    def price(
        self, plan: bytes, inputs: Sequence[tuple[str, Sequence[int]]]
    ) -> tuple[Document, dict[str, int], Cost]:
        """Structure, sizes and cost of one run on flat inputs of these dtypes and shapes. Nothing is run.

        Raises :class:`InvalidPlan` when the inputs do not fit the plan, or the run would pass a limit.
        """
        _, document = self._describe(plan)
        nothing = np.empty(0, np.uint8)
        sizes = _bind(document, [(dtype, shape, nothing) for dtype, shape in inputs])
        with self._lock:
            reply = self._ask(self._ready(), Price(plan, self._limits(), sizes), self.seconds)
        assert isinstance(reply, Priced)
        return document, sizes, Cost(**reply.cost)

    def run_raw(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        """Run ``plan`` on flat inputs, in its order; the results likewise, in memory of their own.

        Raises :class:`InvalidPlan` when the plan fails its check or crashes, :class:`DeadlineExceeded` when it
        takes too long. The sandbox stays usable.
        """
        plan_id, document = self._describe(plan)
        binding = _bind(document, inputs)
        declared = [(o.dtype, eval_shape(o.shape, binding)) for o in document.outputs]
        sources, end = layout([(dtype, shape) for dtype, shape, _ in inputs])
        targets, end = layout(declared, end)
        with self._lock:
            child = self._send(plan, plan_id, end)
            for slot, (_, _, raw) in zip(sources, inputs, strict=True):
                child.arena.raw(slot)[:] = raw
            self._run(child, plan_id, sources, targets, self.seconds)
            # Copied before anyone looks at them: the child could still write to the shared memory.
            return [(slot.dtype, tuple(slot.shape), child.arena.raw(slot).copy()) for slot in targets]

    def fold(
        self, plan: bytes, state: Sequence[Raw], steps: Sequence[Sequence[Raw | None]], *, reuse: bool = False
    ) -> list[Raw]:
        """Run ``plan`` once for each of ``steps``; the results of one run are the state of the next.

        Args:
            state: the tensors that the first run has where its inputs are None, in this order.
            steps: flat inputs of each run, with None for the state.
            reuse: the results may be written over ``state``: fresh memory costs more than the copy.

        Returns the last results. They stay with the child until then: a step costs one copy of its own
        inputs. Raises like :meth:`run_raw`, and :class:`InvalidPlan` when the results cannot be a state.
        """
        plan_id, document = self._describe(plan)
        kinds = [(dtype, list(shape)) for dtype, shape, _ in state]
        # Two places for the state, in turn: a result may be a view of an input.
        places: list[list[Slot]] = []
        end, runs, sources = 0, [], []
        for _ in range(2):
            slots, end = layout(kinds, end)
            places.append(slots)
        for index, step in enumerate(steps):
            current = iter(state)
            complete = [next(current) if item is None else item for item in step]
            binding = _bind(document, complete)
            if [(o.dtype, list(eval_shape(o.shape, binding))) for o in document.outputs] != kinds:
                raise InvalidPlan("the plan gives other tensors than its state")
            own = [item for item in step if item is not None]
            slots, end = layout([(dtype, shape) for dtype, shape, _ in own], end)
            sources += list(zip(slots, own, strict=True))
            mine, before = iter(slots), iter(places[index % 2])
            inputs = [next(before) if item is None else next(mine) for item in step]
            runs.append(RunStep(inputs, places[(index + 1) % 2]))
        sources += list(zip(places[0], state, strict=True))
        with self._lock:
            child = self._send(plan, plan_id, end)
            for slot, (_, _, raw) in sources:
                child.arena.raw(slot)[:] = raw
            self._run_steps(child, plan_id, runs, self.seconds)
            last = places[len(runs) % 2]
            rooms = [raw if reuse else np.empty_like(raw) for _, _, raw in state]
            for slot, room in zip(last, rooms, strict=True):
                room[:] = child.arena.raw(slot)
            return [(slot.dtype, tuple(slot.shape), room) for slot, room in zip(last, rooms, strict=True)]

    def _describe(self, plan: bytes) -> tuple[str, Document]:
        """Id and structure of a plan, kept for the latest ones: a plan that averages runs for every report."""
        found = self._described.get(plan)
        if found is None:
            found = blake3(plan).hexdigest(), decode(plan, self.limits.max_plan_bytes)
            with self._lock:
                self._described[plan] = found
                while len(self._described) > _DESCRIBED:
                    del self._described[next(iter(self._described))]
        return found

    def _send(self, plan: bytes, plan_id: str, end: int) -> _Child:
        """The child, with the plan loaded and ``end`` bytes of shared memory."""
        if end > self.limits.max_bytes:
            raise InvalidPlan(f"{end} bytes of inputs and results", limit="max_bytes")
        child = self._ready()
        if plan_id not in child.loaded:
            self._ask(child, LoadPlan(plan, self._limits()), self.seconds)
            child.remember(plan_id)
        child.arena.grow(end)
        return child

    def _run(
        self, child: _Child, plan_id: str, sources: list[Slot], targets: list[Slot], seconds: float
    ) -> None:
        self._run_steps(child, plan_id, [RunStep(sources, targets)], seconds)

    def _run_steps(self, child: _Child, plan_id: str, steps: list[RunStep], seconds: float) -> None:
        seconds *= len(steps)
        self._ask(child, Run(plan_id, child.arena.size, steps, seconds * self.threads), seconds)

    def _limits(self) -> dict[str, int]:
        return {name: int(value) for name, value in asdict(self.limits).items()}

    @property
    def protections(self) -> tuple[str, ...]:
        """What the child is confined by: of ``network``, ``rlimits``, ``landlock``, ``seccomp``."""
        with self._lock:
            return tuple(self._ready().protections or ())

    @property
    def pid(self) -> int:
        """Process id of the child that serves now."""
        with self._lock:
            return self._ready().pid

    def close(self) -> None:
        """End the child. Idempotent."""
        with self._lock:
            self._closed = True
            self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        child = getattr(self, "_child", None)
        if child is not None:
            child.kill()

    # --- the child -----------------------------------------------------------------------------------------

    def _spawn(self) -> _Child:
        return _Child(self.memory_bytes, self.threads)

    def _ready(self) -> _Child:
        if self._closed:
            raise Unavailable("the sandbox is closed")
        if self._child is not None and self._child.gone():
            self._discard()
        if self._child is None:
            self._child = self._spawn()
        child = self._child
        if child.protections is None:
            reply = self._converse(child, None, _START_SECONDS)
            if not isinstance(reply, Ready):
                self._discard()
                detail = reply.detail if isinstance(reply, Failed) else "it ended at once"
                raise Unavailable(f"the plan sandbox did not start: {detail}")
            child.protections = reply.protections
        return child

    def _ask(self, child: _Child, message: LoadPlan | Run | Price, seconds: float) -> Done | Priced:
        reply = self._converse(child, message, seconds)
        if isinstance(reply, Failed):
            raise InvalidPlan(reply.detail, **reply.extra)
        if not isinstance(reply, Priced if isinstance(message, Price) else Done):
            self._discard()
            raise InvalidPlan("the plan crashed its sandbox (a fault in a kernel, or too much memory)")
        assert isinstance(reply, Done | Priced)
        return reply

    def _converse(self, child: _Child, message: LoadPlan | Run | Price | None, seconds: float) -> Any:
        """Send ``message`` and read the reply; None if the child died."""
        deadline = time.monotonic() + seconds
        try:
            child.socket.settimeout(max(seconds, 0.001))
            if message is not None:
                send(child.socket, message)
            child.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            return receive(child.socket)
        except TimeoutError as error:
            self._discard()
            raise DeadlineExceeded(f"the plan ran longer than {seconds:g} s", seconds=seconds) from error
        except OSError:
            return None
        except GridError:
            self._discard()
            raise

    def _discard(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class _Child(ChildProcess):
    """The child with its shared memory, and which plans it keeps."""

    _KEPT_PLANS = 32  # as many as the child keeps

    def __init__(self, memory_bytes: int, threads: int) -> None:
        self.arena = Arena.create()
        self.protections: list[str] | None = None
        self.loaded: dict[str, None] = {}
        super().__init__(
            "syft_ext.plans.sandbox.child_main",
            [str(CHILD_SOCKET), str(CHILD_SOCKET + 1), FOLDER, str(memory_bytes), str(threads)],
            descriptors=[self.arena.fd],
            threads=threads,
        )

    def remember(self, plan_id: str) -> None:
        """Keep the same plans in mind as the child: the latest ones, by the time of loading."""
        self.loaded[plan_id] = None
        while len(self.loaded) > self._KEPT_PLANS:
            del self.loaded[next(iter(self.loaded))]

    def kill(self) -> None:
        super().kill()
        self.arena.close()


def _bind(document: Document, inputs: Sequence[Raw]) -> dict[str, int]:
    """Symbol -> size, from the inputs' shapes; the child checks everything again on the tensors."""
    if len(inputs) != len(document.inputs):
        raise InvalidPlan(f"the plan takes {len(document.inputs)} tensors, {len(inputs)} were given")
    binding: dict[str, int] = {}
    for item, (dtype, shape, _) in zip(document.inputs, inputs, strict=True):
        if item.dtype != dtype or len(item.shape) != len(shape):
            raise InvalidPlan(f"argument {item.name}: the plan takes another type of tensor")
        for expr, size in zip(item.shape, shape, strict=True):
            if type(expr) is list and expr[0] == "sym":
                binding.setdefault(expr[1], size)
    for symbol, (low, high) in document.symbols.items():
        if symbol not in binding:
            raise InvalidPlan(f"no input has the symbol {symbol} as a size")
        if not low <= binding[symbol] <= high:
            raise InvalidPlan(f"{symbol} = {binding[symbol]} is outside [{low}, {high}]")
    for item, (_, shape, _) in zip(document.inputs, inputs, strict=True):
        if tuple(eval_shape(item.shape, binding)) != tuple(shape):
            raise InvalidPlan(f"argument {item.name}: the plan takes another shape")
    return binding
