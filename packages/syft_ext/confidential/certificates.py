"""Who a participant is: an authority of the policy vouches for a stable subject behind their key.

Counts (participations, separation, duplicates) go by subject, not by key: a new certificate does not begin anew.
What several authorities of a policy call by one name is one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from syft_ext.confidential.canonical import Digest, Key, Name, Signed, Statement, Time
from syft_ext.errors import InvalidStatement

__all__ = ["ParticipantCertificate", "names_of", "open_certificate", "person_of"]


class ParticipantCertificate(Statement, frozen=True):
    """An authority's word that ``participant`` is the key of ``subject``; signed by the authority.

    Attributes:
        subject: the institution or person, the same in all their certificates.
        participant: the key that signs their uploads.
    """

    statement: ClassVar[str] = "participant certificate"
    max_bytes: ClassVar[int] = 4 << 10

    authority: Key
    subject: Name
    participant: Key
    not_before: Time
    not_after: Time

    def __post_init__(self) -> None:
        if self.not_before >= self.not_after:
            raise InvalidStatement("a certificate ends after it begins")


class _Person(Statement, frozen=True):
    statement: ClassVar[str] = "person"

    authority: Key
    subject: Name


def person_of(certificate: ParticipantCertificate) -> Digest:
    """What the participations of a subject are counted by (32 bytes)."""
    return _Person(authority=certificate.authority, subject=certificate.subject).digest()


def names_of(subject: str, authorities: Iterable[bytes]) -> frozenset[Digest]:
    """All that participations of ``subject`` are counted by, whichever of these authorities vouches."""
    return frozenset(_Person(authority=authority, subject=subject).digest() for authority in authorities)


def open_certificate(
    signed: Signed[ParticipantCertificate], authorities: tuple[bytes, ...], at: int
) -> ParticipantCertificate:
    """The certificate, if one of ``authorities`` signed it as its own and it holds at ``at`` (seconds).

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    certificate = signed.open(ParticipantCertificate, *authorities)
    if certificate.authority != signed.signer:
        raise InvalidStatement("a certificate in the name of another authority")
    if not certificate.not_before <= at <= certificate.not_after:
        raise InvalidStatement("the participant's certificate does not hold at this time")
    return certificate
