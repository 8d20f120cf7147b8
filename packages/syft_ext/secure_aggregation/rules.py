"""The rules of a training's secure sums: how many take part, how many must stay, how numbers become words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

import msgspec

from syft_ext.errors import InvalidConfig
from syft_ext.privacy.distributed import LEAST_VARIANCE, share_of
from syft_ext.privacy.grid import Grid

__all__ = ["FEWEST", "LARGEST_VARIANCE_TAIL", "MOST", "SumRules"]

FEWEST, MOST = 3, 64
"""Participants of a round. With two, each knows the other's number from the sum; the complete graph costs n²
seals."""

LARGEST_VARIANCE_TAIL = 16
"""Deviations of the whole noise for which words have room: what is beyond comes once in 10^57 numbers."""


class SumRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every participant of a training's rounds holds the Domain to, as its definition says it.

    Attributes:
        participants: n, most of a round: its list of keys is closed when so many are ready.
        threshold: t, participants whose word is needed for anything to be opened; t ≥ ⌈2n/3⌉, and 2t > n +
            ``corrupt``: two sets of survivors never both have t honest or bought signatures.
        minimum: fewest survivors whose sum is opened, at least ``threshold``.
        corrupt: participants who may be in league with the Domain without learning a number of the others.
        clip: the L2 norm that each participant scales its difference down to, all parameters together. It is a
            promise of honest participants: nobody can see whether it was kept.
        bits: of a word: 32, or 64 where weights or noise need the room.
        max_weight: most that one participant's samples count; 1: all count alike.
        noise: the deviation, in units of ``clip``, of the discrete Gaussian noise that the honest survivors'
            shares make together; None: no noise.
        authority: the key (64 hex digits) that signs the certificates of participants; "": the Domain says who
            they are, and could invent some.
        phase_seconds: how long a phase waits for those who are silent, once the list of keys is closed.
    """

    participants: Annotated[int, msgspec.Meta(ge=FEWEST, le=MOST)]
    threshold: Annotated[int, msgspec.Meta(ge=2, le=MOST)]
    minimum: Annotated[int, msgspec.Meta(ge=2, le=MOST)]
    corrupt: Annotated[int, msgspec.Meta(ge=0, le=MOST)]
    clip: Annotated[float, msgspec.Meta(gt=0, le=1e30)]
    bits: Literal[32, 64] = 32
    max_weight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 1
    noise: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    authority: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""
    phase_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 30.0

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> SumRules:
        """SumRules from outside, checked. Raises :class:`InvalidConfig` naming the field."""
        try:
            rules = msgspec.convert(dict(values), cls)
        except msgspec.ValidationError as error:
            raise InvalidConfig(f"secure_aggregation: {error}", field="secure_aggregation") from error
        rules.check()
        return rules

    def check(self) -> None:
        """Raise :class:`InvalidConfig`, naming the field, for rules that do not protect, or do not fit."""
        n, t = self.participants, self.threshold
        if t > n:
            raise _refuse("threshold", f"{t} of {n} participants cannot answer")
        if 3 * t < 2 * n:
            raise _refuse(
                "threshold", f"at least ⌈2n/3⌉ = {-(-2 * n // 3)} of {n} participants must be needed"
            )
        if 2 * t <= n + self.corrupt:
            raise _refuse(
                "corrupt",
                f"with {self.corrupt} of {n} participants in league with the Domain, {t} signatures could be had "
                "for two sets of survivors",
            )
        if not t <= self.minimum <= n:
            raise _refuse("minimum", f"between the threshold, {t}, and the participants, {n}")
        if self.minimum - self.corrupt < 2:
            raise _refuse("minimum", "a sum of fewer than two honest participants is somebody's own number")
        if self.noise is not None and self.max_weight != 1:
            raise _refuse("noise", "under noise all participants count alike: no weights")
        if self.noise is not None and self.variance < LEAST_VARIANCE:
            raise _refuse("noise", f"each share of it needs a variance of {LEAST_VARIANCE} squared steps")
        if not self.fits:
            raise _refuse(
                "bits",
                f"sums of {n} participants, a weight of {self.max_weight} and the noise do not fit into "
                f"{self.bits} bits" + (": take 64" if self.bits == 32 else ""),
            )

    @property
    def fits(self) -> bool:
        """Whether every sum fits into a word."""
        return self.largest < 1 << (self.bits - 1)

    @property
    def needed(self) -> int:
        """Participants without whom a phase is the round's last one."""
        return max(self.minimum, self.threshold)

    @property
    def grid(self) -> Grid:
        """The grid that differences are put on: its step is 2^−24 to 2^−23 of :attr:`clip`."""
        return Grid(self.clip)

    @property
    def honest(self) -> int:
        """Survivors whose noise nobody else knows, at least."""
        return self.minimum - self.corrupt

    @property
    def variance(self) -> Fraction:
        """Of each participant's share of the noise, in squared steps; 0 without noise. The shares of the honest
        survivors alone have the deviation that the rules name."""
        if self.noise is None:
            return Fraction(0)
        deviation = Fraction(self.noise) * Fraction(self.clip) / Fraction(2) ** self.grid.exponent
        return share_of(deviation, self.honest)

    @property
    def largest(self) -> int:
        """How far from zero a sum may be, in steps."""
        spread = LARGEST_VARIANCE_TAIL * (math.isqrt(math.ceil(self.variance * self.participants)) + 1)
        return self.participants * self.max_weight * self.grid.bound + (spread if self.noise else 0)


def _refuse(field: str, reason: str) -> InvalidConfig:
    return InvalidConfig(
        f"server_config: {reason} - at `$.secure_aggregation.{field}`", field=f"secure_aggregation.{field}"
    )
