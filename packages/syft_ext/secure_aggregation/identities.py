"""Whose keys are in a list: on an authority's word, or on the Domain's."""

from __future__ import annotations

from collections.abc import Callable

from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.certificates import ParticipantCertificate, open_certificate
from syft_ext.errors import GridError, RoundRefused
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.statements import Advertisement

__all__ = ["subjects"]


def subjects(rules: SumRules, at: int) -> Callable[[Advertisement], str]:
    """What makes two members of a list of keys one and the same; it raises :class:`RoundRefused` for whom the
    rules do not let in.

    Where the rules name an authority: the subject of a certificate that it has signed for the signing key, and
    that holds at ``at`` (seconds since the epoch). Where they do not, the Domain says who takes part, and
    nobody can check that: then it is the signing key itself.
    """
    if not rules.authority:
        return lambda said: said.signer.hex()
    authority = bytes.fromhex(rules.authority)

    def certified(said: Advertisement) -> str:
        try:
            signed = Signed[ParticipantCertificate].decode(said.certificate)
            certificate = open_certificate(signed, (authority,), at)
        except GridError as error:
            raise RoundRefused(
                f"the keys of {said.signer.hex()[:8]} come without a good certificate of the training's "
                "authority: "
                f"{error.detail}",
                reason="identity",
            ) from error
        if certificate.participant != said.signer:
            raise RoundRefused(
                f"the certificate that comes with the keys of {said.signer.hex()[:8]} is somebody else's",
                reason="identity",
            )
        return certificate.subject

    return certified
