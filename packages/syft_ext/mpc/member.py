"""A member of one computation on shares, a party or the dealer: frames in, frames out. Runs in a sandboxed host.

A party shares its own inputs, runs the plan step by step and seals its share of what is opened to the reader: no
output is ever put together at a party. The dealer sees plan, terms and public values, and no frame of a party.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch

from syft_ext.errors import BadRequest, ProtocolAborted
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.mpc.demands import Dealer, DemandList, Supply
from syft_ext.mpc.engine import Given, Mail, ShareEngine, Steps
from syft_ext.mpc.fixed import encode, raw_bound
from syft_ext.mpc.interpreter import check_protocols, interpret
from syft_ext.mpc.local import Traffic, dry_run
from syft_ext.mpc.placing import as_share
from syft_ext.mpc.registry import dealt_engine, dry_engine, replicated_engine
from syft_ext.mpc.ring import KEY_BYTES
from syft_ext.mpc.seals import Frame, Seals, public_half
from syft_ext.mpc.shares import ShareTensor
from syft_ext.plans.checking.binding import Binder
from syft_ext.plans.graph.document import Document

__all__ = ["SharedMember", "SharedProgram"]

Waiting: TypeAlias = Generator[int | None, bytes, None]
"""Yields from whom it waits for a frame; None: for its next turn."""


Stepped: TypeAlias = tuple[dict[str, ShareTensor], list[ShareTensor]]
"""The inputs of the next run, and what is opened after the last."""


class SharedProgram:
    """A plan under terms: what every member works out alike, from shapes and public values alone.

    Raises :class:`BadRequest` where terms and plan do not fit, :class:`Unsupported` for an operation without a
    protocol.
    """

    def __init__(self, document: Document, terms: SharedTerms, public: Mapping[str, torch.Tensor]) -> None:
        terms.check()
        self.document, self.terms = document, terms
        self.shared = {each.name: each for each in terms.inputs}
        self.place = {each.name: number for number, each in enumerate(document.inputs)}
        self.output = {each.name: number for number, each in enumerate(document.outputs)}
        if not (
            self.shared.keys() <= self.place.keys()
            and set(terms.carried) | set(terms.opened) <= self.output.keys()
        ):
            raise BadRequest("the terms name inputs or outputs that the plan has not", field="shared")
        binder = Binder(document)
        self.public: list[torch.Tensor | None] = []
        blanks = []
        for item, default, dtype in zip(document.inputs, binder.defaults, binder.dtypes, strict=True):
            given = public.get(item.name, default)
            if item.name in self.shared:
                if not dtype.is_floating_point:
                    raise BadRequest(f"input {item.name} is not of floating point: it cannot be shared")
                self.public.append(None)
                blanks.append(torch.empty(self.shared[item.name].shape, dtype=dtype, device="meta"))
            elif given is None:
                raise BadRequest(f"the plan's input {item.name!r} is given nothing")
            else:
                self.public.append(given)
                blanks.append(given)
        self.binding = binder.bind(blanks)
        check_protocols(document, [each is None for each in self.public])

    def blank(self, engine: ShareEngine) -> dict[str, ShareTensor]:
        """Shares of the inputs that are all 0."""
        return {
            name: engine.constant(torch.zeros(each.shape, dtype=torch.int64), *self._kind(name))
            for name, each in self.shared.items()
        }

    def _kind(self, name: str) -> tuple[int, int]:
        precision = self.terms.precision
        return precision, raw_bound(self.shared[name].bound, precision)

    def given(self, own: Mapping[str, torch.Tensor]) -> list[Given]:
        """All shared inputs in the order of the terms; ``own``: a party's, encoded."""
        return [
            Given(
                each.party,
                own[each.name] if each.name in own else torch.zeros(each.shape, dtype=torch.int64),
                *self._kind(each.name),
            )
            for each in self.terms.inputs
        ]

    def step(
        self, engine: ShareEngine, shares: Mapping[str, ShareTensor], *, last: bool
    ) -> Steps[tuple[dict[str, ShareTensor], list[ShareTensor]]]:
        """One run: the shares of the next one's inputs, and of what is opened after the ``last``. After that all
        ranges held; whether they held before is not told earlier."""
        inputs: list[Any] = [
            shares[item.name] if given is None else given
            for item, given in zip(self.document.inputs, self.public, strict=True)
        ]
        found = yield from interpret(engine, self.document, inputs, self.binding)
        following = dict(shares)
        for output, name in self.terms.carried.items():
            value = yield from engine.rounded(as_share(engine, found[self.output[output]]))
            value = engine.aligned(value, engine.precision)
            if list(value.shape) != self.shared[name].shape:
                raise BadRequest(f"output {output} is not of the shape of input {name}")
            bound = self._kind(name)[1]
            following[name] = replace(engine.within(value, bound), bound=bound)
        opened = []
        for output in self.terms.opened:
            value = yield from engine.rounded(as_share(engine, found[self.output[output]]))
            opened.append(engine.aligned(value, engine.precision))
        yield from engine.settle() if last else engine.probe()
        return following, opened

    def demands(self, *, last: bool = True) -> tuple[DemandList, Traffic]:
        """What one step asks of the dealer, and what it costs a party in rounds and bytes."""
        engine, demands = dry_engine(self.terms.protocol, self.terms.security, self.terms.precision)
        _, traffic = dry_run(self.step(engine, self.blank(engine), last=last))
        return demands, traffic


