"""The process that runs cases, with the guarding allocator preloaded; started by
:mod:`tests.operations.fuzz`.

    python -m tests.operations.worker '{"ops": [...], "first": 0, "cases": 50, "seconds": 60}'

Writes one JSON object a line: findings, then a count for each operation. Cases run in children of this
process, which die of what they find. A case goes the way that a pointer's call goes: the check of layouts,
the rules on elements, the kernel, the comparison of what it gave. It runs three times, with operands and
results at the start and at the end of their pages and different patterns in the memory that nobody has
written.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from grid.compute.checking import Announced, Checker
from grid.compute.kernels import apply, own
from grid.compute.values import SessionMemory, Value
from syft_ext.errors import GridError
from syft_ext.messages.compute import Call
from syft_ext.plans.checking.propagate import propagate
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.graph.ops import ALLOWED, result_count
from syft_ext.plans.preconditions.announce import announce
from syft_ext.plans.preconditions.declaration import NOTHING, Bounds
from syft_ext.plans.preconditions.table import PRECONDITIONS
from syft_ext.plans.running.codegen import generate
from tests.plans.documents import forge_calls

from .cases import Case, make_case

FIELDS = (
    *("signal", "address", "wrote", "near_size", "near_offset", "spoilt", "spoilt_size", "spoilt_offset"),
    *("live", "peak", "largest"),
)
GENERATED, ACCEPTED, RAN, CASE = range(len(FIELDS), len(FIELDS) + 4)
AT_END, AT_START = 1, 2
PASSES = ((AT_START, 0xFF), (AT_END, 0x55), (AT_END, 0xAA))
SECONDS_OF_A_CASE = 3.0
SLOW = 1.0
SPARE_BYTES = 2 << 20
"""What Python, the dispatcher and libraries take beside tensors."""
MOST_OF_A_KIND = 5
AT_A_TIME = 25  # cases, where one finding is looked for
_WORN = 5


class Guard:
    """The allocator of guard.c in this process."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self.library.guard_record.restype = ctypes.c_void_p
        self.record = (ctypes.c_int64 * (len(FIELDS) + 8)).from_address(self.library.guard_record())

    def __getitem__(self, name: str) -> int:
        return int(self.record[FIELDS.index(name)])

    def __setitem__(self, name: str, value: int) -> None:
        self.record[FIELDS.index(name)] = value

    def clear(self) -> None:
        for place in range(len(FIELDS)):
            if FIELDS[place] != "live":
                self.record[place] = 0


class Pass:
    """One run of a case: what it gave, and what it did beside that."""

    def __init__(
        self, guard: Guard, case: Case, call: Call, checker: Checker, where: int, pattern: int
    ) -> None:
        held: dict[int, Value] = {}
        memory = SessionMemory(1 << 40)
        guard.library.guard_arm(where, pattern)
        try:
            for number, operand in enumerate(case.operands):
                held[number] = own(operand.build(), 0)
                held[number].layout = operand.layout
            guard.clear()
            guard["peak"] = before = guard["live"]
            start = time.thread_time()
            with torch._C._AutoDispatchBelowAutograd():
                outcome = apply(call, held, checker, memory)
            self.seconds = time.thread_time() - start
        finally:
            guard.library.guard_disarm()
        self.bytes = guard["peak"] - before
        self.largest = guard["largest"]
        guard.library.guard_inspect()
        self.beside = (guard["spoilt_size"], guard["spoilt_offset"]) if guard["spoilt"] else None
        self.changed = [
            number
            for number, operand in enumerate(case.operands)
            if operand.room and _raw(_storage(held[number].tensor, operand.room)) != _raw(operand.source())
        ]
        values = [value for value in outcome if isinstance(value, Value)]
        self.failure = values[0].failure if values else ""
        self.results = [(v.layout, _raw(v.tensor)) for v in values] if not self.failure else []


def _storage(tensor: torch.Tensor, room: int) -> torch.Tensor:
    return tensor.as_strided([room], [1], 0)


