"""Rounds at this host: one key for a context, ever; seeds random, sealed at rest, derived for the policy."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.key_host.chain import head_of
from grid.key_host.core import HostCore, Turn
from grid.key_host.machines.round import RoundEffect, RoundFacts, RoundStatus, RoundStep
from grid.key_host.policies import HeldPolicy, held
from grid.key_host.tables import KeyHostCharge, KeyHostRound
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.hpke import public_key
from syft_ext.confidential.manifest import check_context
from syft_ext.confidential.rounds import OpenRounds, Purpose, RoundContext, RoundKey, derive_secret
from syft_ext.confidential.sessions import CHALLENGE_LIFE
from syft_ext.errors import BadRequest, ExpiredMessage, Forbidden, KeyRefused, TooManyRequests
from syft_ext.messages import key_host as m

__all__ = ["MOST_AHEAD", "HeldRound", "find_round", "open_rounds", "round_of_manifest", "rounds_of"]

MOST_AHEAD = 8
"""Rounds of one training that are open and not granted at once (amendments §3)."""
_LIVE = ("open", "granted")


@dataclass(frozen=True, slots=True)
class HeldRound:
    """A round of which this host has the key, with its row; its context was signed by its Domain."""

    row: KeyHostRound
    context: RoundContext

    @property
    def signed_key(self) -> Signed[RoundKey]:
        """What this host signed."""
        key = RoundKey.decode(self.row.round_key)
        return Signed(body=self.row.round_key, signer=key.host, signature=self.row.round_key_signature)

    @property
    def key(self) -> RoundKey:
        """The two public keys."""
        return RoundKey.decode(self.row.round_key)

    def facts(self) -> RoundFacts:
        """For the machine."""
        row = self.row
        return RoundFacts(
            RoundStatus(row.state),
            erase_at=row.erase_at,
            manifest=None if row.manifest is None else bytes.fromhex(row.manifest),
            output=None if row.output is None else bytes.fromhex(row.output),
            attempts=row.attempts,
            released_at=row.released_at,
        )

    def take(self, step: RoundStep) -> None:
        """Keep what the machine said, and erase what it says; charging is the caller's."""
        row, facts = self.row, step.facts
        row.state, row.attempts, row.released_at = str(facts.status), facts.attempts, facts.released_at
        row.manifest = None if facts.manifest is None else facts.manifest.hex()
        row.output = None if facts.output is None else facts.output.hex()
        if RoundEffect.ERASE_UPLOAD_SEED in step.effects:
            row.upload_seed = None
        if RoundEffect.ERASE_SEEDS in step.effects:
            row.upload_seed = row.release_seed = None

    def secret(self, core: HostCore, purpose: Purpose) -> bytes:
        """The secret of one of its keys. Raises :class:`KeyRefused` (``over``) when its seed is gone."""
        sealed = self.row.upload_seed if purpose == "upload" else self.row.release_seed
        if sealed is None:
            raise KeyRefused("the round's seed was erased", reason="over")
        seed = core.epochs.open(self.row.epoch, sealed, _belongs(core, self.context, purpose))
        return derive_secret(seed, purpose, self.context, core.key)


def _belongs(core: HostCore, context: RoundContext, purpose: Purpose) -> bytes:
    return b"grid round seed v1\0" + purpose.encode() + b"\0" + core.key + context.digest()


def find_round(session: Session, context: bytes) -> HeldRound:
    """The round with the context of this digest. Raises :class:`KeyRefused` (``unknown-round``)."""
    row = session.get(KeyHostRound, context.hex())
    if row is None:
        raise KeyRefused("this host has made no key for the round", reason="unknown-round")
    return HeldRound(row, RoundContext.decode(row.statement))


def round_of_manifest(session: Session, manifest: bytes) -> HeldRound:
    """The round that was granted for this manifest. Raises :class:`KeyRefused` (``not-granted``)."""
    row = session.scalars(select(KeyHostRound).where(KeyHostRound.manifest == manifest.hex())).first()
    if row is None:
        raise KeyRefused("nothing was granted here for this manifest", reason="not-granted")
    return HeldRound(row, RoundContext.decode(row.statement))


def rounds_of(session: Session, domain: str, process_id: str) -> m.DomainRounds:
    """The rounds of a training of this Domain (verify key, hex), in order."""
    rows = session.scalars(
        select(KeyHostRound)
        .where(KeyHostRound.domain_key == domain, KeyHostRound.process_id == process_id)
        .order_by(KeyHostRound.sequence)
    )
    return m.DomainRounds(
        rounds=[
            m.DomainRound(
                sequence=row.sequence, state=row.state, manifest=row.manifest or "", output=row.output or ""
            )
            for row in rows
        ]
    )


