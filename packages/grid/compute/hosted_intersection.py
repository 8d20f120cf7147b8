"""A member of an intersection inside a host process: ids and, where rows are kept, the rows of each."""

from __future__ import annotations

import msgspec
import torch

from syft_ext.errors import BadRequest, Conflict
from syft_ext.intersection.group import fresh_scalar, hashed, multiplied
from syft_ext.intersection.member import IntersectionMember
from syft_ext.messages.intersection_terms import IntersectionTerms
from syft_ext.mpc.seals import frames_of, packed_frames
from syft_ext.tensors import decode_tensors, iter_tensors

__all__ = ["HostedIntersection", "warm_up"]

_IDS = msgspec.msgpack.Decoder(list[bytes])


def warm_up() -> None:
    """Load what the group's library imports at its first use: a confined process can read no file."""
    multiplied(fresh_scalar(), hashed(bytes(32), b"warm"))


class HostedIntersection:
    """``ids``: msgpack of a list of bytes; ``values``: a tensor file, as many rows in each tensor. Raises
    :class:`BadRequest`, and as :class:`IntersectionMember` does."""

    def __init__(self, index: int, terms: bytes, ids: bytes, values: bytes) -> None:
        try:
            agreed = msgspec.msgpack.decode(terms, type=IntersectionTerms)
            own = _IDS.decode(ids)
        except msgspec.MsgspecError as error:
            raise BadRequest("these are no terms, or no ids") from error
        self._values = decode_tensors(values) if values else {}
        if self._values.keys() != agreed.sides[index].rows.keys():
            raise BadRequest("the terms keep other rows than these")
        if any(tensor.shape[0] != len(own) for tensor in self._values.values()):
            raise BadRequest("there is no row for each id")
        self._member = IntersectionMember(index, agreed, own)
        self.key = self._member.public_key

    def begin(self, keys: list[bytes], transcript: bytes) -> None:
        """As :meth:`IntersectionMember.begin`."""
        self._member.begin(keys, transcript)

    def advance(self, frames: bytes) -> tuple[bytes, bool]:
        """Frames in and out, and whether it has finished. Raises as :meth:`IntersectionMember.advance`."""
        return packed_frames(self._member.advance(frames_of(frames))), self._member.finished

    def rows(self) -> list[memoryview]:
        """A tensor file of the rows of common ids, in the order that both parties have."""
        if not self._member.finished or not self._values:
            raise Conflict("this member keeps no rows, or has not finished")
        places = torch.tensor(self._member.matched, dtype=torch.int64)
        return list(iter_tensors({name: tensor[places] for name, tensor in self._values.items()}))
