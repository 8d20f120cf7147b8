"""Whoever a run of a split network opens something to."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from syft_ext.errors import ProtocolAborted
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.mpc.seals import Frame, Seals, public_half
from syft_ext.tensors import decode_tensors

__all__ = ["SplitReader"]


class SplitReader:
    """Holds the key that what is opened is sealed to, which is made for one run."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self.key = public_half(self._secret).hex()

    def opened(
        self, frames: Sequence[Frame], keys: Sequence[bytes], transcript: bytes, terms: SplitTerms
    ) -> dict[str, torch.Tensor]:
        """Output → tensor. Raises :class:`ProtocolAborted` unless the top alone sent what the terms open."""
        seals = Seals(2, self._secret, [*keys, bytes.fromhex(self.key)], transcript)
        if [frame.sender for frame in frames] != [terms.top]:
            raise ProtocolAborted("the top's member has to open what the terms say, and nobody else anything")
        data = seals.open(frames[0])
        found = decode_tensors(data) if data else {}
        if found.keys() != set(terms.opened):
            raise ProtocolAborted("something else was opened than the terms say")
        return {name: found[name] for name in terms.opened}
