"""Frames between hosts: sealed, so that whoever carries them (a client, a Network) never holds two shares.

X25519 keys that hosts make for one session; AES-256-GCM under a key for each direction of a pair (HKDF-SHA-256
over the session's transcript), with a counter: a frame that is lost, changed, repeated or out of order ends it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from syft_ext.errors import BadRequest, ProtocolAborted

__all__ = ["Frame", "Seals", "frames_of", "packed_frames", "public_half"]


class Frame(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """``data`` from one member to another; members count parties, then the dealer if there is
    one, then the reader."""

    sender: int
    receiver: int
    number: int
    data: bytes


def public_half(secret: bytes) -> bytes:
    """Of an X25519 key, 32 bytes both."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


_FRAMES = msgspec.msgpack.Decoder(list[Frame])


def frames_of(data: bytes | bytearray | memoryview) -> list[Frame]:
    """Frames of a payload. Raises :class:`BadRequest`."""
    try:
        return _FRAMES.decode(data) if len(data) else []
    except msgspec.MsgspecError as error:
        raise BadRequest("these are no frames") from error


def packed_frames(frames: Sequence[Frame]) -> bytes:
    """As a payload."""
    return msgspec.msgpack.encode(list(frames)) if frames else b""


class Seals:
    """One member's side. ``keys``: the public keys of all members; ``transcript``: what the session is."""

    def __init__(self, index: int, secret: bytes, keys: list[bytes], transcript: bytes) -> None:
        self.index = index
        self._secret = X25519PrivateKey.from_private_bytes(secret)
        self._keys, self._transcript = keys, transcript
        self._out: dict[int, tuple[AESGCM, int]] = {}
        self._in: dict[int, tuple[AESGCM, int]] = {}

    def seal(self, receiver: int, data: bytes) -> Frame:
        """The next frame to ``receiver``."""
        cipher, number = self._out.get(receiver) or (self._cipher(self.index, receiver), 0)
        self._out[receiver] = cipher, number + 1
        sealed = cipher.encrypt(number.to_bytes(12, "big"), data, self._transcript)
        return Frame(self.index, receiver, number, sealed)

    def open(self, frame: Frame) -> bytes:
        """Raises :class:`ProtocolAborted` unless it is the next frame from its sender to this member."""
        if frame.receiver != self.index or not 0 <= frame.sender < len(self._keys):
            raise ProtocolAborted("a frame is for somebody else")
        cipher, number = self._in.get(frame.sender) or (self._cipher(frame.sender, self.index), 0)
        if frame.number != number or frame.sender == self.index:
            raise ProtocolAborted("a frame came twice or out of order")
        try:
            data = cipher.decrypt(number.to_bytes(12, "big"), frame.data, self._transcript)
        except InvalidTag as error:
            raise ProtocolAborted("a frame is not as its sender sealed it") from error
        self._in[frame.sender] = cipher, number + 1
        return data

    def _cipher(self, sender: int, receiver: int) -> AESGCM:
        other = receiver if sender == self.index else sender
        return AESGCM(self.common(other, b"grid shares %d %d" % (sender, receiver)))

    def common(self, other: int, use: bytes) -> bytes:
        """32 bytes that this member and another one know, and nobody else; others for each ``use``."""
        try:
            shared = self._secret.exchange(X25519PublicKey.from_public_bytes(self._keys[other]))
        except ValueError as error:
            raise BadRequest("a key that nothing can be sealed to") from error
        return HKDF(hashes.SHA256(), 32, salt=self._transcript, info=use).derive(shared)
