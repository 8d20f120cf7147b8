"""The child process: right answers, and no way out of it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from syft_ext.confinement.lockdown import PROTECTIONS
from syft_ext.errors import DeadlineExceeded, InvalidPlan, Unavailable
from syft_ext.plans import Limits, Plan, PlanSandbox, trace
from syft_ext.plans.ir import flat_results
from syft_ext.plans.sandbox.process import Raw
from syft_ext.source_roots import SOURCE_ROOT

from .documents import forge, ints, ref
from .examples import Example

ADD = trace(lambda x, y: {"sum": x + y}, torch.ones(3), torch.ones(3), symbols={"x": {0: "B"}, "y": {0: "B"}})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PlanSandbox]:
    with PlanSandbox(Limits(max_bytes=1 << 30, max_flops=10**15), seconds=60) as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", ["mlp_sgd", "cnn_batchnorm", "statistics"])
def test_the_child_answers_as_this_process_does(
    name: str, sandbox: PlanSandbox, traced: Callable[[str], Plan], examples: dict[str, Example]
) -> None:
    plan = traced(name)
    sandbox.self_test(plan)
    for arguments in (examples[name].arguments, examples[name].rebatch(5)):
        found, expected = sandbox.run(plan, arguments), plan(**arguments)
        for a, b in zip(flat_results(found), flat_results(expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_bytes_positions_structure_and_odd_tensors(sandbox: PlanSandbox) -> None:
    found = sandbox.run(ADD.dumps(), [torch.ones(5), torch.arange(10.0)[::2]])
    assert found["sum"].tolist() == [1, 3, 5, 7, 9]
    mixed = trace(
        lambda a, b, c: (a.logical_not(), b + 1, c.half(), c[:0]),
        torch.tensor([True, False]),
        3,
        torch.ones(2),
    )
    flags, number, half, empty = sandbox.run(mixed, (torch.tensor([False, True]), 41, torch.ones(2)))
    assert flags.tolist() == [True, False] and number.item() == 42 and number.shape == ()
    assert half.dtype == torch.float16 and empty.shape == (0,)


def test_results_stay_when_the_shared_memory_is_used_again(sandbox: PlanSandbox) -> None:
    first = sandbox.run(ADD, (torch.ones(4), torch.ones(4)))["sum"]
    sandbox.run(ADD, (torch.zeros(10_000), torch.zeros(10_000)))
    assert first.tolist() == [2, 2, 2, 2]


def test_a_fold_is_the_same_as_one_run_after_the_other(sandbox: PlanSandbox) -> None:
    def swap(item: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return b, a / 3 + item  # the first result is an input: it must not be overwritten meanwhile

    plan = trace(swap, torch.ones(3), torch.ones(3), torch.ones(3))
    items = [torch.rand(3) for _ in range(5)]
    a, b = state = torch.rand(3), torch.rand(3)
    for item in items:
        a, b = swap(item, a, b)

    def raw(tensor: torch.Tensor) -> Raw:
        return "f32", (3,), tensor.numpy().view(np.uint8)

    steps: list[list[Raw | None]] = [[raw(item), None, None] for item in items]
    found = sandbox.fold(plan.dumps(), [raw(tensor) for tensor in state], steps)
    memory = [(dtype, shape, data.copy()) for dtype, shape, data in map(raw, state)]
    again = sandbox.fold(plan.dumps(), memory, steps, reuse=True)
    for (_, _, one), (_, _, other), (_, _, own) in zip(found, again, memory, strict=True):
        assert (one == other).all() and other is own
    assert [data.tobytes() for _, _, data in found] == [a.numpy().tobytes(), b.numpy().tobytes()]
    with pytest.raises(InvalidPlan, match="state"):
        sandbox.fold(plan.dumps(), [raw(a)], [[raw(b), raw(b), None]])


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_chain_is_the_same_as_one_run_after_the_other(length: int) -> None:
    def step(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (a * x).sum(), b, a / 3 + x.sum()  # the second result is an input as it is

    traced = trace(step, torch.ones(4), torch.ones(3, 1), torch.ones(3, 1), symbols={"x": {0: "B"}})
    items = [torch.rand(2 + number) for number in range(length)]
    first = [torch.rand(3, 1), torch.rand(3, 1)]
    state, sums = list(first), []
    for item in items:
        total, *state = step(item, *state)
        sums.append(total)
    chain: list[list[torch.Tensor | int]] = [[items[0], *first], *([item, 1, 2] for item in items[1:])]
    for plan in (traced, Plan.loads(traced.dumps())):
        found = plan.run_chain(chain, [0])
        assert [each[1:] for each in found[:-1]] == [[None, None]] * (length - 1)
        torch.testing.assert_close([each[0] for each in found], sums)
        torch.testing.assert_close(found[-1][1:], state)


def test_what_a_caller_changes_behind_torchs_back_is_seen() -> None:
    plan = Plan.loads(trace(lambda x: x + 1, torch.zeros(3)).dumps())
    x = plan(torch.zeros(3))
    x.numpy()[:] = 5
    assert plan(x).tolist() == [6, 6, 6]


def test_a_fork_has_a_sandbox_of_its_own() -> None:
    script = """
