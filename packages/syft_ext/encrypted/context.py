"""Keys of encrypted computing, and the public context that others compute with."""

from __future__ import annotations

import atexit
import contextlib
import os
import struct
import threading
from pathlib import Path

import msgspec

from syft_ext.encrypted.child import LibraryChild
from syft_ext.encrypted.frames import KEYS_MAGIC, context_frame, digest_of_context, read_context
from syft_ext.encrypted.parameters import ParameterSet, parameters_of
from syft_ext.encrypted.sending import Sendable
from syft_ext.errors import BadRequest

__all__ = ["EncryptionKeys", "PublicContext", "library_child"]

_LENGTH = struct.Struct("<I")
_lock = threading.Lock()
_child: LibraryChild | None = None


def library_child() -> LibraryChild:
    """This process's confined child with the library; started when it is first needed, and again after it
    ended."""
    global _child
    with _lock:
        if _child is None or _child.over:
            if _child is not None:
                _child.close()
            _child = LibraryChild()
        return _child


@atexit.register
def _end() -> None:
    if _child is not None:
        _child.close()


def _forget() -> None:
    global _child, _lock
    _child, _lock = None, threading.Lock()  # a fork of this process has none


os.register_at_fork(after_in_child=_forget)


class PublicContext(Sendable):
    """What everybody needs who encrypts for a key's holder, or computes: it opens nothing.

    Args:
        content: its frame (:mod:`syft_ext.encrypted.frames`), checked here.

    Attributes:
        digest: names it, and with it the key: hex.
    """

    def __init__(self, content: bytes) -> None:
        self.set, _ = read_context(content)
        self.content, self.digest = content, digest_of_context(content)

    @property
    def parameters(self) -> str:
        """The name of its parameters."""
        return self.set.name

    def opened(self, child: LibraryChild) -> None:
        """Have the child use it."""
        child.open_public(self.content, self.digest)

    def __repr__(self) -> str:
        return f"<PublicContext {self.parameters}, {self.digest[:16]}…>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicContext) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


class EncryptionKeys:
    """A secret key, which stays here, and its :attr:`public` context, which is sent. Whoever has this object opens
    every value that was encrypted under it, and whatever others computed from those.

    Make one with :meth:`generate`, keep it with :meth:`save`.
    """

    def __init__(self, public: PublicContext, secret: bytes) -> None:
        self.public, self._secret = public, secret

    @classmethod
    def generate(cls, parameters: str = "add4096") -> EncryptionKeys:
        """New keys. ``parameters``: ``add4096`` (sums of reals), ``mul8192`` (two products one after the
        other, inner
        products, matrices; its public context is 34 MB) or ``int4096`` (exact whole numbers, one product)."""
        found = parameters_of(parameters)
        secret, public = library_child().keys(found.name)
        return cls(PublicContext(context_frame(found.name, public)), secret)

    @property
    def set(self) -> ParameterSet:
        """Its parameters."""
        return self.public.set

    def opened(self, child: LibraryChild) -> None:
        """Have the child use it, the secret key with it."""
        child.open(self.set.name, self._secret, secret=True, name=self.public.digest)

    def save(self, path: str | Path) -> None:
        """Write the keys to a file that only its owner may read. It must not exist."""
        content = msgspec.msgpack.encode((self.public.content, self._secret))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(KEYS_MAGIC + _LENGTH.pack(len(content)) + content)

    @classmethod
    def load(cls, path: str | Path) -> EncryptionKeys:
        """What :meth:`save` wrote. Raises :class:`BadRequest` for another file."""
        content = Path(path).read_bytes()
        start = len(KEYS_MAGIC) + _LENGTH.size
        if (
            not content.startswith(KEYS_MAGIC)
            or _LENGTH.unpack_from(content, len(KEYS_MAGIC))[0] != len(content) - start
        ):
            raise BadRequest("this file holds no encryption keys")
        with contextlib.suppress(msgspec.MsgspecError):
            public, secret = msgspec.msgpack.decode(content[start:], type=tuple[bytes, bytes])
            return cls(PublicContext(public), secret)
        raise BadRequest("this file holds no encryption keys")

    def send(self, *_: object, **__: object) -> None:
        """Raises :class:`BadRequest`: send ``keys.public``."""
        raise BadRequest("keys with a secret one among them are sent nowhere; send keys.public")

    def __reduce__(self) -> str:
        raise BadRequest("keys are not pickled; keys.save(path) keeps them")

    def __repr__(self) -> str:
        return f"<EncryptionKeys {self.set.name}, {self.public.digest[:16]}…>"
