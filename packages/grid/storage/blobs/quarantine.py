"""What was to be deleted waits here first: a database that was the wrong or an older one can be put right.

    quarantine/unknown/DIGEST     what a sweep found and no row of the database tells of
    quarantine/dropped/DIGEST     what somebody stopped referring to, and nobody else does
    quarantine/uploads/ID         what was received of an upload that no row of the database tells of
    quarantine/abandoned/ID       what was received of an upload that was given up, refused, or expired
    quarantine/owners/DIGEST      a link to nothing, named as whoever dropped the content, or upload (ID): nobody,
                                  without one

A file's time of modification is when it came here. It goes back as soon as somebody asks for it, and is removed
when its grace is over. What was dropped is what its owner, or a rule, wanted gone, and anybody may drop much: of
that no more than so many bytes wait. Whose most wait there, theirs go first, the oldest before the others: nobody
pushes out what somebody else dropped as long as their own is more.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grid.storage.blobs.disk import make_directory, sync_directory
from grid.storage.blobs.interface import SetAside
from grid.storage.blobs.keeping import Keeping
from grid.storage.blobs.locks import LockedFile
from syft_ext.clock import Clock, SystemClock

__all__ = ["FileQuarantine", "Why"]

Why = Literal["unknown", "dropped", "uploads", "abandoned"]
_CONTENTS: tuple[Why, ...] = ("unknown", "dropped")
_WANTED: tuple[Why, ...] = ("dropped", "abandoned")
"""Gone because somebody, or a rule, wanted it: of these no more wait than there is room for."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class _WaitingFile:
    path: Path
    why: Why
    size: int
    since: float


