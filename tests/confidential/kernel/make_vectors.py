"""Write the vectors of the noise, for every later version and for other implementations.

python -m tests.confidential.kernel.make_vectors

refuses to write over those that are there: what was written once stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.confidential.kernel.noise import BLOCK, NoiseSeed, add_noise

__all__ = ["VECTORS", "noise_of", "seed_of"]

VECTORS = Path(__file__).with_name("noise-vectors.json")
Upload = tuple[bytes, str] | None


def seed_of(manifest: bytes, policy: bytes, uploads: Sequence[Upload]) -> bytes:
    """The seed of uploads, each by its content key and assignment, or None for one that did not open."""
    seed = NoiseSeed(manifest, policy)
    for upload in uploads:
        if upload is None:
            seed.unopened()
        else:
            seed.opened(*upload)
    return seed.finish()


def noise_of(size: int, seed: bytes, sigma: Fraction) -> NDArray[Any]:
    """So many numbers of noise."""
    totals = np.zeros(size, np.int64)
    add_noise(totals, seed, sigma)
    return totals


def _case(n: int, uploads: Sequence[Upload], sigma: Fraction, size: int) -> dict[str, Any]:
    manifest, policy = (hashlib.sha256(f"{what} {n}".encode()).digest() for what in ("manifest", "policy"))
    seed = seed_of(manifest, policy, uploads)
    noise = noise_of(size, seed, sigma)
    places = sorted({size // 2, min(BLOCK, size) - 1, min(BLOCK, size - 1), size - 1})
    return {
        "manifest": manifest.hex(),
        "policy": policy.hex(),
        "uploads": [
            None if each is None else {"content_key": each[0].hex(), "assignment": each[1]}
            for each in uploads
        ],
        "seed": seed.hex(),
        "sigma": str(sigma),
        "size": size,
        "first": noise[:8].tolist(),
        "some": {str(place): int(noise[place]) for place in places},
        "sha256": hashlib.sha256(noise.astype("<i8").tobytes()).hexdigest(),
    }


def _cases() -> list[dict[str, Any]]:
    keys: list[Upload] = [
        (hashlib.sha256(f"content key {n}".encode()).digest(), hashlib.md5(f"{n}".encode()).hexdigest())
        for n in range(5)
    ]
    return [
        _case(0, keys, Fraction(1 << 24), BLOCK + 1000),
        _case(1, [keys[0], None, keys[1]], Fraction(5, 3), 1000),
        _case(2, [None, None], Fraction(1, 2), 500),
        _case(3, keys[:1], Fraction(123_456_789, 1000), 2 * BLOCK),
    ]


if __name__ == "__main__":
    if VECTORS.exists():
        sys.exit(f"{VECTORS} is there")
    text = {"about": "syft_ext/confidential/kernel/noise.py says how; sigma is in units of the sum"}
    VECTORS.write_text(json.dumps(text | {"cases": _cases()}, indent=1) + "\n")
