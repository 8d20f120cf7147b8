"""What this machine remembers of confidential trainings: which are, what was given to them, how far hosts were.

One file in the user's folder, changed under a lock and on disk before anything that follows from it is sent. No
restart, fresh key or answer of a Domain makes any of it less.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from syft_ext.confidential.odometer import Odometer
from syft_ext.profile.home import locked, read_json, settled, user_home, write_private

__all__ = ["ParticipantBook"]

NAME = "confidential.json"


class _Remembered(msgspec.Struct, frozen=True):
    trainings: tuple[str, ...] = ()
    odometer: Odometer = Odometer()


class ParticipantBook:
    """The file of this user. Every method reads it anew; raises :class:`~syft_ext.errors.BadRequest` when it is
    damaged: nothing is sent then.

    Args:
        folder: where it is; by default the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or user_home()) / NAME

    def _read(self) -> _Remembered:
        return read_json(self._path, _Remembered, _Remembered())

    def _change(self, change: Callable[[_Remembered], _Remembered]) -> None:
        with locked(self._path):
            before = self._read()
            after = change(before)
            if after != before:
                write_private(self._path, msgspec.json.encode(after))
                settled(self._path.parent)

    def is_confidential(self, training: str) -> bool:
        """Whether a training was confidential once: it is for ever, whatever its Domain says."""
        return training in self._read().trainings

    def remember(self, training: str) -> None:
        """A training is confidential. Its name is the Domain's key, its name and its version."""
        if not self.is_confidential(training):
            self._change(lambda kept: _Remembered((*kept.trainings, training), kept.odometer))

    @property
    def odometer(self) -> Odometer:
        """What was given so far."""
        return self._read().odometer

    def count(self, change: Callable[[Odometer], Odometer]) -> None:
        """Replace the count by what ``change`` makes of it; when this returns, it is on disk. Where ``change``
        raises, nothing is changed."""
        self._change(lambda kept: _Remembered(kept.trainings, change(kept.odometer)))
