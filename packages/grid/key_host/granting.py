"""The grant: everything is checked and charged in one transaction, on the disk before the key leaves.

What costs time and needs no row (signatures of a thousand participants) is checked before the transaction; what
others may change is checked inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from grid.key_host.chain import LedgerEntry, append, head_of
from grid.key_host.charging import charge
from grid.key_host.core import HostCore, Turn
from grid.key_host.denials import denied_here
from grid.key_host.eligibility import check_entries, ineligible
from grid.key_host.machines.round import RoundEffect, RoundStatus, grant
from grid.key_host.peers import learn, lost_row
from grid.key_host.policies import HeldPolicy, held, limits_of
from grid.key_host.rounds import HeldRound, find_round
from grid.key_host.sessions import check_denied, keep_session
from syft_ext.confidential.asks import GrantAsk, ScopeCharge
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.certificates import ParticipantCertificate, names_of, person_of
from syft_ext.confidential.grants import Grant, GrantInfo, GrantRequest
from syft_ext.confidential.hpke import seal
from syft_ext.confidential.manifest import CheckedEntry, Manifest, check_context, check_entry, check_manifest
from syft_ext.confidential.rounds import Head, open_round_keys
from syft_ext.confidential.sessions import CHALLENGE_LIFE, SessionStatement
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    GridError,
    InvalidStatement,
    KeyRefused,
    LedgerRolledBack,
)
from syft_ext.messages import key_host as m

__all__ = ["check", "grant_key"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for, with every signature verified."""

    manifest: Manifest
    digest: bytes
    found: HeldPolicy
    statements: tuple[SessionStatement, ...]
    own: SessionStatement
    entries: list[CheckedEntry]


