"""Whose word on participants counts for this user, and who vouches for themselves: two files in their own folder.

``authorities``: verify keys (64 hex digits), one a line. ``participant.certificate``: an authority's word for
the user's own key, as :class:`syft_ext.confidential.certificates.ParticipantCertificate` is signed and encoded.
"""

from __future__ import annotations

import re

from syft_ext.errors import BadRequest
from syft_ext.profile.home import user_home

__all__ = ["own_certificate", "pinned_authorities"]

_MOST = 64 << 10


def pinned_authorities() -> frozenset[str]:
    """The keys of the authorities that the user trusts; empty: they have pinned none. Raises
    :class:`BadRequest` for a line that is no key."""
    try:
        lines = (user_home() / "authorities").read_text()[:_MOST].split()
    except FileNotFoundError:
        return frozenset()
    for line in lines:
        if not re.fullmatch("[0-9a-f]{64}", line):
            raise BadRequest(
                "a line of the file of authorities in your Grid folder is no verify key (64 hex digits)"
            )
    return frozenset(lines)


def own_certificate() -> bytes:
    """The certificate for the user's own key; empty where they have none."""
    try:
        return (user_home() / "participant.certificate").read_bytes()[:_MOST]
    except FileNotFoundError:
        return b""