class SharedMember:
    """``index``: its place among parties; the dealer comes behind them. ``own``: its inputs, by name."""

    def __init__(self, index: int, program: SharedProgram, own: Mapping[str, torch.Tensor]) -> None:
        self.index, self.program, self.own = index, program, own
        self._secret = os.urandom(32)
        self.public_key = public_half(self._secret)
        self._seals: Seals | None = None
        self._inbox: dict[int, deque[bytes]] = {}
        self._outbox: list[Frame] = []
        self._work: Waiting | None = None
        self._waits: int | None = None
        self.finished = self.failed = self._started = False
        self._parties, self._reader = len(program.terms.parties), len(program.terms.members)
        self._dealer = self._parties  # where there is one
        if index < self._parties:
            terms, names = program.terms, {each.name for each in program.terms.inputs if each.party == index}
            if own.keys() != names:
                raise BadRequest("these are not the inputs that the terms take from this party")
            self._encoded = {name: self._encode(name, own[name], terms.precision) for name in sorted(names)}

    def _encode(self, name: str, tensor: torch.Tensor, precision: int) -> torch.Tensor:
        shared = self.program.shared[name]
        if list(tensor.shape) != shared.shape:
            raise BadRequest(f"input {name} is not of the shape that the terms say")
        return encode(tensor, precision, shared.bound)

    def begin(self, keys: Sequence[bytes], transcript: bytes) -> None:
        """``keys``: of the parties and the dealer, in order; ``transcript``: digest of terms, plan and keys."""
        if self._seals is not None:
            raise ProtocolAborted("this member has begun already")
        if len(keys) != self._reader or keys[self.index] != self.public_key:
            raise ProtocolAborted("another key stands for this member")
        everybody = [*keys, bytes.fromhex(self.program.terms.reader)]
        self._seals = Seals(self.index, self._secret, everybody, transcript)
        self._coins = hashlib.sha256(b"grid shares coins" + transcript).digest()[:KEY_BYTES]
        self._work = self._compute() if self.index < self._parties else self._deal()

    def advance(self, frames: Sequence[Frame]) -> list[Frame]:
        """Take frames, go on as far as they allow, and return what is to be carried.

        Raises :class:`ProtocolAborted` or :class:`OutOfRange`: it is over then, and nothing was opened here.
        """
        if self._seals is None or self._work is None or self.failed:
            raise ProtocolAborted("this member has not begun, or has given up")
        try:
            for frame in frames:
                self._inbox.setdefault(frame.sender, deque()).append(self._seals.open(frame))
            self._go_on(self._work)
        except BaseException:
            self.failed = True
            self._outbox.clear()
            raise
        sent, self._outbox = self._outbox, []
        return sent

    def _go_on(self, work: Waiting) -> None:
        if self.finished:
            return
        try:
            if not self._started:
                self._started = True
                self._waits = next(work)
            elif self._waits is None:
                self._waits = work.send(b"")
            while self._waits is not None and self._inbox.get(self._waits):
                self._waits = work.send(self._inbox[self._waits].popleft())
        except StopIteration:
            self.finished = True

    def _send(self, receiver: int, data: bytes) -> None:
        assert self._seals is not None
        self._outbox.append(self._seals.seal(receiver, data))

    # -- the dealer -----------------------------------------------------------------------------------

    def _deal(self) -> Waiting:
        keys = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
        for party, key in enumerate(keys):
            self._send(party, key)
        dealer, steps = Dealer(keys), self.program.terms.steps
        for number in range(1, steps + 1):
            if number in (1, steps):  # all steps ask for the same, but the last one
                demands, _ = self.program.demands(last=number == steps)
            pieces = [_bytes(each) for each in dealer.corrections(demands.demands)]
            self._send(1, b"".join(pieces))
            yield None

    # -- a party --------------------------------------------------------------------------------------

    def _compute(self) -> Waiting:
        terms = self.program.terms
        kind = (terms.protocol, terms.security, self.index, terms.precision)
        supply: Supply | None = None
        if terms.dealer is None:
            engine = replicated_engine(*kind, self._component_keys(), self._coins)
        else:
            key = yield self._dealer
            if len(key) != KEY_BYTES:
                raise ProtocolAborted("the dealer sent no key")
            supply = Supply(self.index, key)
            engine = dealt_engine(*kind, supply, self._coins)
        dealt = yield from self._drive(engine.deal(self.program.given(self._encoded)))
        shares = {each.name: share for each, share in zip(terms.inputs, dealt, strict=True)}
        opened: list[ShareTensor] = []
        for number in range(1, terms.steps + 1):
            if supply is not None and self.index == 1:
                supply.fill((yield self._dealer))
            step = self.program.step(engine, shares, last=number == terms.steps)
            shares, opened = yield from self._drive(step)
        self._send(self._reader, b"".join(_bytes(part) for each in opened for part in each.parts))

    def _component_keys(self) -> tuple[bytes, bytes]:
        """Of its own component, which the party before holds too, and of the next one. No message is needed."""
        assert self._seals is not None
        others = (self.index - 1) % self._parties, (self.index + 1) % self._parties
        one, two = (self._seals.common(other, b"grid shares component")[:KEY_BYTES] for other in others)
        return one, two

    def _drive(self, steps: Steps[Any]) -> Generator[int | None, bytes, Any]:
        """Run a protocol over frames."""
        try:
            turn = next(steps)
            while True:
                for party, tensors in turn.sent.items():
                    if tensors:
                        self._send(party, b"".join(map(_bytes, tensors)))
                came: Mail = {}
                for party, like in turn.awaited.items():
                    came[party] = _tensors((yield party), like) if like else []
                turn = steps.send(came)
        except StopIteration as end:
            return end.value


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def _tensors(data: bytes, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Raises :class:`ProtocolAborted` for another number of bytes than the protocol has here."""
    found, position = [], 0
    for each in like:
        size = each.numel() * each.element_size()
        piece = bytearray(data[position : position + size])
        if len(piece) != size:
            raise ProtocolAborted("a message is shorter than the protocol says")
        empty = torch.empty(each.shape, dtype=each.dtype)
        found.append(torch.frombuffer(piece, dtype=each.dtype).reshape(each.shape) if size else empty)
        position += size
    if position != len(data):
        raise ProtocolAborted("a message is longer than the protocol says")
    return found
