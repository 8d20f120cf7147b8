"""The confined child in which this node reads and adds up participants' ciphertexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from grid.concurrency.offload import Lock, offload
from syft_ext.confinement.gate import Gate
from syft_ext.encrypted.child import LibraryChild, check_installed

__all__ = ["ConfinedLibrary"]

T = TypeVar("T")


class ConfinedLibrary:
    """One child, started when it is needed; work in it takes turns.

    Args:
        gate: whether this machine can confine strangers' bytes.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._turn = Lock()
        self._child: LibraryChild | None = None

    def check(self) -> None:
        """Raise :class:`~syft_ext.errors.Unavailable` without the library, naming the extra, and
        :class:`~syft_ext.errors.Unconfined` where it may not run."""
        check_installed()
        self._gate.check()

    def run(self, work: Callable[[LibraryChild], T], *, last: bool = False) -> T:
        """What ``work`` makes with the child, off the event loop.

        Args:
            last: no more is expected soon: the child ends, and its memory with it.

        Raises as :meth:`check`, and what ``work`` does: :class:`Unavailable` where the child ends meanwhile.
        """
        self.check()
        with self._turn:
            try:
                return offload(self._work, work)
            finally:
                if last:
                    self._end()

    def _work(self, work: Callable[[LibraryChild], T]) -> T:
        if self._child is None or self._child.over:
            self._end()
            self._child = LibraryChild(permissive=self._gate.permissive)
        return work(self._child)

    def close(self) -> None:
        """End the child; whoever needs it starts another."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()
