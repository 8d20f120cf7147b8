"""Lists of revoked certificates that somebody has by themselves, held against evidence that was appraised before.

What lies beside evidence is the attester's to choose: an older list fits as well as the newest. Who has a newer
one need not wait for the next appraisal. Such lists only ever take away: none makes up for one that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from cryptography import x509

from syft_ext.attestation.appraise import lists_of, verify
from syft_ext.attestation.certificates import load_list
from syft_ext.attestation.companions import Companions
from syft_ext.attestation.evidence import Companion, Evidence, Reason, refused

__all__ = ["RevocationList", "read_lists", "revoked"]

_AGAINST = (Reason.REVOKED, Reason.COLLATERAL)


class RevocationList(msgspec.Struct, frozen=True, kw_only=True):
    """A list as somebody keeps it. Its signature is held against the chain of each evidence that it is about.

    Attributes:
        issuer: the common name of who issued it.
        der: its bytes. entries: how many certificates it revokes.
    """

    issuer: str
    der: bytes
    not_before: datetime
    not_after: datetime
    entries: int


def read_lists(content: bytes) -> list[RevocationList]:
    """The lists in a file: DER or PEM, several, alone or with other collateral.

    Raises :class:`~syft_ext.errors.EvidenceRefused` where there is none in it, or one whose issuer no evidence is
    held against: whoever keeps it would believe that it counts.
    """
    found = [_read(der) for der in Companions([Companion("lists", content)]).revocations]
    if not found:
        raise refused(Reason.MALFORMED, "this is no list of revoked certificates")
    return found


def _read(der: bytes) -> RevocationList:
    one = load_list(der)
    names = one.issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    issuer = str(names[0].value) if len(names) == 1 else ""
    if not any(issuer.startswith(each) for each in lists_of(None)):
        raise refused(
            Reason.UNSUPPORTED,
            f"no evidence is held against lists of {issuer[:80]!r}: of AMD's and Intel's only",
        )
    until = one.next_update_utc
    if until is None:
        raise refused(Reason.MALFORMED, "a revocation list that does not say until when it is one")
    return RevocationList(
        issuer=issuer, der=der, not_before=one.last_update_utc, not_after=until, entries=len(one)
    )


def revoked(evidence: Evidence, lists: Iterable[bytes], at: datetime) -> str:
    """What ``lists`` say against evidence that was appraised at ``at``; "" where that is nothing.

    Raises :class:`~syft_ext.errors.EvidenceRefused` where its chain does not hold at all.
    """
    about = lists_of(evidence.kind)
    counting = [each for each in lists if any(_read(each).issuer.startswith(name) for name in about)]
    if not counting:
        return ""
    beside: Sequence[Companion] = [Companion("revocation list of one's own", each) for each in counting]
    verified = verify(msgspec.structs.replace(evidence, beside=(*evidence.beside, *beside)), at)
    return next((one.detail for one in verified.objections if one.reason in _AGAINST), "")