def open_rounds(core: HostCore, signed: Signed[OpenRounds]) -> list[Signed[RoundKey]]:
    """The keys of these rounds, made where there are none yet.

    Raises :class:`KeyRefused` (``policy``, ``other-context``, ``charged``), :class:`Forbidden` for a Domain that
    the operator did not name, :class:`TooManyRequests` for more rounds ahead than are kept, and as
    :func:`~syft_ext.confidential.manifest.check_context` for a context that its policy does not allow.
    """
    request = signed.open(OpenRounds, signed.signer)
    if request.host != core.key:
        raise BadRequest("this was signed for another host")
    if any(context.domain != signed.signer for context in request.contexts):
        raise Forbidden("a Domain opens its own rounds only")
    with core.turn() as turn:
        turn.require_running()
        if abs(turn.at - request.at) > CHALLENGE_LIFE:
            raise ExpiredMessage("this was signed too long ago, or ahead of this host's time", now=turn.at)
        return [_open(core, turn, context) for context in request.contexts]


def _open(core: HostCore, turn: Turn, context: RoundContext) -> Signed[RoundKey]:
    session, domain = turn.session, context.domain.hex()
    place = (
        KeyHostRound.domain_key == domain,
        KeyHostRound.process_id == context.process,
        KeyHostRound.sequence == context.sequence,
    )
    row = session.scalars(select(KeyHostRound).where(*place)).first()
    if row is not None:
        if row.context != context.digest().hex():
            raise KeyRefused("this round was opened with another context", reason="other-context")
        return HeldRound(row, context).signed_key
    found = held(session, context.policy)
    found.require("approved")
    check_context(context, found.policy)
    if domain not in (found.row.domains.split() or [domain]):
        raise Forbidden("the operator of this host did not name this Domain for the policy")
    if turn.at > found.policy.not_after:
        raise KeyRefused("no round of this policy begins any more", reason="policy")
    if session.scalar(select(KeyHostCharge.step).where(KeyHostCharge.context == context.digest().hex())):
        raise KeyRefused("this round was granted before this host was recovered", reason="charged")
    _check_room(core, turn, context)
    return _make(core, turn, context, found)


def _check_room(core: HostCore, turn: Turn, context: RoundContext) -> None:
    live = select(func.count()).where(
        KeyHostRound.domain_key == context.domain.hex(),
        KeyHostRound.state.in_(_LIVE),
        KeyHostRound.erase_at > turn.at,
    )
    ahead = live.where(KeyHostRound.process_id == context.process, KeyHostRound.state == "open")
    if (turn.session.scalar(ahead) or 0) >= MOST_AHEAD:
        raise TooManyRequests(f"{MOST_AHEAD} rounds of this training are open already", limit=MOST_AHEAD)
    if (turn.session.scalar(live) or 0) >= core.limits.rounds:
        raise TooManyRequests("as many rounds of this Domain as are kept here are open or granted")


def _make(core: HostCore, turn: Turn, context: RoundContext, found: HeldPolicy) -> Signed[RoundKey]:
    windows, epoch = found.policy.windows, core.epochs.current(turn.at)
    purposes: tuple[Literal["upload"], Literal["release"]] = ("upload", "release")
    seeds = {purpose: secrets.token_bytes(32) for purpose in purposes}
    public = {
        purpose: public_key(context.suite, derive_secret(seed, purpose, context, core.key))
        for purpose, seed in seeds.items()
    }
    key = RoundKey(
        host=core.key,
        context=context.digest(),
        suite=context.suite,
        upload=public["upload"],
        release=public["release"],
        not_before=turn.at,
        upload_until=turn.at + windows.upload,
        erase_at=turn.at + windows.erase,
        head=head_of(turn.session, turn.incarnation),
        simulated=found.simulated,
    )
    signed = Signed.make(key, core.identity)
    sealed = {
        purpose: core.epochs.seal(epoch, seed, _belongs(core, context, purpose))
        for purpose, seed in seeds.items()
    }
    turn.session.add(
        KeyHostRound(
            context=context.digest().hex(),
            domain_key=context.domain.hex(),
            process_id=context.process,
            sequence=context.sequence,
            policy=found.row.digest,
            statement=context.encode(),
            round_key=signed.body,
            round_key_signature=signed.signature,
            key_id=key.digest().hex(),
            epoch=epoch,
            upload_seed=sealed["upload"],
            release_seed=sealed["release"],
            state=str(RoundStatus.OPEN),
            manifest=None,
            output=None,
            attempts=0,
            opened_at=turn.at,
            erase_at=key.erase_at,
            released_at=None,
        )
    )
    turn.session.flush()
    return signed
