"""What a kind of evidence brings: how it is recognised, verified, and held against a policy and a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec

from syft_ext.attestation.binding import Binding
from syft_ext.attestation.evidence import Evidence, Objection, Verified
from syft_ext.attestation.policy import AttestationPolicy

__all__ = ["Kind", "carries_digest"]


def carries_digest(verified: Verified, binding: Binding) -> bool:
    """The rule of most kinds: a field of 64 bytes is B, all of it."""
    return binding.matches(verified.binding)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of evidence.

    Attributes:
        name: as in :attr:`syft_ext.attestation.evidence.Evidence.kind`.
        recognises: whether these bytes have the exact structure of this kind; cheap, raises nothing, proves
            nothing.
        verify: signature, chain, and what the evidence states. Raises
            :class:`~syft_ext.errors.EvidenceRefused` where they do not hold; whatever else speaks against it is
            among the ``objections`` of what it returns. It need not look at the size or the window:
            ``appraise`` does.
        objections: what in it does not fit a policy; without one, what no policy was there to allow (a level
            that is not up to date, say); one of
            :attr:`~syft_ext.attestation.evidence.Reason.POLICY_KIND` where the policy has no reference values
            for it.
        bound: whether it was made for this session.
        lists: beginnings of the names of issuers whose revocation lists count; none: of nobody's.
    """

    name: str
    recognises: Callable[[bytes], bool]
    verify: Callable[[Evidence, datetime], Verified]
    objections: Callable[[Verified, AttestationPolicy | None, datetime], Iterable[Objection]]
    bound: Callable[[Verified, Binding], bool] = carries_digest
    lists: tuple[str, ...] = ()
