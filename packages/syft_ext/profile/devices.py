"""Which worker a process of this user is: an identifier that the next process finds again.

Each is a file in the user's folder. Who uses it holds the file's lock, which the system gives back however they
end: after a crash the next process is the same worker to the Domain, and gets the assignment that it held again.
Two that run beside each other are two workers.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from itertools import count

from syft_ext.ids import is_id, new_id
from syft_ext.profile.home import user_home

__all__ = ["Device"]

_LENGTH = len(new_id())


class Device:
    """One identifier for workers of this user at ``address``, apart from all that are in use now.

    The first that nobody uses is taken, so that whoever starts one process after the other is one worker. It is
    theirs until :meth:`close`, or until the process ends.

    Attributes:
        id: what tells this worker apart from the user's others.
    """

    def __init__(self, address: str) -> None:
        # Addresses have colons and slashes, and the folder's listing need not tell them.
        name = hashlib.sha256(address.encode()).hexdigest()[:32]
        folder = user_home() / "devices"
        folder.mkdir(mode=0o700, exist_ok=True)
        for number in count(1):
            # Not inherited by programs that are started: the lock would outlive this process.
            descriptor = os.open(folder / f"{name}.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.id = _kept(descriptor)
            except BlockingIOError:
                os.close(descriptor)
                continue
            except BaseException:
                os.close(descriptor)
                raise
            break
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Let the next process, or the next client here, have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


def _kept(descriptor: int) -> str:
    """What the file says; where it says nothing (it is new, or was cut by a crash) it gets a fresh identifier."""
    found = os.pread(descriptor, _LENGTH + 1, 0).decode("ascii", "replace")
    if is_id(found):
        return found
    fresh = new_id()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, fresh.encode(), 0)
    os.fsync(descriptor)
    return fresh
