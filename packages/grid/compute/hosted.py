"""A session inside a host process: its values, and the requests on them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from blake3 import blake3

from grid.compute import protocol as p
from grid.compute.checking import Checker
from grid.compute.encrypted_values import opened, pieces_of
from grid.compute.hosted_intersection import HostedIntersection
from grid.compute.hosted_member import HostedMember
from grid.compute.hosted_split import HostedSplit
from grid.compute.kernels import Outcome, Poisoned, apply, apply_plan, own
from grid.compute.values import OVERHEAD, Opaque, Poison, SessionMemory, Storage, Value
from syft_ext.encrypted.frames import KINDS as ENCRYPTED_KINDS
from syft_ext.errors import BadRequest, Conflict, GridError, NotFound, TooLarge
from syft_ext.messages.compute import Call, Drop, Failure, Put, RunPlan
from syft_ext.plans.checking.noise import refuse_noise
from syft_ext.plans.graph.dtypes import DTYPES, dtype_name
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
from syft_ext.plans.preconditions.results import blank as _blank
from syft_ext.tensors import iter_tensors

__all__ = ["INLINE", "HostedSession"]

INLINE = 256 << 10
"""Files up to this size are answered at once."""
_MAX_FILES = 16
_NO_MEMORY = "the session's process has no more memory"
_MAX_PLANS = 64
_NOTHING = torch.empty(0, dtype=torch.uint8)


@dataclass(slots=True)
class _Staged:
    memory: torch.Tensor
    storage: Storage
    filled: int = 0


class HostedSession:
    """One user's values. ``whole`` is the memory of all sessions of this process."""

    def __init__(self, begin: p.Begin, checker: Checker, whole: SessionMemory) -> None:
        self.begin, self.checker = begin, checker
        self.memory = SessionMemory(begin.memory, whole)
        self.limits = Limits(max_bytes=begin.memory, max_output_bytes=begin.memory)
        self.done = 0
        self.last = -1
        self.values: dict[int, Value | Opaque | Poison] = {}
        self.sources: list[p.Source] = []
        self.grants: list[str] = []
        self.failures: list[Failure] = []
        self.plans: dict[str, Plan] = {}
        self._staged: dict[p.Area, _Staged] = {}
        self._files: OrderedDict[int, list[memoryview]] = OrderedDict()
        self._tickets = 0
        self._member: HostedMember | HostedIntersection | HostedSplit | None = None

    # -- bytes that come in -------------------------------------------------------------------------

    def stage(self, area: p.Area, size: int) -> None:
        """Make room for ``size`` bytes; what was staged there before is dropped. Raises :class:`TooLarge`."""
        self._take(area)
        self.memory.check(size)
        if size:
            self._staged[area] = _Staged(torch.empty(size, dtype=torch.uint8), Storage(size))
            self.memory.hold(self._staged[area].storage)

    def room(self, area: p.Area, size: int) -> memoryview:
        """Where the next ``size`` staged bytes go."""
        staged = self._staged.get(area)
        if staged is None or staged.filled + size > len(staged.memory):
            raise GridError("more bytes than were announced")
        start, staged.filled = staged.filled, staged.filled + size
        return memoryview(staged.memory.numpy().data)[start : staged.filled]

    def _take(self, area: p.Area) -> torch.Tensor:
        """What was staged there, which is then the caller's."""
        staged = self._staged.pop(area, None)
        if staged is None:
            return _NOTHING
        self.memory.drop(staged.storage)
        return staged.memory[: staged.filled]

    # -- steps --------------------------------------------------------------------------------------

    def run(self, message: p.Run) -> p.Ran:
        """Run the steps. A step that is refused leaves no value behind, and does not stop those after it.

        Raises :class:`Conflict` unless the first step is the one whose turn it is.
        """
        if message.first != self.done:
            raise Conflict(f"{self.done} actions have run, the next cannot be {message.first}")
        failures: list[Failure] = []
        with torch._C._AutoDispatchBelowAutograd():
            for step in message.steps:
                self._step(step, failures)
        self.failures += failures
        return p.Ran(self.done, failures, len(self.values), self.memory.used)

    def _step(self, step: p.Step, failures: list[Failure]) -> None:
        kind = type(step)
        if kind is Drop:
            self._drop(step.values)  # type: ignore[union-attr]
            self.done += 1
            return
        outs = step.outs if kind in (Call, RunPlan, p.Refused) else [step.out]  # type: ignore[union-attr]
        outcome: Outcome
        try:
            outcome = self._results(step)
        except Poisoned as error:
            outcome = [error.poison] * len(outs)
        except GridError as error:
            failures.append(Failure(action=self.done, code=error.code, detail=error.detail))
            outcome = [Poison(error.code, error.detail)] * len(outs)
        except (MemoryError, RuntimeError):
            failures.append(Failure(action=self.done, code=TooLarge.code, detail=_NO_MEMORY))
            outcome = [Poison(TooLarge.code, _NO_MEMORY)] * len(outs)
        for out, result in zip(outs, outcome, strict=True):
            self.values[out] = result
            if isinstance(result, Value | Opaque):
                self.memory.hold(result.storage)
            else:
                self.memory.add(OVERHEAD)
        if outs:
            self.last = outs[-1]
        self.done += 1

    def _results(self, step: p.Step) -> Outcome:
        if isinstance(step, Call):
            return apply(step, self.values, self.checker, self.memory)
        if isinstance(step, Put):
            return [self._put(step)]
        if isinstance(step, p.Loaded):
            return [self._load(step)]
        if isinstance(step, RunPlan):
            plan = self.plans.get(step.plan_id)
            if plan is None:
                raise NotFound("this session has no such plan")
            if len(step.outs) != len(plan.outputs):
                raise BadRequest(f"the plan has {len(plan.outputs)} results, not {len(step.outs)}")
            return apply_plan(plan, step.inputs, self.values, self.limits, self.memory)
        assert isinstance(step, p.Refused)
        raise _error(step.code, step.detail)

    def _put(self, step: Put) -> Value | Opaque:
        stop = step.offset + _size(step.dtype, step.shape)
        staged = self._staged.get("payload")
        if stop > (staged.filled if staged is not None else 0):
            raise BadRequest("the tensor lies outside the payload")
        size = stop - step.offset
        if staged is None or not size:
            return own(_typed(_NOTHING, step.dtype, step.shape), 0)
        raw = staged.memory[step.offset : stop]
        if step.dtype in ENCRYPTED_KINDS:
            return self._opened(raw, step.dtype, 0)
        if (
            2 * size >= len(staged.memory)
            and step.offset % DTYPES[step.dtype].itemsize == 0
            and step.dtype != "b"
        ):
            value = own(_typed(raw, step.dtype, step.shape), 0)  # most of the payload: it stays where it is
            value.storage = staged.storage
            return value
        self.memory.check(size + OVERHEAD)
        return own(_typed(raw.clone(), step.dtype, step.shape), 0)

    def _load(self, step: p.Loaded) -> Value | Opaque:
        if step.source == len(self.sources):
            self.sources.append(step.object)
        self.grants += step.grants
        raw = self._take("content")
        self.memory.check(len(raw) + OVERHEAD)
        if len(raw) != _size(step.dtype, step.shape):
            raise BadRequest("the content is not of the size that its header says")
        if step.dtype in ENCRYPTED_KINDS:
            return self._opened(raw, step.dtype, 1 << step.source)
        return own(_typed(raw, step.dtype, step.shape), 1 << step.source)

    def _opened(self, raw: torch.Tensor, kind: str, label: int) -> Opaque:
        self.memory.check(4 * len(raw) + OVERHEAD)
        return opened(raw.numpy().tobytes(), kind, label)

    def _drop(self, values: Sequence[int]) -> None:
        for number in values:
            value = self.values.pop(number, None)
            if isinstance(value, Value | Opaque):
                self.memory.drop(value.storage)
            elif value is not None:
                self.memory.add(-OVERHEAD)

    # -- plans --------------------------------------------------------------------------------------

    def keep_plan(self, plan_id: str) -> None:
        """Check what is staged; raises :class:`InvalidPlan`."""
        data = bytes(self._take("content").numpy().data)
        if plan_id in self.plans:
            return
        if len(self.plans) >= _MAX_PLANS:
            raise TooLarge(f"a session keeps at most {_MAX_PLANS} plans")
        self.memory.check(2 * len(data))
        plan = Plan.read(data, self.limits)
        if plan.id != plan_id:
            raise BadRequest("the plan is another than announced")
        refuse_noise(plan.document)
        plan.check()
        plan.self_test()
        self.memory.add(2 * len(data))
        self.plans[plan_id] = plan

    # -- as a member of a run with other nodes --------------------------------------------------------

    def open_member(self, message: p.OpenMember) -> bytes:
        """Its public key. Raises as :class:`HostedMember`, :class:`HostedIntersection` or :class:`HostedSplit`."""
        if self._member is not None:
            raise Conflict("this session is a member already")
        program, values = self.taken("content"), self.taken("payload")
        self.memory.check(4 * (len(program) + len(values)))
        if message.kind == "intersection":
            self._member = HostedIntersection(message.index, message.terms, program, values)
        elif message.kind == "split":
            self._member = HostedSplit(message.index, message.terms, program, values, self.limits)
        else:
            self._member = HostedMember(message.index, message.terms, program, values, self.limits)
        return self._member.key

    @property
    def member(self) -> HostedMember | HostedIntersection | HostedSplit:
        """Raises :class:`NotFound` where the session is none."""
        if self._member is None:
            raise NotFound("this session is no member of a run")
        return self._member

    @property
    def keeper(self) -> HostedIntersection | HostedSplit:
        """Raises :class:`NotFound` where the session is no member that keeps something."""
        if not isinstance(self._member, HostedIntersection | HostedSplit):
            raise NotFound("this session is no member of a run that keeps something")
        return self._member

    def taken(self, area: p.Area) -> bytes:
        """What was staged there, which is then the caller's."""
        return bytes(self._take(area).numpy().data)

    # -- what goes out ------------------------------------------------------------------------------

    def types(self, numbers: Sequence[int]) -> p.Types:
        """Of each value, in this order. Raises :class:`NotFound`, or why the value never came about."""
        found = []
        for number in numbers:
            value = self._value(number)
            if isinstance(value, Opaque):
                found.append((value.kind, list(value.shape)))
                continue
            layout = value.layout
            found.append((dtype_name(layout.dtype) or "", list(layout.shape)))
        return p.Types(found)

    def prepare(self, message: p.Prepare) -> tuple[p.Prepared, list[memoryview]]:
        """Write a tensor file; its pieces lie on the values' own memory."""
        values = [self._value(number) for number in message.values]
        failure = next((value.failure for value in values if value.failure), "")
        kind = ""
        if message.stored and any(isinstance(value, Opaque) for value in values):
            if len(values) > 1 or message.names != [""]:
                raise BadRequest("encrypted values are kept one by one, without names")
            (kind,) = (value.kind for value in values if isinstance(value, Opaque))
            pieces = [memoryview(self._frame(values[0], blank=message.blank).numpy().data)]
        else:
            tensors = [self._frame(value, blank=message.blank) for value in values]
            pieces = list(iter_tensors(dict(zip(message.names, tensors, strict=True))))
        size, hasher = sum(piece.nbytes for piece in pieces), blake3()
        for piece in pieces:
            hasher.update(piece)
        ticket = 0
        if size > INLINE:
            self._tickets += 1
            ticket = self._tickets
            self._files[ticket] = pieces
            while len(self._files) > _MAX_FILES:
                self._files.popitem(last=False)
        return p.Prepared(size, hasher.hexdigest(), ticket, failure, kind), [] if ticket else pieces

    def _frame(self, value: Value | Opaque, *, blank: bool) -> torch.Tensor:
        """The tensor of a value; of an encrypted one, the bytes of its frame."""
        if isinstance(value, Value):
            return _blank(value.layout) if value.failure and blank else value.tensor
        return torch.frombuffer(bytearray(pieces_of(value)), dtype=torch.uint8)

    def read(self, message: p.Read) -> list[memoryview]:
        """Bytes of a prepared file, as views. Raises :class:`NotFound` when newer files have taken its
        place."""
        pieces = self._files.get(message.ticket)
        if pieces is None:
            raise NotFound("too many downloads of this session at once; fetch again")
        if message.last:
            del self._files[message.ticket]
        return list(_range(pieces, message.start, message.stop))

    def _value(self, number: int) -> Value | Opaque:
        value = self.values.get(number)
        if isinstance(value, Poison):
            raise _error(value.code, value.detail)
        if value is None:
            raise NotFound(f"there is no value {number} in this session")
        return value

    # -- as a whole ---------------------------------------------------------------------------------

    def state(self) -> p.SessionState:
        """What a node that has restarted needs to go on with this session."""
        begin = self.begin
        return p.SessionState(
            session_id=begin.session_id,
            user_id=begin.user_id,
            created_at=begin.created_at,
            limit=begin.memory,
            done=self.done,
            values=len(self.values),
            memory=self.memory.used,
            last=self.last,
            sources=self.sources,
            grants=self.grants,
            labels=[(number, _bits(value)) for number, value in self.values.items()],
            failures=self.failures,
            plans={plan_id: plan.document.ops for plan_id, plan in self.plans.items()},
        )

    def end(self) -> None:
        """Give its memory back to the other sessions."""
        self.memory.add(-self.memory.used)
        self.values.clear()
        self._files.clear()


