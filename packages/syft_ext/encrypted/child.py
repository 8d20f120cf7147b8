"""The library in a confined child of this process: keys, encryption, decryption and sums, for whoever is
outside."""

from __future__ import annotations

import _socket  # the real one: see below
import socket
import threading
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from syft_ext.confinement.child import CHILD_SOCKET, FOLDER, ChildProcess
from syft_ext.encrypted import channel as c
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.frames import read_context
from syft_ext.errors import GridError, Problem, Unavailable, from_problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LibraryChild", "check_installed"]

_SECONDS = 600.0
_MEMORY = 2 << 30
_TOGETHER = 16
"""Ciphertexts in one message: each message costs as much as a tenth of adding one."""


def check_installed() -> None:
    """Raise :class:`Unavailable`, naming the extra, where the library is not installed."""
    if find_spec("tenseal") is None:
        raise Unavailable('TenSEAL is not installed: pip install "grid-platform[he]"', missing="tenseal")


class LibraryChild:
    """One confined process with one context at a time. Threads take turns.

    Args:
        permissive: go on without the protections that this machine lacks. For development only.

    Raises :class:`~syft_ext.errors.Unconfined` where the machine lacks one, :class:`Unavailable` without
    the library.
    """

    def __init__(self, *, permissive: bool = False) -> None:
        check_installed()
        self._lock = threading.RLock()
        arguments = [str(CHILD_SOCKET), FOLDER, str(_MEMORY), "permissive" if permissive else "strict"]
        self._process = ChildProcess("syft_ext.encrypted.child_main", arguments)
        self._process.socket = _of_any_thread(self._process.socket)
        self._process.socket.settimeout(_SECONDS)
        self._opened: tuple[object, bool] | None = None
        try:
            self._answer(c.LibraryReady)
        except BaseException:
            self.close()
            raise

    # -- keys ---------------------------------------------------------------------------------------

    def keys(self, parameters: str) -> tuple[bytes, bytes]:
        """TenSEAL's messages of new keys: with the secret one, and public."""
        secret, public = self._ask(c.MakeKeys(parameters))
        return secret, public

    def open(self, parameters: str, message: bytes | memoryview, *, secret: bool, name: object) -> None:
        """Use this context from now on; ``name`` tells it from others, so that the same is opened once."""
        with self._lock:
            if self._opened != (name, secret):
                self._opened = None
                self._ask(c.Open(parameters, secret), message)
                self._opened = (name, secret)

    def open_public(self, context: bytes | memoryview, name: object) -> None:
        """As :meth:`open`, of a public context's frame. Raises as :func:`read_context` before the child has it."""
        found, message = read_context(context)
        self.open(found.name, message, secret=False, name=name)

    @property
    def turn(self) -> threading.RLock:
        """Held by whoever opens a context and goes on with it."""
        return self._lock

    # -- values -------------------------------------------------------------------------------------

    def encrypt(self, form: Form, numbers: NDArray[Any]) -> list[bytes]:
        """The ciphertexts of numbers, in this form."""
        dtype = np.float64 if form.set.scheme == "ckks" else np.int64
        return self._ask(c.Encrypt(form), np.ascontiguousarray(numbers, dtype).tobytes())

    def decrypt(
        self, form: Form, content: bytes | memoryview, count: int = 1, real: float | None = None
    ) -> NDArray[Any]:
        """The numbers in ``content``, the places of a frame; ``count`` and ``real`` as :meth:`Kernel.decrypt`."""
        (raw,) = self._ask(c.Decrypt(form, count, real), content)
        dtype = np.float64 if form.set.scheme == "ckks" else np.int64
        return np.frombuffer(raw, dtype).reshape(form.shape).copy()

    def total(
        self, form: Form, slots: int, pieces: Iterable[bytes], shift: NDArray[Any] | None = None
    ) -> bytes:
        """The sum of ciphertexts of one form with ``slots`` numbers, and of ``shift``; a few are held at a
        time."""
        waiting, first = iter(pieces), True
        with self._lock:
            while some := list(islice(waiting, _TOGETHER)):
                self._send(c.Summand(form, slots, [len(each) for each in some], first), *some)
                first = False
            if shift is not None:
                self._send(c.Shift(), np.ascontiguousarray(shift, np.float64).tobytes())
            (found,) = self._ask(c.TakeSum())
        return found

    # -- the process --------------------------------------------------------------------------------

    def _send(self, message: c.Request, *bulk: bytes | memoryview) -> None:
        try:
            c.send(self._process.socket, message, *bulk)
        except (OSError, ValueError) as error:
            self.close()
            raise _gone() from error

    def _ask(self, message: c.Request, *bulk: bytes | memoryview) -> list[bytes]:
        with self._lock:
            self._send(message, *bulk)
            reply, raw = self._answer(c.LibraryDone)
        found, start = [], 0
        for length in reply.lengths:
            found.append(bytes(raw[start : start + length]))
            start += length
        return found

    def _answer(self, kind: type[c.LibraryDone] | type[c.LibraryReady]) -> tuple[c.LibraryDone, bytearray]:
        try:
            answer = c.receive_reply(self._process.socket)
        except (OSError, msgspec.MsgspecError, GridError) as error:
            self.close()
            raise _gone() from error
        if answer is None:
            self.close()
            raise _gone()
        reply, raw = answer
        if isinstance(reply, c.LibraryFailed):
            raise from_problem(Problem(code=reply.code, detail=reply.detail, status=400))
        if not isinstance(reply, kind):
            self.close()
            raise _gone()
        return (reply if isinstance(reply, c.LibraryDone) else c.LibraryDone()), raw

    @property
    def pid(self) -> int:
        """Of the process: whoever measures it asks the system."""
        return self._process.pid

    def close(self) -> None:
        """End it; keys that were in it are gone. Idempotent."""
        self._process.kill()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.gone()


def _of_any_thread(channel: socket.socket) -> socket.socket:
    """The same socket for whichever thread has the turn: where gevent replaces ``socket``, one belongs to the
    thread that made it. Under gevent, whoever waits for this one is off the event loop."""
    return cast(socket.socket, _socket.socket(fileno=channel.detach()))


def _gone() -> Unavailable:
    return Unavailable(
        "the confined process of the library ended: its work was too large, or the bytes broke it"
    )
