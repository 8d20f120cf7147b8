"""What the reference values of all kinds have in common: how they are checked when a policy is made or read."""

from __future__ import annotations

from collections.abc import Iterable

from syft_ext.errors import InvalidConfig

__all__ = ["InvalidPolicy", "check_bits", "check_sizes_of", "check_some"]

_U64 = (1 << 64) - 1


class InvalidPolicy(InvalidConfig, ValueError):
    """A policy that says nothing, contradicts itself, or would accept what no policy may.

    A ``ValueError`` too, so that decoding one is a decoder's error like any other.
    """

    code, title = "invalid-policy", "The policy cannot be honoured"


def check_sizes_of(what: str, values: Iterable[bytes], size: int) -> None:
    """Every value has ``size`` bytes."""
    for value in values:
        if len(value) != size:
            raise InvalidPolicy(f"{what}: {size} bytes each, one has {len(value)}")


def check_some(what: str, values: tuple[object, ...]) -> None:
    """At least one value, and none twice: an empty list would accept nothing, and nobody means that."""
    if not values:
        raise InvalidPolicy(f"{what}: there must be at least one")
    if len(set(values)) != len(values):
        raise InvalidPolicy(f"{what}: one is there twice")


def check_bits(what: str, *values: int) -> None:
    """Each is a whole number of 64 bits without a sign."""
    for value in values:
        if not 0 <= value <= _U64:
            raise InvalidPolicy(f"{what}: {value} is no mask of 64 bits")