def _bits(value: Value | Opaque | Poison) -> bytes:
    label = value.label if isinstance(value, Value | Opaque) else 0
    return label.to_bytes((label.bit_length() + 7) // 8, "big")


def _size(dtype: str, shape: Sequence[int]) -> int:
    if dtype in ENCRYPTED_KINDS:
        (size,) = shape if len(shape) == 1 else (-1,)
        if size < 0:
            raise BadRequest("what is encrypted comes as bytes, and says how many")
        return size
    if dtype not in DTYPES:
        raise BadRequest(f"{dtype[:8]!r} is no dtype")
    size = DTYPES[dtype].itemsize
    for dimension in shape:
        size *= dimension
    return size


def _typed(raw: torch.Tensor, dtype: str, shape: Sequence[int]) -> torch.Tensor:
    if dtype == "b":
        return (raw != 0).reshape(tuple(shape))  # a truth value has one form only
    return raw.view(DTYPES[dtype]).reshape(tuple(shape))


def _range(pieces: Sequence[memoryview], start: int, stop: int) -> Iterator[memoryview]:
    position = 0
    for piece in pieces:
        first, last = max(start - position, 0), min(stop - position, piece.nbytes)
        if first < last:
            yield piece.cast("B")[first:last]
        position += piece.nbytes


class _Said(GridError):
    """An error that the node refused an action with."""


def _error(code: str, detail: str) -> GridError:
    error = _Said(detail)
    error.code = code  # type: ignore[misc]
    return error
