"""Makers' lists of revoked certificates that the operator gave this host: they count at every appraisal, at every
grant and before an output leaves, whatever lies beside the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from grid.key_host.core import HostCore
from grid.key_host.log import write_log
from grid.key_host.tables import KeyHostRevocationList, KeyHostSession
from syft_ext.attestation.appraise import lists_of
from syft_ext.attestation.evidence import Evidence
from syft_ext.attestation.revocation import RevocationList, read_lists, revoked
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.errors import Conflict, KeyRefused, NotFound
from syft_ext.messages import key_host_revocations as m

__all__ = [
    "check_revoked",
    "check_session_revoked",
    "drop_list",
    "keep_lists",
    "kept_evidence",
    "listed",
    "own_lists",
]

_MOST = 64


def own_lists(session: Session) -> Sequence[bytes]:
    """The lists of this host, in DER."""
    return session.scalars(select(KeyHostRevocationList.der).order_by(KeyHostRevocationList.issuer)).all()


def kept_evidence(evidence: Evidence) -> bytes:
    """What is remembered of evidence, for lists that are yet to come."""
    return msgspec.msgpack.encode(evidence) if lists_of(evidence.kind) else b""


def check_revoked(evidence: Evidence, lists: Sequence[bytes], at: int) -> None:
    """Hold evidence that is appraised at ``at`` against this host's own lists.

    Raises :class:`KeyRefused` (``revoked``).
    """
    reason = revoked(evidence, lists, datetime.fromtimestamp(at, UTC)) if lists else ""
    if reason:
        raise KeyRefused(f"by a list of this host's own: {reason}", reason="revoked")


def check_session_revoked(session: Session, statement: SessionStatement) -> None:
    """The same, of a session that this host has stated before.

    Raises :class:`KeyRefused`: ``revoked``; ``session`` where there are lists, and nothing is known of its
    evidence.
    """
    lists = own_lists(session)
    if not lists:
        return
    row = session.get(KeyHostSession, statement.digest().hex())
    if row is None or row.evidence is None:
        raise KeyRefused("this host knows nothing of the session any more: attest again", reason="session")
    if row.evidence:
        check_revoked(msgspec.msgpack.decode(row.evidence, type=Evidence), lists, statement.at)


def keep_lists(core: HostCore, content: bytes) -> None:
    """Add what is in a file. Of each issuer the newest is kept.

    Raises :class:`~syft_ext.errors.EvidenceRefused` for what is no list that counts here, :class:`Conflict` for
    one that is older than what there is.
    """
    found = read_lists(content)
    with core.turn() as turn:
        for one in found:
            row = turn.session.get(KeyHostRevocationList, one.issuer)
            if row is not None and one.not_before < read_lists(row.der)[0].not_before:
                raise Conflict(f"there is a newer list of {one.issuer} here", issuer=one.issuer)
            if row is None:
                count = turn.session.scalar(select(func.count()).select_from(KeyHostRevocationList)) or 0
                if count >= _MOST:
                    raise Conflict(f"{_MOST} issuers' lists can be kept", limit=_MOST)
                row = KeyHostRevocationList(issuer=one.issuer)
                turn.session.add(row)
            row.der, row.added_at = one.der, turn.at
            turn.session.flush()
            write_log(core, turn, "denied", what=f"revocation list {one.issuer}")


def drop_list(core: HostCore, issuer: str) -> None:
    """Forget the list of an issuer. Raises :class:`NotFound`."""
    with core.turn() as turn:
        if turn.session.get(KeyHostRevocationList, issuer) is None:
            raise NotFound("there is no list of this issuer here")
        turn.session.execute(delete(KeyHostRevocationList).where(KeyHostRevocationList.issuer == issuer))
        write_log(core, turn, "allowed", what=f"revocation list {issuer}")


def listed(session: Session) -> m.RevocationListing:
    """What there is, for the operator."""
    rows = session.scalars(select(KeyHostRevocationList).order_by(KeyHostRevocationList.issuer))
    return m.RevocationListing(lists=[_view(read_lists(row.der)[0], row.added_at) for row in rows])


def _view(one: RevocationList, added_at: int) -> m.RevocationListView:
    return m.RevocationListView(
        issuer=one.issuer,
        entries=one.entries,
        not_before=int(one.not_before.timestamp()),
        not_after=int(one.not_after.timestamp()),
        added_at=added_at,
    )
