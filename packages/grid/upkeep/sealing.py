"""Streams of bytes that only a passphrase or a key opens, and of which no part can be changed, moved or cut off.

XChaCha20-Poly1305 in libsodium's secretstream: chunks of 256 KiB, each authenticated with all before it; the last
one says that it is. What a stream is (its name) is authenticated with every chunk, so that none stands for
another. A passphrase becomes a key by Argon2id (RFC 9106).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from blake3 import blake3
from nacl import bindings, pwhash
from nacl.exceptions import CryptoError

from syft_ext.errors import BadRequest

__all__ = ["Derivation", "Key", "SealedReader", "SealedWriter", "key_bytes", "new_derivation"]

CHUNK = 256 << 10
_EXTRA = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_MOST_MEMORY, _MOST_PASSES = 1 << 30, 16


class Derivation(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What stands beside a sealed thing in clear: how a passphrase becomes its key, and what tells a wrong one.

    ``salt``: 32 hex digits; empty for a key that is none of a passphrase. ``passes``, ``memory`` (bytes):
    Argon2id's.
    """

    format: str = "grid-backup-1"
    salt: str
    passes: int
    memory: int
    check: str


def new_derivation(secret: bytes, *, passphrase: bool, strong: bool = True) -> tuple[Derivation, Key]:
    """For something new.

    Args:
        strong: what keeps guessing slow (256 MiB, some tenths of a second); tests do without.
    """
    salt = os.urandom(pwhash.argon2id.SALTBYTES).hex() if passphrase else ""
    passes = pwhash.argon2id.OPSLIMIT_MODERATE if strong else pwhash.argon2id.OPSLIMIT_MIN
    memory = pwhash.argon2id.MEMLIMIT_MODERATE if strong else pwhash.argon2id.MEMLIMIT_MIN
    key = _derived(secret, salt, passes, memory)
    return Derivation(salt=salt, passes=passes, memory=memory, check=key.check), key


def key_bytes(derivation: Derivation, secret: bytes, *, passphrase: bool) -> Key:
    """The key of something that is there. Raises :class:`BadRequest` if ``secret`` is not the one it was sealed
    with."""
    if bool(derivation.salt) is not passphrase:
        kind = "a passphrase" if derivation.salt else "a key file"
        raise BadRequest(f"this backup was sealed with {kind}: give that")
    if not (0 < derivation.passes <= _MOST_PASSES and 0 < derivation.memory <= _MOST_MEMORY):
        raise BadRequest("the backup asks for more work than any backup does to try a passphrase")
    key = _derived(secret, derivation.salt, derivation.passes, derivation.memory)
    if not hmac.compare_digest(key.check, derivation.check):
        raise BadRequest("that is not the passphrase, or the key, that this backup was sealed with")
    return key


def _derived(secret: bytes, salt: str, passes: int, memory: int) -> Key:
    if salt:
        return Key(pwhash.argon2id.kdf(32, secret, bytes.fromhex(salt), opslimit=passes, memlimit=memory))
    if len(secret) != 32:
        raise BadRequest("a key file holds 64 hex digits (`grid backup key FILE` makes one)")
    return Key(secret)


class Key:
    """32 bytes, and what follows from them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _for(self, purpose: str) -> bytes:
        return blake3(self._secret, derive_key_context=f"grid 2026-11 backup {purpose}").digest()

    @property
    def check(self) -> str:
        """Tells whether another key is this one, and nothing else."""
        return self._for("check").hex()

    def name(self, digest: str) -> str:
        """How the content ``digest`` is called where anybody may look."""
        return str(blake3(digest.encode(), key=self._for("names")).hexdigest())

    def stream(self) -> bytes:
        """The key of streams."""
        return self._for("streams")


class SealedWriter:
    """Writes into ``file`` what only ``key`` opens. Nothing counts before :meth:`close` has returned."""

    def __init__(self, file: BinaryIO, key: Key, name: str) -> None:
        self._file, self._name = file, name.encode()
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key.stream())
        file.write(header)
        self._buffer = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self._buffer += data
        while len(self._buffer) > CHUNK:  # the last chunk is another kind: one is kept
            self._push(bytes(self._buffer[:CHUNK]), _MESSAGE)
            del self._buffer[:CHUNK]

    def close(self) -> None:
        """Write the last chunk."""
        self._push(bytes(self._buffer), _FINAL)
        self._buffer.clear()

    def _push(self, chunk: bytes, tag: int) -> None:
        sealed = bindings.crypto_secretstream_xchacha20poly1305_push(self._state, chunk, self._name, tag)
        self._file.write(sealed)


class SealedReader:
    """Reads what :class:`SealedWriter` wrote. Raises :class:`BadRequest` for what was changed, cut or is
    another."""

    def __init__(self, file: BinaryIO, key: Key, name: str) -> None:
        self._file, self._name = file, name.encode()
        header = file.read(_HEADER)
        if len(header) != _HEADER:
            raise _damaged(name)
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key.stream())
        self._buffer, self._over = bytearray(), False

    def chunks(self) -> Iterator[bytes]:
        """All of it. What was yielded counts only if the end was reached."""
        while not self._over:
            sealed = self._file.read(CHUNK + _EXTRA)
            if len(sealed) < _EXTRA:
                raise _damaged(self._name.decode())
            try:
                chunk, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                    self._state, sealed, self._name
                )
            except (CryptoError, RuntimeError, ValueError) as error:
                raise _damaged(self._name.decode()) from error
            self._over = tag == _FINAL
            if self._over and self._file.read(1):
                raise _damaged(self._name.decode())
            yield chunk

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes; raises where there are fewer."""
        for chunk in self.chunks() if len(self._buffer) < size else ():
            self._buffer += chunk
            if len(self._buffer) >= size:
                break
        if len(self._buffer) < size:
            raise _damaged(self._name.decode())
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def finish(self) -> None:
        """Raise unless all was read, to the end."""
        if self._buffer or any(self.chunks()):
            raise _damaged(self._name.decode())


def _damaged(name: str) -> BadRequest:
    return BadRequest(f"{name.split(':')[0]} of the backup was changed, cut, or belongs to another one")
