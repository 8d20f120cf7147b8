"""A worker's session at this host: challenged without a row of state, appraised, and stated to all who ask."""

from __future__ import annotations

import hmac
import json
import secrets
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import delete
from sqlalchemy.orm import Session

from grid.key_host.chain import head_of
from grid.key_host.core import HostCore, Turn
from grid.key_host.denials import DeniedHere, denied_here, platform_facts, stated
from grid.key_host.peers import remembered
from grid.key_host.policies import HeldPolicy, held
from grid.key_host.revocation import check_revoked, check_session_revoked, kept_evidence, own_lists
from grid.key_host.tables import KeyHostSession, KeyHostState, KeyHostUsedChallenge
from grid.storage.sql.dialect import insert, table_of
from syft_ext.attestation.appraise import appraise
from syft_ext.attestation.evidence import Appraisal
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, evidence_digest
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.sessions import CHALLENGE_LIFE, Challenge, SessionStatement
from syft_ext.errors import InvalidStatement, KeyRefused

__all__ = ["attest", "challenge", "check_denied", "keep_session"]

_REMEMBERED = 17 * 86_400
"""Seconds: longer than a round's keys, and its output's share, can be had."""


def challenge(core: HostCore, ask: ChallengeAsk) -> Challenge:
    """A challenge for this caller, good for five minutes; nothing is written."""
    with core.db.read() as session:
        state = session.get_one(KeyHostState, 1)
    at = max(state.time, int(core.clock.now()))
    blank = Challenge(
        host=core.key,
        incarnation=bytes.fromhex(state.incarnation),
        caller=ask.worker.digest(),
        at=at,
        nonce=secrets.token_bytes(32),
        tag=bytes(32),
    )
    return _tagged(core, blank)


def _tagged(core: HostCore, given: Challenge) -> Challenge:
    blank = Challenge(
        host=given.host,
        incarnation=given.incarnation,
        caller=given.caller,
        at=given.at,
        nonce=given.nonce,
        tag=bytes(32),
    )
    secret = core.identity.derive_secret("key host challenges")
    tag = hmac.new(secret, blank.digest(), sha256).digest()
    return Challenge(
        host=blank.host,
        incarnation=blank.incarnation,
        caller=blank.caller,
        at=blank.at,
        nonce=blank.nonce,
        tag=tag,
    )


def attest(core: HostCore, ask: AttestAsk) -> Signed[SessionStatement]:
    """This host's word on a session whose evidence holds now, under its policy, bound to these challenges.

    Raises :class:`KeyRefused` (``challenge``, ``policy``, ``denied``), and
    :class:`~syft_ext.errors.EvidenceRefused`.
    """
    with core.db.read() as session:
        found = held(session, ask.policy)
    found.require("approved", "retired")
    own = _own_challenge(core, ask, found)
    at = core.now()
    _check_fresh(core, own, at)
    # Before the turn: it may take milliseconds, and needs nothing of what others may change.
    appraisal = appraise(ask.evidence, found.policy.evidence, datetime.fromtimestamp(at, UTC), ask.binding())
    with core.turn() as turn:
        turn.require_running()
        found = held(turn.session, ask.policy)
        found.require("approved", "retired")
        if own.incarnation != turn.incarnation:
            raise KeyRefused("the challenge is of an earlier incarnation of this host", reason="challenge")
        _check_fresh(core, own, turn.at)
        denied_here(turn.session).check_appraisal(appraisal)
        check_revoked(ask.evidence, own_lists(turn.session), at)
        _use(turn, own)
        statement = _statement(core, turn, ask, found, appraisal)
        _remember(turn, statement, appraisal, kept_evidence(ask.evidence))
    return Signed.make(statement, core.identity)


def _own_challenge(core: HostCore, ask: AttestAsk, found: HeldPolicy) -> Challenge:
    hosts = [host.key for host in found.policy.hosts]
    challenges = ask.challenges.challenges
    if [each.host for each in challenges] != hosts:
        raise InvalidStatement("a session answers one challenge of each host, in the policy's order")
    if any(each.caller != ask.worker.digest() for each in challenges):
        raise KeyRefused("a challenge that was given to another worker", reason="challenge")
    own = challenges[hosts.index(core.key)]
    if not hmac.compare_digest(own.tag, _tagged(core, own).tag):
        raise KeyRefused("this host has given no such challenge", reason="challenge")
    return own


def _check_fresh(core: HostCore, own: Challenge, at: int) -> None:
    if not own.at <= at <= own.at + CHALLENGE_LIFE:
        raise KeyRefused("the challenge is too old: ask for another", reason="challenge")


def _use(turn: Turn, own: Challenge) -> None:
    """Once; what is too old to be used again is forgotten."""
    table = table_of(KeyHostUsedChallenge)
    turn.session.execute(delete(KeyHostUsedChallenge).where(KeyHostUsedChallenge.until < turn.at))
    row = {"challenge": own.digest().hex(), "until": own.at + CHALLENGE_LIFE}
    adding = insert(turn.session, table).on_conflict_do_nothing().values(row).returning(table.c.challenge)
    if turn.session.scalar(adding) is None:
        raise KeyRefused("this challenge was answered already: ask for another", reason="challenge")


def _remember(turn: Turn, statement: SessionStatement, appraisal: Appraisal, evidence: bytes) -> None:
    """What was appraised, for as long as a round may be granted to the session; one that is granted a key is
    remembered until its output is released (:func:`keep_session`)."""
    turn.session.execute(delete(KeyHostSession).where(KeyHostSession.until < turn.at))
    facts = json.dumps(platform_facts(appraisal))
    until = turn.at + 2 * CHALLENGE_LIFE
    name = statement.digest().hex()
    turn.session.add(KeyHostSession(session=name, platform=facts, until=until, evidence=evidence))


def keep_session(turn: Turn, statement: SessionStatement) -> None:
    """Remember what was appraised of a session that was granted a key: its output may be released later."""
    row = turn.session.get(KeyHostSession, statement.digest().hex())
    if row is not None:
        row.until = turn.at + _REMEMBERED


def check_denied(session: Session, denied: DeniedHere, statement: SessionStatement) -> None:
    """Hold a session that this host stated against what is denied now: programs, levels of platforms, and what
    makers' lists revoke.

    Raises :class:`KeyRefused`: ``denied``, ``revoked``; ``session`` for one of which nothing is known any more.
    """
    denied.check_workloads(statement.workloads)
    check_session_revoked(session, statement)
    if not denied.levels:
        return
    row = session.get(KeyHostSession, statement.digest().hex())
    if row is None:
        raise KeyRefused("this host knows nothing of the session any more: attest again", reason="session")
    denied.check_platform(json.loads(row.platform))


def _statement(
    core: HostCore, turn: Turn, ask: AttestAsk, found: HeldPolicy, appraisal: Appraisal
) -> SessionStatement:
    return SessionStatement(
        host=core.key,
        worker=ask.worker,
        challenges=ask.challenges.digest(),
        policy=ask.policy,
        domain=ask.domain,
        process=ask.process,
        workloads=appraisal.workload,
        evidence=evidence_digest(ask.evidence),
        simulated=appraisal.simulated,
        at=turn.at,
        not_after=min(turn.at + CHALLENGE_LIFE, int(appraisal.not_after.timestamp())),
        head=head_of(turn.session, turn.incarnation),
        peers=remembered(turn.session, [host.key for host in found.policy.hosts if host.key != core.key]),
        denied=stated(turn.session),
    )
