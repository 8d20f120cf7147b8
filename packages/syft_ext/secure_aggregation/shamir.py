"""Shamir's sharing (1979) over the prime field of 2^255 − 19: any t of n shares give the secret, t − 1 give
nothing.

Secrets are seeds of 31 bytes, all of which are field elements. (Raw X25519 secrets of 32 bytes mostly are not.)
Participants have the places 1 to n. Numbers are encoded big-endian, in 32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syft_ext.errors import BadRequest

__all__ = ["PRIME", "SEED_SIZE", "SHARE_SIZE", "Interpolation", "read_share", "share", "write_share"]

PRIME = (1 << 255) - 19
SEED_SIZE, SHARE_SIZE = 31, 32


def share(secret: int, coefficients: Sequence[int], count: int) -> list[int]:
    """The values at 1 … ``count`` of the polynomial with this constant; ``coefficients``: of x, x², …: t − 1 of
    them, uniform in the field."""
    if not 0 <= secret < PRIME or not all(0 <= each < PRIME for each in coefficients):
        raise ValueError("secrets and coefficients are field elements")
    values = []
    for place in range(1, count + 1):
        value = 0
        for coefficient in reversed(coefficients):
            value = (value + coefficient) * place % PRIME
        values.append((value + secret) % PRIME)
    return values


class Interpolation:
    """Lagrange's weights for one set of places: made once, used for every secret that they share.

    Args:
        places: different ones, as many as the threshold.
        at: where the polynomial is wanted; 0: the secret.
    """

    def __init__(self, places: Iterable[int], at: int = 0) -> None:
        self.places = tuple(places)
        if len(set(self.places)) != len(self.places) or not all(0 < each < PRIME for each in self.places):
            raise ValueError("shares are of different places")
        self._weights = []
        for mine in self.places:
            above, below = 1, 1
            for other in self.places:
                if other != mine:
                    above = above * (at - other) % PRIME
                    below = below * (mine - other) % PRIME
            self._weights.append(above * pow(below, -1, PRIME) % PRIME)

    def __call__(self, shares: Mapping[int, int]) -> int:
        """The polynomial's value, from its shares at these places (others are not looked at)."""
        return (
            sum(weight * shares[place] for weight, place in zip(self._weights, self.places, strict=True))
            % PRIME
        )


def write_share(value: int) -> bytes:
    """A field element, in 32 bytes."""
    return value.to_bytes(SHARE_SIZE, "big")


def read_share(data: bytes) -> int:
    """A field element. Raises :class:`BadRequest` for bytes that are none."""
    value = int.from_bytes(data, "big")
    if len(data) != SHARE_SIZE or value >= PRIME:
        raise BadRequest("this is no share of a secret")
    return value
