"""Text that a stolen database does not give away: sealed with a key that is derived from the node's own.

The node's key lies in a file of its own (``node.key``, readable by the node's user only), not in the database
and not in its dumps. AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; what the text belongs to (a
user's id, say) is authenticated with it, so that a sealed text moved to another row does not open.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["CannotOpen", "Sealer", "is_sealed"]

#: Stands before every sealed text, and says how it was sealed.
PREFIX = "sealed:1:"
_NONCE = 12


class CannotOpen(ValueError):
    """The text was sealed by another key, for something else, or was changed."""


def is_sealed(text: str) -> bool:
    """Whether a :class:`Sealer` made the text; older rows hold plain ones."""
    return text.startswith(PREFIX)


class Sealer:
    """Seals texts of one purpose.

    Args:
        secret: at least 16 bytes that only this node has (``identity.derive_secret(...)``).
        purpose: what the texts are; sealers of different purposes cannot open each other's.
    """

    def __init__(self, secret: bytes, purpose: str) -> None:
        if len(secret) < 16:
            raise ValueError("a sealer needs a secret of at least 16 bytes")
        context = f"grid 2026-11 sealed {purpose}"
        self._cipher = AESGCM(blake3.blake3(secret, derive_key_context=context).digest())

    def seal(self, text: str, belongs_to: str) -> str:
        """``text`` sealed for ``belongs_to``; different at every call. 40 characters longer than base64."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), belongs_to.encode())
        return PREFIX + urlsafe_b64encode(sealed).decode()

    def open(self, sealed: str, belongs_to: str) -> str:
        """The text behind ``sealed``. Raises :class:`CannotOpen`."""
        try:
            raw = urlsafe_b64decode(sealed.removeprefix(PREFIX))
            if urlsafe_b64encode(raw).decode() != sealed.removeprefix(PREFIX):
                raise ValueError("not the one form of these bytes")  # base64 ignores some bits at its end
            return self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], belongs_to.encode()).decode()
        except (ValueError, InvalidTag) as error:
            raise CannotOpen("a sealed text does not open with this node's key") from error