def grant_key(core: HostCore, ask: GrantAsk, signed: Signed[Manifest]) -> Signed[Grant]:
    """This host's key of the manifest's round, sealed to the worker.

    Raises :class:`KeyRefused` with the reason, :class:`LedgerRolledBack` where a peer has seen more of this host's
    ledger than there is (the host is halted then), and what the statements' own checks raise.
    """
    asked = _asked(core, ask, signed)
    with core.turn(spends=True) as turn:
        turn.require_running()
        lost = lost_row(turn, core.key, asked.statements)
        taken = LedgerRolledBack(lost) if lost else _learn_and_take(core, turn, asked)
    if lost:
        core.halt(lost)
    if isinstance(taken, GridError):
        raise taken
    info = GrantInfo(
        host=core.key,
        manifest=asked.digest,
        session=asked.own.digest(),
        key=asked.manifest.keys[_place(core, asked.found)],
    )
    return Signed.make(
        Grant(
            host=core.key,
            manifest=asked.digest,
            session=info.session,
            key=info.key,
            sealed=seal(asked.manifest.context.suite, asked.own.worker.kem, info.digest(), taken.secret),
            rho=taken.rho,
            head=taken.head,
        ),
        core.identity,
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was done, and may leave now that it is on the disk."""

    secret: bytes
    rho: int
    head: Head


def _learn_and_take(core: HostCore, turn: Turn, asked: _Asked) -> _Taken | GridError:
    """What the others state of themselves is remembered whether the key is given or refused."""
    try:
        _check_times(asked.statements, asked.own, turn.at)
        learn(turn, core.key, asked.statements)
        with turn.session.begin_nested():
            return _take(core, turn, asked)
    except GridError as refusal:
        return refusal


def _take(core: HostCore, turn: Turn, asked: _Asked) -> _Taken:
    """The transaction of the ledger."""
    session, manifest = turn.session, asked.manifest
    found = held(session, manifest.context.policy)
    found.require("approved", "retired")
    if turn.incarnation != asked.own.head.incarnation:
        raise KeyRefused("the session is of an earlier incarnation of this host", reason="session")
    held_round = find_round(session, manifest.context.digest())
    _check_own_key(core, asked, held_round)
    denied = denied_here(session, [each.denied for each in asked.statements])
    denied.check_workloads(name for each in asked.statements for name in each.workloads)
    check_denied(session, denied, asked.own)
    if any(manifest.context.policy in each.denied.policies for each in asked.statements):
        raise KeyRefused("another host has revoked the policy", reason="denied")
    step = grant(held_round.facts(), asked.digest, turn.at)
    secret = held_round.secret(core, "upload")
    held_round.take(step)
    keep_session(turn, asked.own)
    rho = found.policy.mechanism.rho
    limits = limits_of(turn, found.policy)
    if RoundEffect.CHARGE not in step.effects:
        if any(
            denied.denies(entry, names_of(entry.certificate.subject, limits.authorities))
            for entry in asked.entries
        ):
            raise KeyRefused("a participant of the manifest is denied", reason="denied")
        return _Taken(secret, rho, head_of(session, turn.incarnation))
    check_entries(session, found.policy.scope, limits, asked.entries, denied)
    persons = tuple(sorted(entry.person for entry in asked.entries))
    what = ScopeCharge(
        context=manifest.context.digest(),
        manifest=asked.digest,
        policy=manifest.context.policy,
        rho=rho,
        persons=persons,
    )
    charge(session, found.policy.scope, limits.rho, what)
    entry = LedgerEntry(
        what="grant",
        at=turn.at,
        context=what.context,
        manifest=what.manifest,
        scope=found.policy.scope,
        persons=sha256(b"".join(persons)).digest(),
        rho=rho,
    )
    return _Taken(secret, rho, append(session, turn.incarnation, entry))


def _check_own_key(core: HostCore, asked: _Asked, held_round: HeldRound) -> None:
    if asked.manifest.keys[_place(core, asked.found)] != bytes.fromhex(held_round.row.key_id):
        raise KeyRefused(
            "the manifest names a key that this host did not make for the round", reason="other-key"
        )


# -- before the transaction ------------------------------------------------------------------------------


def _asked(core: HostCore, ask: GrantAsk, signed: Signed[Manifest]) -> _Asked:
    manifest, found = _opened(core, signed)
    digest = manifest.digest()
    with core.db.read() as session:
        facts = find_round(session, manifest.context.digest()).facts()
    if facts.status is RoundStatus.GRANTED and facts.manifest == digest:
        entries = _checked_before(manifest)  # and a certificate may have ended since
    else:
        entries = check_manifest(manifest, found.policy, core.now())
    statements = _statements(ask, manifest, found)
    own = statements[_place(core, found)]
    request = ask.request.open(GrantRequest, own.worker.sign)
    if (request.host, request.manifest) != (core.key, digest):
        raise BadRequest("the worker has signed for another host or manifest")
    if request.sessions != tuple(each.digest() for each in statements):
        raise KeyRefused("these are not the sessions that the worker has signed for", reason="session")
    keys = open_round_keys(ask.keys, tuple(host.key for host in found.policy.hosts), manifest.context)
    if tuple(key.digest() for key in keys) != manifest.keys:
        raise KeyRefused("these are not the round keys that the manifest names", reason="other-key")
    return _Asked(manifest, digest, found, statements, own, entries)


def _checked_before(manifest: Manifest) -> list[CheckedEntry]:
    """The entries of a manifest whose digest is one that was granted here: every signature held then."""
    found = []
    for entry in manifest.entries:
        certificate = ParticipantCertificate.decode(entry.certificate.body)
        found.append(
            CheckedEntry(UploadStatement.decode(entry.upload.body), certificate, person_of(certificate))
        )
    return found


def _opened(core: HostCore, signed: Signed[Manifest]) -> tuple[Manifest, HeldPolicy]:
    """A manifest that the Domain of its round signed, and its policy, which allows its round."""
    manifest = signed.open(Manifest, signed.signer)
    if manifest.context.domain != signed.signer:
        raise BadSignature("a manifest is signed by the Domain of its round")
    with core.db.read() as session:
        found = held(session, manifest.context.policy)
    check_context(manifest.context, found.policy)
    if len(manifest.keys) != len(found.policy.hosts) or len(set(manifest.keys)) != len(manifest.keys):
        raise InvalidStatement("a manifest names one key of each host")
    return manifest, found


def _place(core: HostCore, found: HeldPolicy) -> int:
    """Where this host stands in the policy's order."""
    return [host.key for host in found.policy.hosts].index(core.key)


def _statements(ask: GrantAsk, manifest: Manifest, found: HeldPolicy) -> tuple[SessionStatement, ...]:
    """What every host of the policy said of one session, for this training. None may be missing (A9)."""
    hosts = [host.key for host in found.policy.hosts]
    if len(ask.sessions) != len(hosts):
        raise KeyRefused("the statements of all hosts of the policy are needed", reason="session")
    statements = tuple(
        signed.open(SessionStatement, host) for signed, host in zip(ask.sessions, hosts, strict=True)
    )
    first = statements[0]
    for each, host in zip(statements, hosts, strict=True):
        same = (each.worker, each.challenges, each.evidence, each.workloads)
        if each.host != host or same != (first.worker, first.challenges, first.evidence, first.workloads):
            raise KeyRefused("the hosts' statements are of different sessions", reason="session")
        training = (each.policy, each.domain, each.process)
        if training != (manifest.context.policy, manifest.context.domain, manifest.context.process):
            raise KeyRefused("the session is for another training or policy", reason="session")
        if each.simulated and (found.policy.production or not found.simulated):
            raise KeyRefused(
                "the session is simulated, and the policy takes none that is", reason="simulated"
            )
    return statements


def _check_times(statements: Sequence[SessionStatement], own: SessionStatement, at: int) -> None:
    """Statements are five minutes old at most, by each other's clocks and by this host's (A9, A10)."""
    if at > own.not_after:
        raise KeyRefused("the evidence of the session holds no more: attest again", reason="time")
    times = [each.at for each in statements]
    if max(times) - min(times) > CHALLENGE_LIFE:
        raise KeyRefused("the hosts' clocks are more than five minutes apart", reason="time")
    for each in statements:
        if abs(at - each.at) > CHALLENGE_LIFE or at > each.not_after + CHALLENGE_LIFE:
            raise KeyRefused(
                "a statement about the session is too old, or ahead of this host's time", reason="time"
            )


# -- without a charge ------------------------------------------------------------------------------------


def check(core: HostCore, signed: Signed[Manifest]) -> m.IneligibleEntries:
    """Entries with which the manifest would be refused; nothing is kept of the question.

    Raises as a grant would for what concerns the whole manifest, but for the size of its cohort.
    """
    manifest, found = _opened(core, signed)
    found.require("approved", "retired")
    at, bad = core.now(), dict[str, str]()
    assignments, entries = [], []
    seen: set[tuple[str, bytes]] = set()
    for each in manifest.entries:
        upload = UploadStatement.decode(each.upload.body)
        assignments.append(upload.assignment)
        try:
            entry = check_entry(each, manifest.context, manifest.base, manifest.keys, found.policy, at)
        except GridError:
            bad[upload.assignment] = "signature"
            continue
        # Each by its kind: what a participant chooses must not be taken for what somebody else has.
        once = {
            ("subject", entry.certificate.subject.encode()),
            ("participant", entry.upload.participant),
            ("blob", entry.upload.blob),
            ("ck_commit", entry.upload.ck_commit),
        }
        if seen & once:
            bad[upload.assignment] = "twice"
            continue
        seen |= once
        entries.append(entry)
    with core.turn() as turn:
        turn.require_running()
        held_round = find_round(turn.session, manifest.context.digest())
        facts = held_round.facts()
        if facts.status is not RoundStatus.OPEN:
            raise KeyRefused(f"this round is {facts.status} already", reason="other-manifest")
        if manifest.keys[_place(core, found)] != bytes.fromhex(held_round.row.key_id):
            raise KeyRefused("the manifest names a key that this host did not make", reason="other-key")
        limits = limits_of(turn, found.policy)
        denied = denied_here(turn.session)
        bad |= {
            entry.upload.assignment: reason
            for entry, reason in ineligible(turn.session, found.policy.scope, limits, entries, denied)
        }
    return m.IneligibleEntries(
        entries=[m.Ineligible(assignment=each, reason=bad[each]) for each in assignments if each in bad]
    )
