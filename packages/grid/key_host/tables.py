"""A key host's tables. Digests are SHA-256 in hex, statements canonical bytes, times seconds since the epoch.

Rows of ``key_host_ledger`` and ``key_host_log`` are never changed or removed: triggers refuse it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = [
    "KeyHostCharge",
    "KeyHostDenial",
    "KeyHostLedgerRow",
    "KeyHostLogCopy",
    "KeyHostLogRow",
    "KeyHostParticipation",
    "KeyHostPeer",
    "KeyHostPolicy",
    "KeyHostRevocationList",
    "KeyHostRound",
    "KeyHostScope",
    "KeyHostSession",
    "KeyHostState",
    "KeyHostSuccession",
    "KeyHostUsedChallenge",
    "KeyHostWitnessed",
]


class KeyHostState(Base):
    """What there is once.

    Attributes:
        incarnation: random (64 hex digits), another one with every recovery. past: those before, one a line.
        time: the latest that was seen; a clock that goes back is not followed.
        halted: why nothing is granted until the operator recovers the ledger; "" while all is well.
    """

    __tablename__ = "key_host_state"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    incarnation: Mapped[str] = mapped_column(String(64))
    past: Mapped[str] = mapped_column(Text, default="")
    time: Mapped[int] = mapped_column(BigInteger, default=0)
    halted: Mapped[str] = mapped_column(Text, default="")


class KeyHostPolicy(Base):
    """A policy that somebody registered. ``state``: as :data:`syft_ext.messages.key_host.PolicyState` says.

    ``domains``: verify keys of the Domains that may open rounds under it, one a line; "": any.
    """

    __tablename__ = "key_host_policy"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    scope_id: Mapped[str] = mapped_column(String(64), index=True)
    statement: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(10))
    registered_at: Mapped[int] = mapped_column(BigInteger)
    registered_by: Mapped[str] = mapped_column(String(64))
    decided_at: Mapped[int | None] = mapped_column(BigInteger)
    domains: Mapped[str] = mapped_column(Text, default="")


class KeyHostRound(Base):
    """A round of which this host has signed a key: one for a context, ever.

    Attributes:
        context: digest of the RoundContext, whose bytes are ``statement``.
        round_key, round_key_signature: what this host signed; ``key_id`` is its digest.
        upload_seed, release_seed: sealed under the epoch key ``epoch``; None when erased.
        manifest, output: digests; None before.
    """

    __tablename__ = "key_host_round"
    __table_args__ = (
        UniqueConstraint("domain_key", "process_id", "sequence"),
        CheckConstraint("attempts >= 0", name="attempts"),
    )

    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    domain_key: Mapped[str] = mapped_column(String(64))
    process_id: Mapped[str] = mapped_column(String(64))
    sequence: Mapped[int] = mapped_column(BigInteger)
    policy: Mapped[str] = mapped_column(ForeignKey("key_host_policy.digest"), index=True)
    statement: Mapped[bytes] = mapped_column(LargeBinary)
    round_key: Mapped[bytes] = mapped_column(LargeBinary)
    round_key_signature: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[int] = mapped_column(BigInteger, index=True)
    upload_seed: Mapped[bytes | None] = mapped_column(LargeBinary)
    release_seed: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(10), index=True)
    manifest: Mapped[str | None] = mapped_column(String(64), index=True)
    output: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[int] = mapped_column(BigInteger)
    erase_at: Mapped[int] = mapped_column(BigInteger, index=True)
    released_at: Mapped[int | None] = mapped_column(BigInteger)


class KeyHostLedgerRow(Base):
    """One step of the ledger: ``hash`` is over sequence, previous hash and body; no row can be exchanged."""

    __tablename__ = "key_host_ledger"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    previous: Mapped[str] = mapped_column(String(64))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str] = mapped_column(String(64))


class KeyHostScope(Base):
    """What a scope has spent, in 10^−9 of ρ; ``rounds`` that were granted in it; ``burnt``: nothing is left."""

    __tablename__ = "key_host_scope"
    __table_args__ = (
        CheckConstraint("spent >= 0", name="spent"),
        CheckConstraint("rounds >= 0", name="rounds"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    spent: Mapped[int] = mapped_column(BigInteger, default=0)
    rounds: Mapped[int] = mapped_column(BigInteger, default=0)
    burnt: Mapped[bool] = mapped_column(default=False)


class KeyHostCharge(Base):
    """A granted round of a scope: at this host, or learned of at a recovery; ``step`` counts them in order."""

    __tablename__ = "key_host_charge"
    __table_args__ = (CheckConstraint("cost >= 0", name="cost"),)

    scope_id: Mapped[str] = mapped_column(ForeignKey("key_host_scope.id"), primary_key=True)
    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    manifest: Mapped[str] = mapped_column(String(64), primary_key=True)
    policy: Mapped[str] = mapped_column(String(64))
    cost: Mapped[int] = mapped_column(BigInteger)
    step: Mapped[int] = mapped_column(BigInteger)


class KeyHostParticipation(Base):
    """That somebody took part in a granted round. ``person``: digest of authority and subject."""

    __tablename__ = "key_host_participation"

    scope_id: Mapped[str] = mapped_column(ForeignKey("key_host_scope.id"), primary_key=True)
    person: Mapped[str] = mapped_column(String(64), primary_key=True)
    context: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)


class KeyHostPeer(Base):
    """The last head that another host has stated here, of each of its incarnations; ``number`` counts these."""

    __tablename__ = "key_host_peer"

    host: Mapped[str] = mapped_column(String(64), primary_key=True)
    incarnation: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int]
    sequence: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))
    seen_at: Mapped[int] = mapped_column(BigInteger)


class KeyHostDenial(Base):
    """What the operator refuses on top of any policy. ``kind``: as
    :data:`syft_ext.messages.key_host.DenialKind` says."""

    __tablename__ = "key_host_denial"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[str] = mapped_column(String(256), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger)


class KeyHostLogRow(Base):
    """One entry of the host's public signed log: canonical bytes, and the host's signature over their digest."""

    __tablename__ = "key_host_log"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    statement: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[str] = mapped_column(String(64))


class KeyHostUsedChallenge(Base):
    """A challenge that a session has used; until it is too old to be used at all."""

    __tablename__ = "key_host_used_challenge"

    challenge: Mapped[str] = mapped_column(String(64), primary_key=True)
    until: Mapped[int] = mapped_column(BigInteger, index=True)


class KeyHostLogCopy(Base):
    """An entry of a Domain's transparency log, as this host has it for ever. ``sequence``: from 1."""

    __tablename__ = "key_host_log_copy"

    log: Mapped[str] = mapped_column(String(64), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry: Mapped[bytes] = mapped_column(LargeBinary)
    leaf: Mapped[bytes] = mapped_column(LargeBinary)


class KeyHostSuccession(Base):
    """A key host that goes on under another key; this one or another.

    Attributes:
        statement: signed by both keys; where the old one is this host's, by that alone.
        conflict: another successor that the old key signed, too: then neither counts.
    """

    __tablename__ = "key_host_succession"

    old: Mapped[str] = mapped_column(String(64), primary_key=True)
    new: Mapped[str] = mapped_column(String(64), index=True)
    statement: Mapped[bytes] = mapped_column(LargeBinary)
    conflict: Mapped[bytes | None] = mapped_column(LargeBinary)
    at: Mapped[int] = mapped_column(BigInteger)


class KeyHostSession(Base):
    """What was appraised of the platform of a session that this host stated: what is denied later counts for it.

    ``session``: digest of the statement. ``platform``: names and values, JSON. ``evidence``: as it was appraised,
    where revocation lists count for its kind; "": they do not; None: it is from before they were kept. ``until``:
    when no grant or release can be of it any more.
    """

    __tablename__ = "key_host_session"

    session: Mapped[str] = mapped_column(String(64), primary_key=True)
    platform: Mapped[str] = mapped_column(Text)
    until: Mapped[int] = mapped_column(BigInteger, index=True)
    evidence: Mapped[bytes | None] = mapped_column(LargeBinary)


class KeyHostRevocationList(Base):
    """A maker's list of revoked certificates that the operator has given this host: the newest of its issuer."""

    __tablename__ = "key_host_revocation_list"

    issuer: Mapped[str] = mapped_column(String(256), primary_key=True)
    der: Mapped[bytes] = mapped_column(LargeBinary)
    added_at: Mapped[int] = mapped_column(BigInteger)


class KeyHostWitnessed(Base):
    """How far this host has signed a Domain's log. ``head``: as the Domain signed it; ``conflict``: one that the
    Domain signed, too, and that does not fit."""

    __tablename__ = "key_host_witnessed"

    log: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    head: Mapped[bytes] = mapped_column(LargeBinary)
    conflict: Mapped[bytes | None] = mapped_column(LargeBinary)
