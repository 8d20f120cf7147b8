"""How many reports each training has had of this machine: on disk before the plan sees a row, so that no restart,
no fresh key and no crash makes it fewer."""

from __future__ import annotations

import os

from syft_ext.errors import NotAgreed
from syft_ext.profile.counts import EVERY_TRAINING, REPORTS
from syft_ext.profile.home import locked, read_json, user_home, write_private

__all__ = ["ReportCounts"]


class ReportCounts:
    """The reports to one training.

    What counts is that a plan ran on the data, not that a report arrived: the Domain may have had one whose answer
    was lost, and of one that failed it learns that it did.

    Args:
        node_key: the Domain's key, as it was met.
        digest: of the training's definition.
    """

    def __init__(self, node_key: str, digest: str) -> None:
        self._path = user_home() / REPORTS
        self._name = f"{node_key}/{digest}"

    @property
    def count(self) -> int:
        """Reports so far. Raises :class:`BadRequest` when the file is damaged: then nothing more is reported."""
        return self._of(read_json(self._path, dict[str, int], {}))

    def _of(self, counts: dict[str, int]) -> int:
        return max(counts.get(self._name, 0), counts.get(EVERY_TRAINING, 0))

    def add(self, limit: int) -> None:
        """Count one more. Raises :class:`NotAgreed` where ``limit`` is reached: nothing is counted then."""
        with locked(self._path):
            counts = read_json(self._path, dict[str, int], {})
            count = self._of(counts)
            if count >= limit:
                raise spent(limit)
            counts[self._name] = count + 1
            write_private(self._path, _encode(counts))
            _settle(self._path.parent)


def spent(limit: int) -> NotAgreed:
    """The error of a training that wants more reports than its participant's owner agreed to."""
    return NotAgreed(f"the bound of {limit} reports to one training is reached", reason="max-reports")


def _encode(counts: dict[str, int]) -> bytes:
    import msgspec

    return msgspec.json.encode(counts)


def _settle(folder: os.PathLike[str]) -> None:
    """Make sure that the file's new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
