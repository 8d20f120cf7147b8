"""What makes evidence this session's: everything agreed in it, in one hash that the hardware signs along.

    B = SHA-512("grid attested session v1" ‖ each part's length as 4 bytes, big-endian, and the part)

with the parts in the order of :class:`Binding`. Where B stands differs by kind (64 bytes of report data, a
nonce…); no kind takes a part of a field for it and leaves the rest free.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

__all__ = ["Binding"]

_LABEL = b"grid attested session v1"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence is expected to be bound to.

    Attributes:
        session_key: the public X25519 key that the worker made for this session.
        policy: digest of the policy.
        runtime: digest of the image or runtime that the worker claims to be.
        domain: id of the Domain.
        process: id of the federated learning process.
        challenge: digest of the challenges that were agreed on.
    """

    session_key: bytes
    policy: bytes
    runtime: bytes
    domain: str
    process: str
    challenge: bytes

    @property
    def digest(self) -> bytes:
        """B, 64 bytes."""
        hashed = hashlib.sha512(_LABEL)
        parts = (
            self.session_key,
            self.policy,
            self.runtime,
            self.domain.encode(),
            self.process.encode(),
            self.challenge,
        )
        for part in parts:
            hashed.update(len(part).to_bytes(4, "big") + part)
        return hashed.digest()

    def matches(self, stated: bytes) -> bool:
        """Whether this is B, all of it."""
        return hmac.compare_digest(stated, self.digest)
