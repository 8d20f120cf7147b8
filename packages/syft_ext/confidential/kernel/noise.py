"""The noise of an output: which words it follows from, and that nobody can have them before it is too late.

Each upload that opens gives n_i = HKDF(content key, info = "grid noise v1\\0" ‖ M ‖ assignment), and

    seed = HMAC-SHA-256(M, XOR of all n_i ‖ SHA-256(one byte for each upload: 1 if it opened) ‖ policy digest),

which is HKDF's extraction (RFC 5869). Whoever lacks the content key of one upload, an honest participant's say,
knows nothing of the seed; and whoever has it can read that upload anyway. Which uploads open follows from what the
manifest M fixes, so every attempt, on any machine, has one seed, and a repeated round no second draw.

Number i of the sum gets number i mod 65,536 of the discrete Gaussian's sequence
(:mod:`syft_ext.privacy.noise`: exact, decided by whole numbers) under the key
HKDF-Expand(seed, "grid noise block v1\\0" ‖ ⌊i / 65,536⌋ as 8 bytes, big-endian). A sequence is the same however
many numbers are drawn at a time, so that nothing depends on the size of a batch.
"""

from __future__ import annotations

import hashlib
import hmac
from fractions import Fraction
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from numpy.typing import NDArray

from syft_ext.confidential.hpke import hkdf
from syft_ext.privacy.noise import DiscreteGaussian

__all__ = ["BLOCK", "NoiseSeed", "add_noise"]

BLOCK = 1 << 16
"""Numbers under one key."""
_SIZE = 32


class NoiseSeed:
    """The seed of one manifest's noise, from its uploads in their order.

    Args:
        manifest: M, 32 bytes.
        policy: the policy's digest, 32 bytes.
    """

    def __init__(self, manifest: bytes, policy: bytes) -> None:
        self._manifest, self._policy = manifest, policy
        self._mixed = bytes(_SIZE)
        self._opened = bytearray()

    def opened(self, content_key: bytes, assignment: str) -> None:
        """The next upload opened, with this content key."""
        info = b"grid noise v1\0" + self._manifest + assignment.encode()
        part = hkdf(content_key, b"", info, _SIZE)
        self._mixed = bytes(one ^ other for one, other in zip(self._mixed, part, strict=True))
        self._opened.append(1)

    def unopened(self) -> None:
        """The next upload did not open."""
        self._opened.append(0)

    def finish(self) -> bytes:
        """The seed, 32 bytes."""
        found = hashlib.sha256(self._opened).digest()
        return hmac.digest(self._manifest, self._mixed + found + self._policy, "sha256")


def add_noise(totals: NDArray[Any], seed: bytes, sigma: Fraction) -> None:
    """Add a discrete Gaussian of this deviation to each number of a flat int64 array, in place.

    Args:
        sigma: in the array's units, exactly; 0 adds nothing.

    Raises :class:`~syft_ext.errors.BadRequest` if a sum might not fit into 64 bits, for which a policy leaves
    room.
    """
    if not sigma:
        return
    distribution = DiscreteGaussian(sigma * sigma)
    for index, start in enumerate(range(0, len(totals), BLOCK)):
        info = b"grid noise block v1\0" + index.to_bytes(8, "big")
        key = HKDFExpand(SHA256(), _SIZE, info).derive(seed)
        distribution.draws(key).add(totals[start : start + BLOCK])
