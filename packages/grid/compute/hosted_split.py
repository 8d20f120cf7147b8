"""A member of a run of a split network inside a host process: its plan, its rows, its parameters."""

from __future__ import annotations

import msgspec
import torch

from syft_ext.errors import BadRequest
from syft_ext.messages.split_terms import Crossing, SplitTerms
from syft_ext.mpc.seals import frames_of, packed_frames
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
from syft_ext.split.crossing import Border
from syft_ext.split.member import SplitMember
from syft_ext.tensors import decode_tensors, iter_tensors

__all__ = ["HostedSplit", "warm_up"]


def warm_up() -> None:
    """Load what exact noise imports at its first use: a confined process can read no file."""
    Border(Crossing(clip=1.0, noise_multiplier=1.0))(torch.ones(2, 2))


class HostedSplit:
    """``index``: its place; ``plan``: bytes, checked here; ``values``: a tensor file with its rows, parameters and
    public values. Raises :class:`InvalidPlan`, and as :class:`SplitMember` does."""

    def __init__(self, index: int, terms: bytes, plan: bytes, values: bytes, limits: Limits) -> None:
        try:
            agreed = msgspec.msgpack.decode(terms, type=SplitTerms)
        except msgspec.MsgspecError as error:
            raise BadRequest("these are no terms") from error
        program = Plan.read(plan, limits)
        program.check()
        program.self_test()
        self._member = SplitMember(index, agreed, program, decode_tensors(values) if values else {})
        self.key = self._member.public_key

    def begin(self, keys: list[bytes], transcript: bytes) -> None:
        """As :meth:`SplitMember.begin`."""
        self._member.begin(keys, transcript)

    def advance(self, frames: bytes) -> tuple[bytes, bool]:
        """Frames in and out, and whether it has finished. Raises as :meth:`SplitMember.advance`."""
        with torch._C._AutoDispatchBelowAutograd():
            return packed_frames(self._member.advance(frames_of(frames))), self._member.finished

    def rows(self) -> list[memoryview]:
        """A tensor file of what stays at its owner's; none for nothing."""
        kept = self._member.kept()
        return list(iter_tensors(kept)) if kept else []
