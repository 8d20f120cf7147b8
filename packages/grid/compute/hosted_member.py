"""A member of a computation on shares inside a host process: what was staged becomes its plan and its values."""

from __future__ import annotations

import msgspec
import torch

from syft_ext.errors import BadRequest, Conflict
from syft_ext.messages.shared_terms import PROTOCOLS, SharedTerms
from syft_ext.mpc import functions
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.local import dry_run
from syft_ext.mpc.member import SharedMember, SharedProgram
from syft_ext.mpc.registry import dry_engine
from syft_ext.mpc.ring import KEY_BYTES, WordStream
from syft_ext.mpc.seals import Seals, frames_of, packed_frames, public_half
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
from syft_ext.tensors import decode_tensors

__all__ = ["HostedMember", "warm_up"]


def warm_up() -> None:
    """Load what ciphers and torch import at their first use: a confined process can read no file."""

    def program(engine: ShareEngine) -> Steps[None]:
        share = engine.constant(torch.zeros(2, 2, dtype=torch.int64), 16, 1 << 40)
        yield from functions.relu(engine, (yield from engine.multiply(share, share, "matmul")))
        yield from engine.settle()

    for name, facts in PROTOCOLS.items():
        for security in facts.securities:
            dry_run(program(dry_engine(name, security, 16)[0]))
    WordStream(bytes(KEY_BYTES)).words((1,))
    secrets = [bytes([place + 1]) * 32 for place in range(2)]
    keys = [public_half(secret) for secret in secrets]
    one, two = (Seals(place, secret, keys, bytes(32)) for place, secret in enumerate(secrets))
    two.open(one.seal(1, b"warm"))


class HostedMember:
    """``index``: its place; ``plan``: bytes, checked here; ``values``: a tensor file with its own inputs and the
    public ones. Raises :class:`InvalidPlan`, and as :class:`SharedProgram` and :class:`SharedMember` do."""

    def __init__(self, index: int, terms: bytes, plan: bytes, values: bytes, limits: Limits) -> None:
        try:
            agreed = msgspec.msgpack.decode(terms, type=SharedTerms)
        except msgspec.MsgspecError as error:
            raise BadRequest("these are no terms") from error
        program = Plan.read(plan, limits)
        program.check()
        program.self_test()
        tensors = decode_tensors(values) if values else {}
        shared = {each.name: each.party for each in agreed.inputs}
        own = {name: tensor for name, tensor in tensors.items() if shared.get(name) == index}
        public = {name: tensor for name, tensor in tensors.items() if name not in shared}
        if len(own) + len(public) != len(tensors):
            raise BadRequest("a value was given that is another party's")
        self._member = SharedMember(index, SharedProgram(program.document, agreed, public), own)
        self.key = self._member.public_key

    def begin(self, keys: list[bytes], transcript: bytes) -> None:
        """As :meth:`SharedMember.begin`."""
        self._member.begin(keys, transcript)

    def advance(self, frames: bytes) -> tuple[bytes, bool]:
        """Frames in and out, and whether it has finished. Raises as :meth:`SharedMember.advance`."""
        if self._member.finished:
            raise Conflict("this member has finished")
        with torch._C._AutoDispatchBelowAutograd():
            return packed_frames(self._member.advance(frames_of(frames))), self._member.finished