def _raw(tensor: torch.Tensor) -> bytes:
    if tensor.numel() == 0:
        return b""
    flat = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def as_plan(guard: Guard, case: Case, announced: Announced, one: Pass) -> list[tuple[str, str]]:
    """The same call as a plan of one operation: it gives the same bits, or fails as well."""
    place = next((i for i, result in enumerate(announced.results) if result is not None), None)
    if place is None or not case.operands:
        return []
    dtype, shape, _ = announced.results[place].layout
    document = forge_calls(
        [(operand.dtype, operand.shape) for operand in case.operands],
        [(case.op, case.args, case.kwargs, result_count(case.op))],
        (dtype_name(dtype) or "", shape),
    )
    output = msgspec.structs.replace(document.outputs[0], id=len(case.operands) + place)
    document = msgspec.structs.replace(document, outputs=[output])
    function = generate(document, propagate(document, {}, Limits()), {}, []).function
    guard.library.guard_arm(AT_END, 0x55)
    try:
        inputs = [operand.build() for operand in case.operands]
        with torch._C._AutoDispatchBelowAutograd():
            (given,) = function(*inputs)
        answer = _raw(given)
    except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        return [] if one.failure else [("PLAN-DIFFERS", f"the plan fails: {str(error)[:90]}")]
    finally:
        guard.library.guard_disarm()
    expected = next(raw for layout, raw in one.results) if one.results else None
    return (
        [] if answer == expected else [("PLAN-DIFFERS", f"the pointer gives {one.failure or 'other bits'}")]
    )


def bounds_of(case: Case) -> Mapping[int, Bounds]:
    """What is said of the elements of the results."""
    if PRECONDITIONS[case.op].bounds is NOTHING.bounds:
        return {}
    with FakeTensorMode():
        fakes = [torch.empty_strided(o.shape, o.layout.strides, dtype=o.layout.dtype) for o in case.operands]
        return announce(case.op, [_filled(argument, fakes) for argument in case.args], case.kwargs).bounds


def _filled(argument: Any, operands: Sequence[torch.Tensor]) -> Any:
    if not isinstance(argument, list):
        return argument
    return operands[argument[1]] if argument[0] == "r" else [_filled(part, operands) for part in argument[1:]]


def judge(guard: Guard, case: Case, announced: Announced, checker: Checker) -> list[tuple[str, str]]:
    """What is wrong with the operation on this case: (kind, words)."""
    call = Call(
        outs=list(range(1000, 1000 + result_count(case.op))), op=case.op, args=case.args, kwargs=case.kwargs
    )
    found: list[tuple[str, str]] = []
    runs = [Pass(guard, case, call, checker, where, pattern) for where, pattern in PASSES]
    for number, run in enumerate(runs):
        if run.beside:
            found.append(
                ("WROTE-BESIDE", f"run {number}: at {run.beside[1]} of a block of {run.beside[0]} bytes")
            )
        if run.changed:
            found.append(("CHANGED-OPERAND", f"run {number}: operands {run.changed}"))
    one, other = runs[1:]
    if one.failure.splitlines()[:1] != other.failure.splitlines()[:1]:
        found.append(("OTHER-FAILURE", f"{one.failure[:90]!r} / {other.failure[:90]!r}"))
    elif one.results != other.results:
        place = next(i for i, (a, b) in enumerate(zip(one.results, other.results, strict=True)) if a != b)
        a, b = one.results[place][1], other.results[place][1]
        count = sum(x != y for x, y in zip(a, b, strict=True))
        found.append(("READ-OUTSIDE", f"{count} of {len(a)} bytes of result {place} are not of its operands"))
    if any(words in one.failure for words in ("bad_alloc", "could not create", "not enough memory")):
        found.append(("NO-MEMORY", one.failure))  # the allocator's rooms are full: nothing was shown
    if "than announced" in one.failure:
        found.append(("NOT-AS-ANNOUNCED", one.failure))
    foreseen = announced.nbytes + announced.scratch
    bytes_ = max(run.bytes for run in runs)
    if bytes_ > foreseen + SPARE_BYTES:
        found.append(("MEMORY", f"{bytes_} bytes, {foreseen} foreseen"))
    if case.seed % 4 == 0 and all(operand.contiguous for operand in case.operands):
        found += as_plan(guard, case, announced, one)
    for place, (low, high) in bounds_of(case).items():
        dtype, raw = (one.results[place][0].dtype, one.results[place][1]) if one.results else (None, b"")
        if raw:
            elements = torch.frombuffer(bytearray(raw), dtype=dtype)
            if elements.min() < low or elements.max() >= high:
                found.append(("NOT-BETWEEN", f"result {place} is not in [{low}, {high})"))
    if max(run.seconds for run in runs) > SLOW:
        found.append(("SLOW", f"{max(run.seconds for run in runs):.1f} s for {case}"))
    guard.record[RAN] += not one.failure
    return found


