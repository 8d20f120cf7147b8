"""Mutated ciphertexts against the library, which must be in a confined child: ``python -m
tests.encrypted.mutated 10000``.

Prints how many were accepted and refused, and how often the child ended (0 is what is hoped for; an end is
survived by its parent).
"""

from __future__ import annotations

import random
import sys
from collections import Counter

from syft_ext.encrypted.context import EncryptionKeys, library_child
from syft_ext.encrypted.values import CKKSVector
from syft_ext.errors import GridError, Unavailable

__all__ = ["mutated"]


def mutated(keys: EncryptionKeys, count: int, *, seed: int) -> Counter[str]:
    """How often a mutated ciphertext was ``accepted``, ``refused``, or the child ``ended``."""
    rng, found = random.Random(seed), Counter[str]()
    value = CKKSVector.encrypt(keys, [1.0] * 10)
    (length,) = (int.from_bytes(value.content[-(4 + value.form.set.ciphertext_bytes(0)) :][:4], "little"),)
    start = len(value.content) - value.form.set.ciphertext_bytes(0)
    for _ in range(count):
        content = bytearray(value.content)
        for _ in range(rng.choice([1, 4, 32])):
            # Half of them in the header of SEAL, where lengths and parameters are.
            place = rng.randrange(96 if rng.random() < 0.5 else length)
            content[start + place] ^= 1 << rng.randrange(8)
        try:
            CKKSVector(value.form, bytes(content)).decrypt(keys)
            found["accepted"] += 1
        except Unavailable:
            found["ended"] += 1
        except GridError:
            found["refused"] += 1
    return found


if __name__ == "__main__":
    outcomes = mutated(
        EncryptionKeys.generate("add4096"), int(sys.argv[1]), seed=int((sys.argv[2:] or ["1"])[0])
    )
    print(dict(outcomes), "the child is", "over" if library_child().over else "alive")
