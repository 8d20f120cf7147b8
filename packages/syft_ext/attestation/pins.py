"""Keys of issuers of tokens, pinned in a policy.

A key set is not signed by anybody: whoever brings it beside a token could have made it. So what a policy accepts
is a key by its thumbprint, with the time in which its issuer used it: with rotation, a history.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from syft_ext.attestation.references import InvalidPolicy, check_sizes_of, check_some

__all__ = ["PinnedKey", "check_pins", "is_pinned"]


class PinnedKey(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """An issuer's key and when its tokens may have been issued.

    Attributes:
        thumbprint: of RFC 7638 with SHA-256, 32 bytes.
        not_before, not_after: seconds of the epoch, both included.
    """

    thumbprint: bytes
    not_before: int
    not_after: int

    def __post_init__(self) -> None:
        check_sizes_of("thumbprint", (self.thumbprint,), 32)
        if not 0 <= self.not_before <= self.not_after:
            raise InvalidPolicy("the time of a pinned key ends before it begins")


def check_pins(keys: tuple[PinnedKey, ...]) -> None:
    """At least one pinned key, and none twice."""
    check_some("keys", tuple(key.thumbprint for key in keys))


def is_pinned(thumbprint: bytes, issued: datetime, keys: Iterable[PinnedKey]) -> bool:
    """Whether one of ``keys`` has this thumbprint, and was in use when the token was issued."""
    return any(
        key.thumbprint == thumbprint and key.not_before <= issued.timestamp() <= key.not_after for key in keys
    )