def _fault(guard: Guard) -> tuple[str, str]:
    number = guard["signal"]
    name = signal.Signals(number).name if number else "no signal"
    what = "write" if guard["wrote"] else "read"
    where = (
        f"{what} at {guard['near_offset']} of a block of {guard['near_size']} bytes"
        if number == signal.SIGSEGV
        else ""
    )
    return f"CRASH-{name}", where


class Worker:
    """Cases of some operations, in children."""

    def __init__(self) -> None:
        self.guard = Guard()
        self.checker = Checker(Limits(max_numel=1 << 22, max_flops=10**8))
        self.out = os.fdopen(os.dup(1), "w")

    def say(self, **what: Any) -> None:
        self.out.write(json.dumps(what) + "\n")
        self.out.flush()

    def announced(self, case: Case) -> Announced | None:
        layouts = [operand.layout for operand in case.operands]
        try:
            return self.checker.check(object(), case.op, case.args, case.kwargs, layouts)
        except GridError:
            return None

    def run(self, op: str, first: int, cases: int, seconds: float, until: str | None) -> None:
        """Run cases ``first`` to ``first + cases`` of ``op``: as many as time allows, or until that is found."""
        deadline, stop = time.monotonic() + seconds, first + cases
        for place in (GENERATED, ACCEPTED, RAN):
            self.guard.record[place] = 0
        self.kinds: dict[str, int] = {}
        some = cases if until is None else AT_A_TIME
        while first < stop and until not in self.kinds and time.monotonic() < deadline:
            first = self._children(op, first, min(first + some, stop), deadline)
        counts = [int(self.guard.record[place]) for place in (GENERATED, ACCEPTED, RAN)]
        self.say(op=op, generated=counts[0], accepted=counts[1], ran=counts[2], kinds=self.kinds)

    def _children(self, op: str, first: int, stop: int, deadline: float) -> int:
        """One child; the number of the case to go on with."""
        self.guard.clear()
        self.guard.record[CASE] = first
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            status = 3
            try:
                self._child(op, first, stop, deadline, writing)
                status = 0
            except BaseException as error:
                os.write(
                    writing,
                    json.dumps(["HARNESS", repr(error)[:300], int(self.guard.record[CASE])]).encode() + b"\n",
                )
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                self._found(op, *json.loads(line))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        at = int(self.guard.record[CASE])
        if code == 0:
            return stop
        if code not in (3, _WORN):
            kind, words = _fault(self.guard)
            self._found(op, kind, words if code == 77 else f"status {code}", at)
        return at if code == _WORN else at + 1

    def _found(self, op: str, kind: str, words: str, seed: int) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] <= MOST_OF_A_KIND:
            self.say(op=op, kind=kind, words=words, case=str(make_case(op, seed)))

    def _child(self, op: str, first: int, stop: int, deadline: float, writing: int) -> None:
        guard = self.guard
        nowhere = os.open("/dev/null", os.O_WRONLY)
        os.dup2(nowhere, 2)
        guard.library.guard_handlers()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for seed in range(first, stop):
            guard.record[CASE] = seed
            if time.monotonic() > deadline:
                return
            if guard.library.guard_used() > 2000:
                os._exit(_WORN)
            case = make_case(op, seed)
            guard.record[GENERATED] += 1
            announced = self.announced(case) if case is not None else None
            if case is None or announced is None:
                continue
            guard.record[ACCEPTED] += 1
            signal.setitimer(signal.ITIMER_REAL, SECONDS_OF_A_CASE * 3)
            for kind, words in judge(guard, case, announced, self.checker):
                os.write(writing, json.dumps([kind, words, seed]).encode() + b"\n")
            signal.setitimer(signal.ITIMER_REAL, 0)

    def warm_up(self) -> None:
        """Load what torch imports when it is first needed: not in each child."""
        torch.conv2d(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2))
        for op in ALLOWED:
            case = next((made for seed in range(-9, 0) if (made := make_case(op, seed)) is not None), None)
            if case is not None:
                self.announced(case)


def main() -> None:
    order = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    if not order["declared"]:
        PRECONDITIONS.update(dict.fromkeys(order["ops"], NOTHING))
    worker = Worker()
    worker.warm_up()
    for op in order["ops"]:
        worker.run(op, order["first"], order["cases"], order["seconds"], order["until"].get(op))


if __name__ == "__main__":
    main()