import os, torch
from syft_ext.plans import Plan, trace
from syft_ext.plans.sandbox.tensors import shared_sandbox
plan = Plan.loads(trace(lambda x: x + 1, torch.zeros(3)).dumps())
plan(torch.zeros(3))
mine, folder = shared_sandbox().pid, shared_sandbox()._child.directory
child = os.fork()
if child == 0:
    ok = plan(torch.ones(3)).tolist() == [2, 2, 2] and shared_sandbox().pid != mine
    shared_sandbox().abandon()
    os._exit(0 if ok else 1)
assert os.waitpid(child, 0)[1] == 0
assert plan(torch.zeros(3)).tolist() == [1, 1, 1] and shared_sandbox().pid == mine
print(folder)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert not Path(done.stdout.strip()).exists()


def test_a_refusal_in_the_child_is_the_same_error_and_leaves_it_running(sandbox: PlanSandbox) -> None:
    pid = sandbox.pid
    for document, message in (
        (forge([("aten.zeros.default", [ints(10**12)])], output=("f32", (2,))), "elements"),
        (forge([("aten.mm.default", [ref(0), ref(0)])], output=("f32", (9, 9))), "declares"),
    ):
        with pytest.raises(InvalidPlan, match=message):
            sandbox.run(Plan(document), (torch.ones(4, 4),))
    pick = trace(lambda x, i: x[i], torch.ones(4), torch.tensor([0]))
    with pytest.raises(InvalidPlan, match="failed on these values"):
        sandbox.run(pick, (torch.ones(4), torch.tensor([99])))
    with pytest.raises(InvalidPlan, match="the plan takes"):
        sandbox.run(ADD, (torch.ones(4), torch.ones(5)))
    assert sandbox.pid == pid and sandbox.run(ADD, (torch.ones(1), torch.ones(1)))["sum"].item() == 2


def long_plan() -> Plan:
    """A minute or more of matrix products in little memory."""
    steps = [("aten.zeros.default", [ints(2048, 2048)])]
    steps += [("aten.mm.default", [ref(1), ref(1)])]
    steps += [("aten.mm.default", [ref(i), ref(1)]) for i in range(2, 300)]
    return Plan(forge(steps, output=("f32", (2048, 2048))))


def test_a_plan_that_takes_too_long_ends_and_the_next_one_runs(sandbox: PlanSandbox) -> None:
    plan = long_plan()
    pid = sandbox.pid
    with pytest.raises(DeadlineExceeded):
        sandbox.run(plan, (torch.ones(4, 4),), seconds=1.5)
    assert not Path(f"/proc/{pid}").exists()
    assert sandbox.run(ADD, (torch.ones(1), torch.ones(1)))["sum"].item() == 2 and sandbox.pid != pid


def test_a_child_that_dies_in_a_run_costs_that_run(sandbox: PlanSandbox) -> None:
    pid = sandbox.pid
    killer = threading.Timer(1.0, os.kill, (pid, signal.SIGSEGV))
    killer.start()
    with pytest.raises(InvalidPlan, match="crashed its sandbox"):
        sandbox.run(long_plan(), (torch.ones(4, 4),))
    assert sandbox.run(ADD, (torch.ones(1), torch.ones(1)))["sum"].item() == 2


def test_memory_is_bounded_by_the_kernel_too() -> None:
    """A plan within its limits that needs more than the address space: refused, and the sandbox lives on."""
    hungry = Plan(
        forge([("aten.zeros.default", [ints(1 << 27)]), ("aten.sum.default", [ref(1)])], output=("f32", ()))
    )
    with PlanSandbox(Limits(max_bytes=4 << 30), memory_bytes=256 << 20) as small:
        with pytest.raises(InvalidPlan):
            small.run(hungry, (torch.ones(4, 4),))
        assert small.run(ADD, (torch.ones(1), torch.ones(1)))["sum"].item() == 2


