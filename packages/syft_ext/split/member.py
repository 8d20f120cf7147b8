"""A member of a run of a split network: frames in, frames out. Runs in its owner's sandboxed host.

    bottom  activations of a batch, clipped and with noise where the terms say so      → top
    top     gradients of the same, likewise; in prediction a frame that says "go on"    → bottom
    top     what is opened, when all batches are through                                → reader

Rows, parameters and labels never cross. The bottom plan runs twice a batch in training: once for its activations
(with gradients of zeros, whose parameters are dropped) and once with the gradients that came back.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence

import torch

from syft_ext.errors import BadRequest, Conflict, InvalidPlan, ProtocolAborted
from syft_ext.messages.split_terms import PREDICTIONS, SplitTerms
from syft_ext.mpc.seals import Frame, Seals, public_half
from syft_ext.plans.checking.binding import Binder
from syft_ext.plans.ir import Plan
from syft_ext.split.crossing import Border, batches_of
from syft_ext.split.fitting import check_plan, crossing_names, tensor_of
from syft_ext.tensors import encode_tensors

__all__ = ["SplitMember"]


class SplitMember:
    """``index``: its place among the parties. ``own``: tensors for its plan's inputs: rows (with one for each
    matched row), parameters, and public values; what is left out takes the plan's default."""

    def __init__(self, index: int, terms: SplitTerms, plan: Plan, own: Mapping[str, torch.Tensor]) -> None:
        if plan.id != terms.plans[index]:
            raise BadRequest("this is another plan than the terms name")
        self.index, self.terms, self.plan = index, terms, plan
        self._comes, self._goes = crossing_names(terms, index)
        document = plan.document
        known = {each.name: each for each in document.inputs}
        if not own.keys() <= known.keys():
            raise BadRequest("the plan has no such input")
        self._rows = {name: own[name] for name in own if known[name].role in ("data", "target")}
        self._params = {name: own[name] for name in own if known[name].role == "param"}
        check_plan(document, terms, index, {**self._rows, **self._params})
        if any(each.ndim < 1 or len(each) != terms.rows for each in self._rows.values()):
            raise BadRequest("there is not one row for each of those that are in common")
        defaults = Binder(document).defaults
        self._fixed: dict[str, torch.Tensor] = {}
        for item, default in zip(document.inputs, defaults, strict=True):
            if item.name in self._rows or item.name in self._params or item.name == self._comes:
                continue
            value = own.get(item.name, default)
            if value is None:
                raise BadRequest(f"the plan's input {item.name!r} is given nothing")
            (self._params if item.role == "param" else self._fixed)[item.name] = value
        self._secret = os.urandom(32)
        self.public_key = public_half(self._secret)
        self._seals: Seals | None = None
        self._outbox: list[Frame] = []
        self._work: Generator[None, bytes, None] | None = None
        self._means: dict[str, list[float]] = {name: [0.0] * terms.epochs for name in terms.opened}
        self._made: dict[str, list[torch.Tensor]] = {}
        self.finished = self.failed = self._started = False

    def begin(self, keys: Sequence[bytes], transcript: bytes) -> None:
        """``keys``: of both members, in order; ``transcript``: 32 bytes, the same at both and at nobody else."""
        if self._seals is not None:
            raise ProtocolAborted("this member has begun already")
        if len(keys) != 2 or keys[self.index] != self.public_key:
            raise ProtocolAborted("another key stands for this member")
        everybody = [*keys, bytes.fromhex(self.terms.reader)]
        self._seals = Seals(self.index, self._secret, everybody, transcript)
        self._work = self._top() if self.index == self.terms.top else self._bottom()

    def advance(self, frames: Sequence[Frame]) -> list[Frame]:
        """Take frames, go on as far as they allow, and return what is to be carried.

        Raises :class:`ProtocolAborted` or :class:`InvalidPlan`: it is over then, and nothing is kept.
        """
        if self._seals is None or self._work is None or self.failed:
            raise ProtocolAborted("this member has not begun, or has given up")
        if self.finished:
            raise Conflict("this member has finished")
        try:
            if not self._started:
                self._started = True
                next(self._work)
            for frame in frames:
                if frame.sender != 1 - self.index:
                    raise ProtocolAborted("a frame is of somebody else")
                self._work.send(self._seals.open(frame))
        except StopIteration:
            self.finished = True
            if len(frames) > 1:
                self.failed = True
                raise ProtocolAborted("more came than the protocol has here") from None
        except BaseException:
            self.failed = True
            self._outbox.clear()
            raise
        sent, self._outbox = self._outbox, []
        return sent

    def kept(self) -> dict[str, torch.Tensor]:
        """What stays at its owner's: parameters, or predictions; nothing at the bottom of a prediction. Raises
        :class:`Conflict` unless it has finished."""
        if not self.finished or self.failed:
            raise Conflict("this member has not finished")
        if self.terms.trains:
            return {tensor_of(name): value.contiguous() for name, value in self._params.items()}
        made = self._made.get(PREDICTIONS)
        return {} if made is None else {PREDICTIONS: torch.cat(made)}

    # -- the two sides ------------------------------------------------------------------------------------

    def _bottom(self) -> Generator[None, bytes, None]:
        border, width = Border(self.terms.activations), self.terms.width
        for _, places in batches_of(self.terms):
            forward = self._run(places, torch.zeros(len(places), width))
            self._send(1 - self.index, _bytes(border(self._crossed(forward, len(places)))))
            answer = yield
            if self.terms.trains:
                self._learn(self._run(places, _tensor(answer, len(places), width)))
            elif answer:
                raise ProtocolAborted("something came back in a prediction")

    def _top(self) -> Generator[None, bytes, None]:
        border, width = Border(self.terms.gradients), self.terms.width
        last = self.terms.batches
        for number, (epoch, places) in enumerate(batches_of(self.terms), start=1):
            came = yield
            found = self._run(places, _tensor(came, len(places), width))
            answer = b""
            if self.terms.trains:
                answer = _bytes(border(self._crossed(found, len(places))))
                self._learn(found)
            self._note(found, epoch, len(places))
            if number == last:
                self._open()
            self._send(1 - self.index, answer)

    def _run(self, places: torch.Tensor, crossed: torch.Tensor) -> dict[str, torch.Tensor]:
        given = {
            **self._fixed,
            **self._params,
            **{name: rows[places] for name, rows in self._rows.items()},
            self._comes: crossed,
        }
        try:
            found = self.plan.run([given[item.name] for item in self.plan.document.inputs])
        except InvalidPlan as error:  # why says something of the rows
            raise InvalidPlan("the plan failed on these rows") from error
        return {item.name: value for item, value in zip(self.plan.document.outputs, found, strict=True)}

    def _crossed(self, found: Mapping[str, torch.Tensor], rows: int) -> torch.Tensor:
        value = found[self._goes]
        if list(value.shape) != [rows, self.terms.width] or value.dtype != torch.float32:
            raise ProtocolAborted(f"{self._goes} are not of the shape that the terms say")
        return value

    def _learn(self, found: Mapping[str, torch.Tensor]) -> None:
        for name, before in self._params.items():
            if found[name].shape != before.shape or found[name].dtype != before.dtype:
                raise ProtocolAborted(f"the plan returns another kind of {name} than it takes")
        self._params = {name: found[name] for name in self._params}

    def _note(self, found: Mapping[str, torch.Tensor], epoch: int, rows: int) -> None:
        wanted = set(self.terms.opened) | (set() if self.terms.trains else {PREDICTIONS})
        for name in wanted:
            value = found[name]
            if not value.ndim:
                self._means[name][epoch] += float(value) * rows / self.terms.rows
            elif self.terms.trains or len(value) != rows:
                raise ProtocolAborted(f"{name} is not of the shape that the terms say")
            else:
                self._made.setdefault(name, []).append(value)

    def _open(self) -> None:
        opened = {
            name: torch.cat(self._made[name]) if name in self._made else torch.tensor(self._means[name])
            for name in self.terms.opened
        }
        self._send(2, encode_tensors(opened) if opened else b"")

    def _send(self, receiver: int, data: bytes) -> None:
        assert self._seals is not None
        self._outbox.append(self._seals.seal(receiver, data))


def _bytes(values: torch.Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()


def _tensor(data: bytes, rows: int, width: int) -> torch.Tensor:
    """Raises :class:`ProtocolAborted` for another number of bytes than a batch has, or what is not finite."""
    if len(data) != 4 * rows * width:
        raise ProtocolAborted("what crossed is not of the size of a batch")
    found = torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(rows, width)
    if not bool(torch.isfinite(found).all()):
        raise ProtocolAborted("a number of what crossed is not finite")
    return found
