"""A pipe that whoever carries it cannot read or change: both ends hold keys that the carrier never sees.

The caller knows the node by its verify key, and needs nothing else: the key's X25519 form (RFC 7748; the map is
that of libsodium's ``crypto_sign_ed25519_pk_to_curve25519``) is what its first message is sealed to. Two messages
make the keys, each sealed by HPKE (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM):

    hello    caller → node   32 random bytes ‖ one-time key;  info = "grid sealed pipe v1 hello" ‖ verify key
    welcome  node → caller   32 random bytes, sealed to the one-time key;  info = "… welcome" ‖ SHA-256(hello)

    keys = HKDF-SHA-256(both secrets, salt = SHA-256(hello ‖ welcome), info = "grid sealed pipe v1 keys")

Only the node can read the hello, so whoever answers with a welcome that opens is the node. The second secret is
sealed to a key that the caller forgets, so that the node's key, lost later, opens nothing of what was recorded.
Who the caller is, the envelopes inside say. From then on each message is sealed with AES-256-GCM, one key for
either direction, its number as the nonce: one that is changed, left out, repeated or put elsewhere ends the pipe.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from syft_ext.errors import BadSignature, GridError, InvalidEnvelope, Unavailable
from syft_ext.identity import Identity
from syft_ext.transport.frames import Piece
from syft_ext.transport.pipe import CloseCode, MessagePipe

__all__ = ["MAX_SEALED", "SEALED", "SealedPipe", "answer_sealed", "ask_sealed"]

SEALED = "/sealed"
"""The path at which a node takes such pipes."""
MAX_SEALED = 64 << 10
"""Bytes of a message that is carried, sealed; both ends say the same."""
_TAG = 16

_NAME = b"grid sealed pipe v1 "
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SECRET = 32


class SealedPipe:
    """Messages over ``carried``, sealed. Made by :func:`ask_sealed` and :func:`answer_sealed`.

    Attributes:
        max_message: bytes of a message before it is sealed.
        failure: why nothing more comes, once nothing does, where it is known.
    """

    def __init__(self, carried: MessagePipe, sends: bytes, receives: bytes) -> None:
        self._carried = carried
        self.max_message = min(MAX_SEALED, carried.max_message or MAX_SEALED) - _TAG
        self._sealing, self._opening = AESGCM(sends), AESGCM(receives)
        self._sent = self._received = 0
        self._sending = threading.Lock()  # messages leave in the order of their numbers
        self.failure: GridError | None = None

    def send(self, message: Iterable[Piece]) -> None:
        whole = b"".join(message)
        if len(whole) > self.max_message:
            raise ValueError(f"a message of {len(whole)} bytes")
        with self._sending:
            number, self._sent = self._sent, self._sent + 1
            self._carried.send([self._sealing.encrypt(_nonce(number), whole, None)])

    def receive(self) -> bytes | None:
        sealed = self._carried.receive()
        if sealed is None:
            self.failure = self.failure or getattr(self._carried, "failure", None)
            return None
        number, self._received = self._received, self._received + 1
        try:
            return self._opening.decrypt(_nonce(number), sealed, None)
        except InvalidTag:
            self.failure = BadSignature("what was carried here was changed on its way")
            self.close(CloseCode.PROTOCOL_ERROR, "a message does not open")
            return None

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._carried.close(code, reason)


def ask_sealed(carried: MessagePipe, verify_key: str) -> SealedPipe:
    """The caller's end, once the node that ``verify_key`` belongs to has answered.

    Raises :class:`BadSignature` when another answers, :class:`Unavailable` when nobody does; the pipe is closed
    then.
    """
    with _closing_with_errors(carried):
        own, secret = X25519PrivateKey.generate(), os.urandom(_SECRET)
        hello = _SUITE.encrypt(
            secret + own.public_key().public_bytes_raw(), _public(verify_key), _hello_info(verify_key)
        )
        carried.send([hello])
        welcome = carried.receive()
        if welcome is None:
            raise getattr(carried, "failure", None) or Unavailable("nobody answers at the other end")
        try:
            answered = _SUITE.decrypt(welcome, own, _welcome_info(hello))
        except (InvalidTag, ValueError) as error:
            raise BadSignature("another node than the one that was asked for answers") from error
        if len(answered) != _SECRET:
            raise InvalidEnvelope("the answer is no welcome")
        asks, answers = _keys(secret + answered, hello, welcome)
        return SealedPipe(carried, asks, answers)


def answer_sealed(carried: MessagePipe, identity: Identity) -> SealedPipe:
    """The node's end. Raises :class:`InvalidEnvelope` for a hello that is none, or is for another node; the pipe
    is closed then."""
    with _closing_with_errors(carried):
        hello = carried.receive()
        if hello is None:
            raise Unavailable("the caller hung up")
        try:
            opened = _SUITE.decrypt(hello, _private(identity), _hello_info(identity.verify_key))
            if len(opened) != 2 * _SECRET:
                raise ValueError("no hello")
            theirs, own = X25519PublicKey.from_public_bytes(opened[_SECRET:]), os.urandom(_SECRET)
            welcome = _SUITE.encrypt(own, theirs, _welcome_info(hello))
        except (InvalidTag, ValueError) as error:
            raise InvalidEnvelope("this was sealed to another node, or is no greeting") from error
        carried.send([welcome])
        asks, answers = _keys(opened[:_SECRET] + own, hello, welcome)
        return SealedPipe(carried, answers, asks)


@contextlib.contextmanager
def _closing_with_errors(carried: MessagePipe) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        why = error.detail[:100] if isinstance(error, GridError) else "no sealed pipe was made"
        carried.close(CloseCode.PROTOCOL_ERROR, why)
        raise


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _hello_info(verify_key: str) -> bytes:
    return _NAME + b"hello" + bytes.fromhex(verify_key)


def _welcome_info(hello: bytes) -> bytes:
    return _NAME + b"welcome" + hashlib.sha256(hello).digest()


def _public(verify_key: str) -> X25519PublicKey:
    try:
        return X25519PublicKey.from_public_bytes(
            bytes(VerifyKey(bytes.fromhex(verify_key)).to_curve25519_public_key())
        )
    except (CryptoError, ValueError, RuntimeError) as error:
        raise BadSignature("this verify key is no point of the curve") from error


def _private(identity: Identity) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(identity.agreement_key())


def _keys(secrets: bytes, hello: bytes, welcome: bytes) -> tuple[bytes, bytes]:
    """The key of what the caller sends, and that of what the node sends."""
    salt = hashlib.sha256(hello + welcome).digest()
    made = HKDF(hashes.SHA256(), 2 * 32, salt, _NAME + b"keys").derive(secrets)
    return made[:32], made[32:]