def test_close_ends_the_child_and_removes_its_directory() -> None:
    sandbox = PlanSandbox()
    pid, directory = sandbox.pid, sandbox._child.directory  # type: ignore[union-attr]
    assert os.readlink(f"/proc/{pid}/cwd") == "/" and os.listdir(directory) == []
    assert not {"etc", "home", "proc", "dev"} & set(os.listdir(f"/proc/{pid}/root"))
    environment = Path(f"/proc/{pid}/environ")
    if os.access(environment, os.R_OK):
        assert b"PATH=" not in environment.read_bytes()
    sandbox.close()
    sandbox.close()
    assert not os.path.exists(directory) and not os.path.exists(f"/proc/{pid}")
    with pytest.raises(Unavailable):
        sandbox.run(ADD, (torch.ones(1), torch.ones(1)))


def test_the_child_ends_with_its_parent() -> None:
    script = (
        "import time; from syft_ext.plans import PlanSandbox; s = PlanSandbox(); "
        "print(s.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


ESCAPES = """
import ctypes, json, os, socket, sys, threading
from syft_ext.confinement.lockdown import enter
secret, target = sys.argv[1:]
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen()
done = list(enter(1 << 28).in_force)
def attempt(action):
    try:
        action()
        return "done"
    except BaseException as error:
        return type(error).__name__
def big():
    bytearray(1 << 29)
def run():
    os.execv("/bin/true", ["true"])
def kill():
    os.kill(os.getppid(), 0)
print(json.dumps({
    "protections": done,
    "socket": attempt(lambda: socket.socket()),
    "connect": attempt(lambda: socket.create_connection(("127.0.0.1", server.getsockname()[1]), 1)),
    "write": attempt(lambda: open(target, "w")),
    "append": attempt(lambda: open(secret, "a")),
    "read": attempt(lambda: open(secret).read()),
    "delete": attempt(lambda: os.unlink(secret)),
    "mkdir": attempt(lambda: os.mkdir(target)),
    "fork": attempt(os.fork),
    "exec": attempt(run),
    "kill": attempt(kill),
    "ptrace": ctypes.CDLL(None).ptrace(0, 0, 0, 0),
    "memory": attempt(big),
    "python": attempt(lambda: __import__("fractions")),
    "thread": attempt(lambda: (t := threading.Thread(target=int)).start() or t.join()),
}))
"""


def test_code_that_got_hold_of_the_child_could_do_nothing(tmp_path: Path, sandbox: PlanSandbox) -> None:
    """The same lock-down with arbitrary Python behind it."""
    secret, target = tmp_path / "secret", tmp_path / "target"
    secret.write_text("private rows")
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ESCAPES), str(secret), str(target)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert tuple(found["protections"]) == sandbox.protections == PROTECTIONS
    assert found["memory"] == "MemoryError"
    assert found["python"] == "done" and found["thread"] == "done"  # what torch needs still works
    for action in ("socket", "write", "append", "delete", "mkdir", "fork", "exec", "kill"):
        assert found[action] == "PermissionError", action
    assert found["ptrace"] == -1
    assert found["read"] == "FileNotFoundError" and found["connect"] != "done"
    assert secret.read_text() == "private rows" and not target.exists()


GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent, torch
from syft_ext.plans import PlanSandbox, trace
plan = trace(lambda x: x * 2, torch.ones(3))
ticks = []
ticker = gevent.spawn(lambda: [(ticks.append(1), gevent.sleep(0.01)) for _ in range(10_000)])
sandbox = PlanSandbox()
assert sandbox.run(plan, (torch.ones(3),)).tolist() == [2, 2, 2]
assert len(ticks) > 5, "the loop stood still while the child started"
pool = gevent.get_hub().threadpool
def in_thread():
    with PlanSandbox() as other:
        return other.run(plan, (torch.ones(3),)).tolist()
assert pool.apply(in_thread) == [2, 2, 2]
sandbox.close(); ticker.kill()
print("ok")
"""


def test_it_works_under_gevent_and_in_its_thread_pool() -> None:
    result = subprocess.run([sys.executable, "-c", GEVENT], capture_output=True, text=True, timeout=240)
    assert result.stdout == "ok\n", result.stderr


def test_threads_take_turns(sandbox: PlanSandbox) -> None:
    wrong = []

    def work(number: int) -> None:
        for _ in range(20):
            x = torch.full((50,), float(number))
            if sandbox.run(ADD, (x, x))["sum"].tolist() != [2.0 * number] * 50:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


_SPINS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from syft_ext.confinement.rlimits import cpu_limit
def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
with cpu_limit(0.2):
    spin(0.1)
spin(3.5)  # outside of the block nothing is counted: longer than the rlimit behind the timer leaves
print("free", flush=True)
with cpu_limit(0.2):
    spin(60)
"""


def test_cpu_time_is_limited_to_fractions_of_a_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-I", "-c", _SPINS, str(SOURCE_ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == "free\n" and done.returncode == -signal.SIGPROF
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.1 + 3.5 + 0.2 + 0.5 + 1.0, "the second that is left is for starting Python"