class FileQuarantine:
    """Args:
        contents, uploads: where its files come from, and go back to; on the same file system.
        keeping: says whether anything may be removed for good.

    Attributes:
        grace: seconds that what is here waits; 0: what is deleted is deleted at once.
        most: bytes of what was dropped that wait at most.
        clock: tells when something came.
    """

    def __init__(self, root: Path, contents: Path, uploads: Path, keeping: Keeping) -> None:
        self._keeping = keeping
        self._root = root
        self._homes = {
            "unknown": contents, "dropped": contents, "uploads": uploads, "abandoned": uploads,
        }  # fmt: skip
        self._owners = root / "owners"
        self.grace, self.most = 0.0, 0
        self.clock: Clock = SystemClock()
        self._dropped = (
            0  # bytes, by this process since the last purge; about, for threads do not wait for it
        )

    @property
    def crowded(self) -> bool:
        """As :attr:`grid.storage.blobs.interface.SupportsQuarantine.crowded`: a quarter of what may wait."""
        return self._dropped > self.most // 4

    def take(self, path: Path | str, why: Why, *, for_good: bool = True) -> None:
        """Move a file here that its caller has locked alone; remove it where nothing waits and it may go
        ``for_good``."""
        if self.grace <= 0 and for_good:
            os.unlink(path)  # noqa: PTH108 - a string for a tenth of the time
            return
        folder = self._root / why
        if not folder.is_dir():
            make_directory(folder)
        now = self.clock.now()
        if why in _WANTED:
            self._dropped += os.stat(path).st_size  # noqa: PTH116
        os.utime(path, (now, now))
        os.rename(path, folder / os.path.basename(path))  # noqa: PTH104, PTH119

    def take_abandoned(self, path: Path, owner: str) -> None:
        """Move what was received of an upload of ``owner`` here, which somebody may still be writing; remove it
        where nothing waits. Raises :class:`FileNotFoundError` where there is none."""
        with self._keeping.removing() as for_good:
            self.take(path, "abandoned", for_good=for_good)
            self.count_for(owner, [path.name])

    def give_back(self, name: str, *whys: Why) -> bool:
        """Put a file back where it came from; whether it was here. Several processes may do it at once."""
        for why in whys or _CONTENTS:
            path, home = self._root / why / name, self._homes[why]
            try:
                # Linked and then removed: a name that somebody made again meanwhile is not replaced, for its file
                # may be locked by those who hold it.
                os.link(path, home / name)
            except FileNotFoundError:
                continue
            except FileExistsError:
                pass
            sync_directory(home)
            path.unlink(missing_ok=True)
            self._owner(name).unlink(missing_ok=True)
            return True
        return False

    def count_for(self, owner: str, names: Iterable[str]) -> None:
        """As :meth:`grid.storage.blobs.interface.SupportsQuarantine.count_for`."""
        for name in names:
            if not any((self._root / why / name).exists() for why in _WANTED):
                continue  # nothing waits
            if not self._owners.is_dir():
                make_directory(self._owners)
            link = self._owner(name)
            link.unlink(missing_ok=True)
            with suppress(FileExistsError):  # somebody else dropped it at the same time, too
                link.symlink_to(owner)

    def holds(self, name: str) -> bool:
        """Whether a content is here."""
        return any((self._root / why / name).exists() for why in _CONTENTS)

    def listed(self) -> Iterator[SetAside]:
        """What is here, in no order."""
        for entry in self._entries():
            yield SetAside(entry.path.name, entry.why, entry.size, entry.since, entry.since + self.grace)

    def purge(self, referred: Callable[[Collection[str]], Collection[str]]) -> int:
        """Remove what has waited long enough; returns how much that was.

        Args:
            referred: says which of some contents the database refers to after all: these go back instead.
        """
        self._dropped = 0
        with self._keeping.removing() as for_good:
            return self._purge(referred) if for_good else 0

    def keeping(self) -> AbstractContextManager[None]:
        """As :meth:`grid.storage.blobs.interface.SupportsQuarantine.keeping`."""
        return self._keeping.entered()

    def _purge(self, referred: Callable[[Collection[str]], Collection[str]]) -> int:
        now = self.clock.now()
        over, dropped = list[_WaitingFile](), list[_WaitingFile]()
        for entry in self._entries():
            if entry.since + self.grace <= now:
                over.append(entry)
            elif entry.why in _WANTED:
                dropped.append(entry)
        over += self._beyond_room(dropped)
        removed = 0
        for start in range(0, len(over), _BATCH):
            batch = over[start : start + _BATCH]
            kept = set(referred([entry.path.name for entry in batch if entry.why in _CONTENTS]))
            for entry in batch:
                if entry.why in _CONTENTS and entry.path.name in kept:
                    self.give_back(entry.path.name)
                else:
                    removed += self._remove(entry)
        return removed

    def _beyond_room(self, dropped: list[_WaitingFile]) -> list[_WaitingFile]:
        """Those for which there is no room: whoever has most waiting loses their oldest, until the rest fits."""
        if sum(entry.size for entry in dropped) <= self.most:
            return []
        held, ranked = Counter[str](), list[tuple[int, _WaitingFile]]()
        for entry in sorted(dropped, key=lambda entry: -entry.since):
            owner = self._owner_of(entry)
            held[owner] += entry.size
            ranked.append((held[owner], entry))
        room, over = self.most, []
        for _, entry in sorted(ranked, key=lambda each: each[0]):
            room -= entry.size
            if room < 0:
                over.append(entry)
        return over

    def _owner(self, name: str) -> Path:
        return self._owners / name

    def _owner_of(self, entry: _WaitingFile) -> str:
        """Who dropped it; "" for nobody who is known."""
        with suppress(FileNotFoundError):
            return str(self._owner(entry.path.name).readlink())
        return ""

    def _remove(self, entry: _WaitingFile) -> bool:
        with suppress(FileNotFoundError):
            file = LockedFile(str(entry.path))
            try:
                if not file.lock_alone() or os.fstat(file.fd).st_mtime != entry.since:
                    return False  # somebody reads it, or it has gone and come again
                entry.path.unlink()
                self._owner(entry.path.name).unlink(missing_ok=True)
                return True
            finally:
                file.close()
        return False

    def _entries(self) -> Iterator[_WaitingFile]:
        whys: tuple[Why, ...] = (*_CONTENTS, "uploads", "abandoned")
        for why in whys:
            with suppress(FileNotFoundError), os.scandir(self._root / why) as found:
                for each in found:
                    with suppress(FileNotFoundError):
                        status = each.stat()
                        yield _WaitingFile(Path(each.path), why, status.st_size, status.st_mtime)
