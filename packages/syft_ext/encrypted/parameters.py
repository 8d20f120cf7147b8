"""The sets of parameters, by name. No other ones are ever made or read: a library takes weak ones without a word.

All have at least 128 bits of security by the table of the Homomorphic Encryption Standard (2018) for a
ternary secret: 109 bits of modulus at degree 4096, 218 at degree 8192.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from syft_ext.errors import Unsupported

__all__ = ["PARAMETERS", "ParameterSet", "Scheme", "parameters_of"]

Scheme = Literal["ckks", "bfv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSet:
    """Attributes:
    degree: of the polynomials. scheme: approximate reals (``ckks``) or exact whole numbers (``bfv``).
    modulus_bits: of the primes of the modulus, the last of which is for keys only.
    scale_bits: what numbers of CKKS are scaled by, as a power of two. plain_modulus: of BFV, else 0.
    rotates: whether a public context holds Galois keys, without which there are no inner products.
    ranges: the largest magnitude that a value may have after so many products; as many products as it has
        entries beyond the first. Half of where numbers wrap around, without a word, into others.
    largest_context: bytes of a public context.
    """

    name: str
    scheme: Scheme
    degree: int
    modulus_bits: tuple[int, ...]
    scale_bits: int = 0
    plain_modulus: int = 0
    rotates: bool = False
    ranges: tuple[float, ...]
    largest_context: int

    @property
    def slots(self) -> int:
        """Numbers in one ciphertext."""
        return self.degree // 2 if self.scheme == "ckks" else self.degree

    @property
    def depth(self) -> int:
        """Products that can follow one another."""
        return len(self.ranges) - 1

    def primes(self, depth: int) -> int:
        """Primes of a ciphertext's modulus after so many products: CKKS gives one away with each."""
        return len(self.modulus_bits) - 1 - (depth if self.scheme == "ckks" else 0)

    def ciphertext_bytes(self, depth: int) -> int:
        """At most so many bytes for one ciphertext: two polynomials of 64-bit words, a header, and what a
        compression that finds nothing adds."""
        words = 2 * self.primes(depth) * self.degree * 8
        return words + words // 128 + 1024


PARAMETERS = {
    each.name: each
    for each in (
        ParameterSet(
            name="add4096",
            scheme="ckks",
            degree=4096,
            modulus_bits=(54, 54),
            scale_bits=40,
            ranges=(4096.0,),
            largest_context=256 << 10,
        ),
        ParameterSet(
            name="mul8192",
            scheme="ckks",
            degree=8192,
            modulus_bits=(60, 40, 40, 60),
            scale_bits=40,
            rotates=True,
            ranges=(2.0**30, 2.0**30, 2.0**18),
            largest_context=48 << 20,
        ),
        ParameterSet(
            name="int4096",
            scheme="bfv",
            degree=4096,
            modulus_bits=(36, 36, 37),
            plain_modulus=1032193,
            ranges=(516096.0, 516096.0),
            largest_context=1 << 20,
        ),
    )
}


def parameters_of(name: str) -> ParameterSet:
    """The set of that name. Raises :class:`Unsupported`, with those that there are."""
    found = PARAMETERS.get(name)
    if found is None:
        raise Unsupported(
            f"there are no parameters {name[:40]!r}; there are: {', '.join(PARAMETERS)}", parameters=name[:40]
        )
    return found
