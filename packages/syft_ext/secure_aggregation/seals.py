"""Shares on their way from one participant to another: the Domain hands them on, and cannot open them.

AES-256-GCM under a key that only the pair can make (X25519 of their seal keys) and that is for one direction of
one list of keys. It seals one text, ever: sender, receiver and list are in the key, and the list decides the
text (coefficients follow from it), so that the nonce may be fixed. Only the two could have sealed it: the list
says whose keys they are.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from syft_ext.errors import BadRequest
from syft_ext.secure_aggregation.keys import agree, derive
from syft_ext.secure_aggregation.shamir import SHARE_SIZE, read_share, write_share

__all__ = ["SEALED_SIZE", "PairSeals"]

SEALED_SIZE = 2 * SHARE_SIZE + 16
_NONCE = bytes(12)


class PairSeals:
    """What goes between this participant and another one.

    Args:
        mine, theirs: this one's seal key, the other's public one.
        roster: the digest of the list of keys.
        here, there: this one's place in it, and the other's.
    """

    def __init__(self, mine: X25519PrivateKey, theirs: bytes, roster: bytes, here: int, there: int) -> None:
        self._secret, self._roster = agree(mine, theirs), roster
        self._here, self._there = here, there

    def _cipher(self, sender: int, receiver: int) -> AESGCM:
        return AESGCM(derive(self._secret, "seal", self._roster, bytes([sender]), bytes([receiver])))

    def seal(self, mask_share: int, self_share: int) -> bytes:
        """Shares of this one's two secrets, for the other."""
        text = write_share(mask_share) + write_share(self_share)
        return self._cipher(self._here, self._there).encrypt(_NONCE, text, self._roster)

    def open(self, sealed: bytes) -> tuple[int, int]:
        """The other's shares for this one: of its mask key's seed, of its own mask's. Raises
        :class:`BadRequest`."""
        try:
            text = self._cipher(self._there, self._here).decrypt(_NONCE, sealed, self._roster)
        except InvalidTag as error:
            raise BadRequest("these shares were sealed by somebody else, or for something else") from error
        return read_share(text[:SHARE_SIZE]), read_share(text[SHARE_SIZE:])
