"""``PlanSandbox``: a warm child process in which plans of strangers run.

The checker bounds what a plan may cost, but kernels have had memory errors on hostile values. So the plan runs
where a crash, a leak or a hang ends nothing but that run: no network, no files, bounded memory and CPU time
(:mod:`syft_ext.plans.lockdown`), the tensors in shared memory (:mod:`syft_ext.plans.channel`). The child keeps
torch and the plans loaded; it is replaced when it dies.
"""

from __future__ import annotations

import contextlib
import os
import posix
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from syft_ext.errors import DeadlineExceeded, GridError, InvalidPlan, Unavailable
from syft_ext.plans.channel import Arena, Done, Failed, Load, Ready, Run, layout, receive, send
from syft_ext.plans.dtypes import dtype_name
from syft_ext.plans.expr import eval_shape
from syft_ext.plans.ir import Plan
from syft_ext.plans.limits import Limits

__all__ = ["PlanSandbox"]

# The child's own argv is all that varies; "-I" keeps the environment and the current directory out of sys.path.
_BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from syft_ext.plans.sandbox_child import main; main(sys.argv[2:])"
)
_CHILD_SOCKET, _CHILD_ARENA = 3, 4
_START_SECONDS = 120.0


class PlanSandbox:
    """Runs plans in a child process of their own.

        with PlanSandbox(Limits(max_bytes=1 << 30), seconds=30) as sandbox:
            loss, *params = sandbox.run(plan, {"xs": x, "ys": y, "params": params})

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
        self._child = self._spawn()

    def run(
        self,
        plan: Plan | bytes,
        inputs: Sequence[Any] | Mapping[str, Any] = (),
        *,
        seconds: float | None = None,
    ) -> Any:
        """Run ``plan`` on ``inputs`` (by position, or by name); the results are nested as the plan says.

        Raises :class:`InvalidPlan` when the plan fails its check or crashes, :class:`DeadlineExceeded` when it
        takes longer than ``seconds`` (default: the sandbox's). The sandbox stays usable.
        """
        plan = plan if isinstance(plan, Plan) else Plan.loads(plan, self.limits)
        flat = plan.flatten((), inputs) if isinstance(inputs, Mapping) else plan.flatten(inputs)
        binding = plan.bind(flat)
        described = [(dtype_name(t.dtype) or "", list(t.shape)) for t in flat]
        declared = [(o.dtype, eval_shape(o.shape, binding)) for o in plan.outputs]
        sources, end = layout(described)
        targets, end = layout(declared, end)
        if end > self.limits.max_bytes:
            raise InvalidPlan(f"{end} bytes of inputs and results", limit="max_bytes")
        with self._lock:
            child = self._ready()
            self._load(child, plan)
            child.arena.grow(end)
            for slot, tensor in zip(sources, flat, strict=True):
                child.arena.write(slot, tensor.detach())
            budget = self.seconds if seconds is None else seconds
            message = Run(plan.id, child.arena.size, sources, targets, budget * self.threads)
            self._ask(child, message, budget)
            # Copied before anyone looks at them: the child could still write to the shared memory.
            results = [child.arena.view(slot).clone() for slot in targets]
        return plan.nest(results)

    def self_test(self, plan: Plan) -> None:
        """The plan's self-test, in the child; raises :class:`InvalidPlan` if it is not reproduced."""
        from syft_ext.plans.selftest import compare

        def run(flat: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
            nested = self.run(plan, _nest_arguments(plan, flat))
            return _flat(nested)

        compare(plan.document, run)

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

    def _load(self, child: _Child, plan: Plan) -> None:
        if plan.id not in child.loaded:
            limits = {name: int(value) for name, value in asdict(self.limits).items()}
            self._ask(child, Load(plan.dumps(), limits), self.seconds)
            child.remember(plan.id)

    def _ask(self, child: _Child, message: Load | Run, seconds: float) -> None:
        reply = self._converse(child, message, seconds)
        if isinstance(reply, Failed):
            raise InvalidPlan(reply.detail, **reply.extra)
        if not isinstance(reply, Done):
            self._discard()
            raise InvalidPlan("the plan crashed its sandbox (a fault in a kernel, or too much memory)")

    def _converse(self, child: _Child, message: Load | Run | None, seconds: float) -> Any:
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


class _Child:
    """One child process with its socket, shared memory and empty directory.

    Spawned with ``posix.posix_spawn``: gevent patches ``subprocess`` and ``os`` so that children can be started
    from the main thread only, and fork is unsafe in a process with threads.
    """

    _KEPT_PLANS = 32  # as many as the child keeps

    def __init__(self, memory_bytes: int, threads: int) -> None:
        self.arena = Arena.create()
        self.directory = tempfile.mkdtemp(prefix="plan-sandbox-")
        self.protections: list[str] | None = None
        self.loaded: dict[str, None] = {}
        self.socket, other = socket.socketpair()
        packages = str(Path(__file__).resolve().parents[2])
        arguments = [
            *(sys.executable, "-I", "-c", _BOOTSTRAP, packages),
            *(str(_CHILD_SOCKET), str(_CHILD_ARENA), self.directory, str(memory_bytes), str(threads)),
        ]
        # Duplicates above the targets, so that no dup2 overwrites a descriptor still to be passed on.
        spare = [_above(other.fileno()), _above(self.arena.fd)]
        try:
            self.pid = posix.posix_spawn(
                sys.executable,
                arguments,
                {"OMP_NUM_THREADS": str(threads), "LC_ALL": "C.UTF-8"},
                file_actions=[
                    *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)),
                    (os.POSIX_SPAWN_DUP2, spare[0], _CHILD_SOCKET),
                    (os.POSIX_SPAWN_DUP2, spare[1], _CHILD_ARENA),
                ],
                setpgroup=0,  # Ctrl-C in the parent's terminal is not for it
            )
        finally:
            for fd in spare:
                os.close(fd)
            other.close()
        self._pidfd = os.pidfd_open(self.pid)

    def remember(self, plan_id: str) -> None:
        """Keep the same plans in mind as the child: the latest ones, by the time of loading."""
        self.loaded[plan_id] = None
        while len(self.loaded) > self._KEPT_PLANS:
            del self.loaded[next(iter(self.loaded))]

    def gone(self) -> bool:
        """Whether the process has ended (it is then reaped)."""
        try:
            return posix.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # someone else's SIGCHLD handler reaped it
            return True

    def kill(self) -> None:
        """End the process and release everything. Idempotent."""
        if self._pidfd < 0:
            return
        # By pidfd: the number may belong to another process by now.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            posix.waitpid(self.pid, 0)
        os.close(self._pidfd)
        self._pidfd = -1
        self.socket.close()
        self.arena.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _above(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)


def _nest_arguments(plan: Plan, flat: Sequence[torch.Tensor]) -> dict[str, Any]:
    from syft_ext.plans.binding import nest

    return {argument.name: nest(argument.tree, flat) for argument in plan.document.arguments}


def _flat(nested: Any) -> list[torch.Tensor]:
    from syft_ext.plans.ir import flat_results

    return flat_results(nested)
