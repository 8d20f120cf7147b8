"""``SandboxProcess``: a warm child process in which plans of strangers are proved and run.

The checker bounds what a plan may cost, but kernels have had memory errors on hostile values. So the plan runs
where a crash, a leak or a hang ends nothing but that run: no network, no files, bounded memory and CPU time
(:mod:`syft_ext.confinement`), the tensors in shared memory (:mod:`syft_ext.plans.sandbox.channel`).
The child keeps torch and the plans loaded; it is replaced when it dies.

The parent needs no torch: it knows a plan's structure from its bytes, and tensors as raw bytes. That is what a
node's server process uses; :class:`~syft_ext.plans.sandbox.sandbox.PlanSandbox` adds tensors.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from syft_ext.confinement.child import CHILD_SOCKET, FOLDER
from syft_ext.confinement.nursery import NurseryChild
from syft_ext.errors import DeadlineExceeded, GridError, InvalidPlan, Unavailable, Unconfined
from syft_ext.plans.checking.sizes import bind
from syft_ext.plans.graph.document import Document, decode
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.graph.limits import Cost, Limits, refusal
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

__all__ = ["PlanExecutor", "Raw", "SandboxChild", "SandboxProcess", "as_numbers"]

Raw = tuple[str, Sequence[int], NDArray[np.uint8]]
"""A tensor as bytes: dtype ("f32"), shape, and its flat little-endian bytes."""

PlanExecutor = Literal["torch", "onnx"]
"""What runs plans: torch, or onnxruntime on models that are derived from them (for machines without torch)."""
_CHILDREN: dict[PlanExecutor, str] = {
    "torch": "syft_ext.plans.sandbox.child_main",
    "onnx": "syft_ext.plans.sandbox.onnx_child",
}
_START_SECONDS = 120.0
_DESCRIBED = 8


class SandboxProcess:
    """Proves and runs plans in a child process of their own; inputs and results are raw bytes.

    ``limits`` bounds every plan (checked in the child, before anything is allocated); ``seconds`` is the
    wall-clock and CPU time of one run; ``memory_bytes`` the address space of the child beyond what torch
    itself needs; ``threads`` torch's threads (more than one only helps on idle machines). Runs of one sandbox
    take turns. Works from plain threads and from gevent-patched processes.

    ``executor``: "torch", or "onnx" for onnxruntime (extra ``onnx``); nothing falls back to the other. What ONNX
    cannot say exactly is refused by name then (:mod:`syft_ext.plans.onnx`).

    The first run raises :class:`Unconfined` on a machine that lacks one of the child's protections; nothing has
    run then. ``permissive``: the child goes on without; for machines of developers only.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        seconds: float = 60.0,
        memory_bytes: int = 4 << 30,
        threads: int = 1,
        permissive: bool = False,
        executor: PlanExecutor = "torch",
    ) -> None:
        self.limits = limits or Limits()
        self.executor: PlanExecutor = executor
        self.seconds, self.memory_bytes, self.threads = seconds, memory_bytes, threads
        self.permissive = permissive
        self._lock = threading.Lock()
        self._child: SandboxChild | None = None
        self._closed = False
        self._described: dict[bytes, tuple[str, Document]] = {}
        self._child = self._spawn()

    def prove(self, plan: bytes) -> Document:
        """Load ``plan`` in the child, check what it costs and pass its self-test; return its structure.

        Raises :class:`InvalidPlan` when any of that fails.
        """
        document = decode(plan, self.limits.max_plan_bytes)
        with self._lock:
            child, key = self._ready(), blake3(plan).hexdigest()
            self._ask(child, LoadPlan(key, plan, as_numbers(self.limits), True), self.seconds)
            child.remember(key)
        return document

    def price(
        self, plan: bytes, inputs: Sequence[tuple[str, Sequence[int]]]
    ) -> tuple[Document, dict[str, int], Cost]:
        """Structure, sizes and cost of one run on flat inputs of these dtypes and shapes. Nothing is run.

        Raises :class:`InvalidPlan` when the inputs do not fit the plan, or the run would pass a limit.
        """
        _, document = self._describe(plan)
        sizes = bind(document, inputs)
        with self._lock:
            reply = self._ask(self._ready(), Price(plan, as_numbers(self.limits), sizes), self.seconds)
        assert isinstance(reply, Priced)
        return document, sizes, Cost(**reply.cost)

    def run_raw(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        """Run ``plan`` on flat inputs, in its order; the results likewise, in memory of their own.

        Raises :class:`InvalidPlan` when the plan fails its check or crashes, :class:`DeadlineExceeded` when it
        takes too long. The sandbox stays usable.
        """
        plan_id, document = self._describe(plan)
        binding = bind(document, [(dtype, shape) for dtype, shape, _ in inputs])
        declared = [(o.dtype, eval_shape(o.shape, binding)) for o in document.outputs]
        sources, end = layout([(dtype, shape) for dtype, shape, _ in inputs])
        targets, end = layout(declared, end)
        with self._lock:
            child = self._send(plan, plan_id, end)
            for slot, (_, _, raw) in zip(sources, inputs, strict=True):
                child.arena.raw(slot)[:] = raw
            self._run_steps(child, plan_id, [RunStep([*sources], [*targets])], self.seconds)
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
            binding = bind(document, [(dtype, shape) for dtype, shape, _ in complete])
            if [(o.dtype, list(eval_shape(o.shape, binding))) for o in document.outputs] != kinds:
                raise InvalidPlan("the plan gives other tensors than its state")
            own = [item for item in step if item is not None]
            slots, end = layout([(dtype, shape) for dtype, shape, _ in own], end)
            sources += list(zip(slots, own, strict=True))
            mine, before = iter(slots), iter(places[index % 2])
            inputs: list[Slot | int] = [next(before) if item is None else next(mine) for item in step]
            runs.append(RunStep(inputs, [*places[(index + 1) % 2]]))
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

    def _send(self, plan: bytes, key: str, end: int, limits: Limits | None = None) -> SandboxChild:
        """The child, with the plan loaded under ``key`` and ``end`` bytes of shared memory."""
        limits = limits or self.limits
        if end > limits.max_bytes:
            raise refusal("max_bytes", end, limits)
        child = self._ready()
        if key not in child.loaded:
            self._ask(child, LoadPlan(key, plan, as_numbers(limits)), self.seconds)
            child.remember(key)
        child.arena.grow(end)
        return child

    def _run_steps(self, child: SandboxChild, key: str, steps: list[RunStep], seconds: float) -> None:
        seconds *= len(steps)
        self._ask(child, Run(key, child.arena.size, steps, seconds * self.threads), seconds)

    @property
    def protections(self) -> tuple[str, ...]:
        """What the child is confined by: of ``namespaces``, ``rlimits``, ``landlock``, ``seccomp``."""
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

    def abandon(self) -> None:
        """End the child without waiting for what runs in it: nobody will want the results."""
        child = getattr(self, "_child", None)
        if child is not None and child.parent == os.getpid():  # in a fork it is not ours to end
            child.kill()

    def __del__(self) -> None:
        self.abandon()

    # --- the child -----------------------------------------------------------------------------------------

    def _spawn(self) -> SandboxChild:
        return SandboxChild(
            self.memory_bytes, self.threads, permissive=self.permissive, executor=self.executor
        )

    def _ready(self) -> SandboxChild:
        if self._closed:
            raise Unavailable("the sandbox is closed")
        if self._child is not None and self._child.gone():
            self._discard()
        if self._child is None:
            self._child = self._spawn()
        child = self._child
        if child.protections is None:
            reply = self._converse(child, None, _START_SECONDS)
            if reply is None and not child.pid:  # its nursery died with the order in hand; another is as good
                self._discard()
                child = self._child = self._spawn()
                reply = self._converse(child, None, _START_SECONDS)
            if not isinstance(reply, Ready):
                self._discard()
                if isinstance(reply, Failed) and reply.code == Unconfined.code:
                    raise Unconfined(f"the plan sandbox refuses to work: {reply.detail}")
                detail = reply.detail if isinstance(reply, Failed) else "it ended at once"
                raise Unavailable(f"the plan sandbox did not start: {detail}")
            child.protections = reply.protections
        return child

    def _ask(self, child: SandboxChild, message: LoadPlan | Run | Price, seconds: float) -> Done | Priced:
        reply = self._converse(child, message, seconds)
        if isinstance(reply, Failed):
            raise InvalidPlan(reply.detail, **reply.extra)
        if not isinstance(reply, Priced if isinstance(message, Price) else Done):
            self._discard()
            raise InvalidPlan("the plan crashed its sandbox (a fault in a kernel, or too much memory)")
        assert isinstance(reply, Done | Priced)
        return reply

    def _converse(self, child: SandboxChild, message: LoadPlan | Run | Price | None, seconds: float) -> Any:
        """Send ``message`` and read the reply; None if the child died."""
        deadline = time.monotonic() + seconds
        try:
            child.socket.settimeout(max(seconds, 0.001))
            if not child.born():
                return None
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


class SandboxChild(NurseryChild):
    """The child with its shared memory, and which plans it keeps."""

    _KEPT_PLANS = 32  # as many as the child keeps

    def __init__(
        self, memory_bytes: int, threads: int, *, permissive: bool, executor: PlanExecutor = "torch"
    ) -> None:
        self.arena = Arena.create()
        self.protections: list[str] | None = None
        self.loaded: dict[str, None] = {}
        mode = "permissive" if permissive else "required"
        super().__init__(
            _CHILDREN[executor],
            [str(CHILD_SOCKET), str(CHILD_SOCKET + 1), FOLDER, str(memory_bytes), str(threads), mode],
            descriptors=[self.arena.fd],
        )

    def remember(self, key: str) -> None:
        """Keep the same plans in mind as the child: the latest ones, by the time of loading."""
        self.loaded[key] = None
        while len(self.loaded) > self._KEPT_PLANS:
            del self.loaded[next(iter(self.loaded))]

    def kill(self) -> None:
        super().kill()
        self.arena.close()


def as_numbers(limits: Limits) -> dict[str, int]:
    """The limits as the channel carries them."""
    return {name: int(value) for name, value in asdict(limits).items()}
