"""The life of a round at one key host.

OPEN ─grant(M)→ GRANTED(M) ─confirm(output)→ RELEASED(output)
  └──── erase_at, recover ────┴→ EXPIRED

M is the digest of a manifest. What was granted for M is granted for M again, and for nothing else ever; the first
output that is confirmed is the only one. Charging comes with the first grant, and is never undone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from syft_ext.errors import KeyRefused

__all__ = [
    "MOST_ATTEMPTS",
    "RELEASE_SEED_LIVES",
    "RoundEffect",
    "RoundFacts",
    "RoundStatus",
    "RoundStep",
    "confirm",
    "expire",
    "grant",
    "recover",
]

MOST_ATTEMPTS = 32
"""Grants of one round: a bound on work, not on what leaks (amendments §3)."""
RELEASE_SEED_LIVES = 86_400
"""Seconds after the release in which the share of the output can be had again (A16)."""


class RoundStatus(StrEnum):
    """Where a round is; the last two are final."""

    OPEN = "open"
    GRANTED = "granted"
    RELEASED = "released"
    EXPIRED = "expired"


class RoundEffect(StrEnum):
    """What happens besides, in the same transaction, before anything leaves.

    CHARGE: the scope pays, participations are counted, the ledger grows. RECORD: the ledger grows.
    ERASE_UPLOAD_SEED, ERASE_SEEDS: what is erased can open nothing any more.
    """

    CHARGE = "charge"
    RECORD = "record"
    ERASE_UPLOAD_SEED = "erase-upload-seed"
    ERASE_SEEDS = "erase-seeds"


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """What a host knows of a round.

    Attributes:
        manifest, output: SHA-256 of what was granted, and of the sealed output that was confirmed; None before.
        attempts: how often its key was given away.
        erase_at: seconds since the epoch; from then on it is EXPIRED, unless it is RELEASED.
        released_at: seconds since the epoch.
    """

    status: RoundStatus
    erase_at: int
    manifest: bytes | None = None
    output: bytes | None = None
    attempts: int = 0
    released_at: int | None = None


@dataclass(frozen=True, slots=True)
class RoundStep:
    """What the round is afterwards, and what has to be done, in this order."""

    facts: RoundFacts
    effects: tuple[RoundEffect, ...] = ()


def grant(facts: RoundFacts, manifest: bytes, at: int) -> RoundStep:
    """The key is asked for, for ``manifest``, whose every other condition holds.

    Raises :class:`KeyRefused`: ``over``, ``other-manifest``, ``attempts``.
    """
    _require_alive(facts, at)
    if facts.status is RoundStatus.RELEASED:
        raise KeyRefused("an output of this round was released already", reason="released")
    if facts.status is RoundStatus.OPEN:
        granted = replace(facts, status=RoundStatus.GRANTED, manifest=manifest, attempts=1)
        return RoundStep(granted, (RoundEffect.CHARGE,))
    _require_same(facts, manifest)
    if facts.attempts >= MOST_ATTEMPTS:
        raise KeyRefused(f"the key was given {facts.attempts} times already", reason="attempts")
    return RoundStep(replace(facts, attempts=facts.attempts + 1))


def confirm(facts: RoundFacts, manifest: bytes, output: bytes, at: int) -> RoundStep:
    """The digest of the one sealed output is set, if none was.

    Raises :class:`KeyRefused`: ``over``, ``not-granted``, ``other-manifest``, ``other-output``.
    """
    if facts.status is RoundStatus.RELEASED:
        _require_same(facts, manifest)
        if facts.output != output:
            raise KeyRefused("another output of this round was released", reason="other-output")
        return RoundStep(facts)
    _require_alive(facts, at)
    if facts.status is RoundStatus.OPEN:
        raise KeyRefused("nothing was granted for this round", reason="not-granted")
    _require_same(facts, manifest)
    released = replace(facts, status=RoundStatus.RELEASED, output=output, released_at=at)
    return RoundStep(released, (RoundEffect.RECORD, RoundEffect.ERASE_UPLOAD_SEED))


def expire(facts: RoundFacts, at: int) -> RoundStep:
    """Its time may have come. A released round stays released; what is left of its seeds goes."""
    if facts.released_at is not None:
        gone = at >= facts.released_at + RELEASE_SEED_LIVES
        return RoundStep(facts, (RoundEffect.ERASE_SEEDS,) if gone else ())
    if at < facts.erase_at or facts.status is RoundStatus.EXPIRED:
        return RoundStep(facts)
    return RoundStep(replace(facts, status=RoundStatus.EXPIRED), (RoundEffect.ERASE_SEEDS,))


def recover(facts: RoundFacts) -> RoundStep:
    """The host was an older self: what it does not know of a round may be its grant to another manifest (A9)."""
    if facts.status is RoundStatus.RELEASED:
        return RoundStep(facts)
    return RoundStep(replace(facts, status=RoundStatus.EXPIRED), (RoundEffect.ERASE_SEEDS,))


def _require_alive(facts: RoundFacts, at: int) -> None:
    if facts.status is RoundStatus.EXPIRED or at >= facts.erase_at:
        raise KeyRefused("this round is over, and its key is gone", reason="over")


def _require_same(facts: RoundFacts, manifest: bytes) -> None:
    if facts.manifest != manifest:
        raise KeyRefused("this round was granted for another manifest, for ever", reason="other-manifest")
