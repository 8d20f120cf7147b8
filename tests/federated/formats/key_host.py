"""A third party that neither a worker nor the node is: it helps to read reports once enough of them are there."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from syft_ext.errors import Forbidden, Unavailable

__all__ = ["KEY_HOSTS", "KeyHost", "mask_of"]

Round = tuple[str, int]
"""Training and number of the cycle."""


def mask_of(seed: bytes, count: int) -> NDArray[np.uint64]:
    """``count`` numbers that nobody can tell from random ones who does not have the ``seed`` (32 bytes)."""
    return np.frombuffer(blake3(key=seed).digest(length=8 * count), np.uint64)


class KeyHost:
    """Args: ``cohort``: so many reports of a cycle must be there before anything is said about any of them."""

    def __init__(self, cohort: int) -> None:
        self.cohort = cohort
        self._keys: dict[Round, bytes] = defaultdict(lambda: secrets.token_bytes(32))
        self._seeds: dict[Round, dict[str, bytes]] = defaultdict(dict)
        self.refusals = 0

    def key_for_sealing(self, round_: Round, assignment_id: str) -> bytes:
        """The cycle's key, for a worker that takes part in it."""
        self._seeds[round_][assignment_id] = b""
        return self._keys[round_]

    def key_for_opening(self, round_: Round) -> bytes:
        """The cycle's key, once enough workers have sealed."""
        self._require(round_, list(self._seeds[round_]))
        return self._keys[round_]

    def seed_of(self, round_: Round, assignment_id: str) -> bytes:
        """What a worker makes its mask of: the same for every try."""
        return self._seeds[round_].setdefault(assignment_id, secrets.token_bytes(32))

    def sum_of_masks(self, round_: Round, assignment_ids: Sequence[str], count: int) -> NDArray[np.uint64]:
        """The sum of these workers' masks, modulo 2^64: of enough of them, and of none twice."""
        self._require(round_, assignment_ids)
        total = np.zeros(count, np.uint64)
        for assignment_id in assignment_ids:
            total += mask_of(self._seeds[round_][assignment_id], count)
        return total

    def _require(self, round_: Round, assignment_ids: Sequence[str]) -> None:
        if len(set(assignment_ids)) != len(assignment_ids):
            raise Forbidden("a report is in it twice")
        if len(assignment_ids) < self.cohort:
            self.refusals += 1
            raise Unavailable(f"{len(assignment_ids)} reports, at least {self.cohort} are needed")


KEY_HOSTS: dict[str, KeyHost] = {}
"""By the name that stands in ``report_options``."""
