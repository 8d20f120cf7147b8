"""Contents looked after while a node runs: read through on a schedule, damage told, quarantine shown."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import msgspec

from grid.concurrency.offload import offload
from grid.config import NodeSettings
from grid.node import Context, Node, Service, handles
from grid.storage.blobs.disk import replace_file
from grid.storage.objects.checked import CheckedContents
from grid.upkeep.affected import affected_by
from grid.upkeep.scrub import ReadingPace, scrub
from syft_ext.errors import NotFound, Unavailable
from syft_ext.messages import contents as m

__all__ = ["UpkeepService"]

logger = logging.getLogger(__name__)

FILE = "scrub.json"
_LOOK = 60.0
_EVERY = 200
"""Contents after which how far a reading has come is noted."""


class _Progress(msgspec.Struct, kw_only=True):
    """Where a reading is. Times: seconds since the epoch; 0.0: never."""

    begun_at: float = 0.0
    finished_at: float = 0.0
    after: str = ""
    contents: int = 0
    damaged: int = 0


class _Stopped(Exception):
    pass


class UpkeepService(Service):
    """Args: ``settings``: how often contents are read through, and how fast."""

    def __init__(self, node: Node, settings: NodeSettings) -> None:
        super().__init__(node)
        if not isinstance(node.blobs, CheckedContents):
            raise TypeError("damage is told of contents that are checked")
        self._contents: CheckedContents = node.blobs
        self._interval, self._rate = settings.scrub_interval, settings.scrub_rate
        self._path: Path = node.home / FILE
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- operations ---------------------------------------------------------------------------------

    @handles(m.GetContents)
    def state(self, ctx: Context, message: m.GetContents) -> m.ContentsView:
        with self.node.db.read() as session:
            damaged = [
                m.DamagedContent(
                    digest=each.digest,
                    code=each.error.code,
                    size=each.size or 0,
                    found=each.found,
                    noticed_at=each.at,
                    affects=affected_by(session, each.digest),
                )
                for each in list(self._contents.damaged.values())[: message.limit]
            ]
        progress, quarantine = self._progress(), self._contents.quarantine
        waiting = [] if quarantine is None else list(quarantine.listed())
        return m.ContentsView(
            damaged=damaged,
            damaged_in_all=len(self._contents.damaged),
            waiting=len(waiting),
            waiting_bytes=sum(each.size for each in waiting),
            read_at=progress.finished_at,
            reading=bool(progress.after),
        )

    @handles(m.ListQuarantine)
    def quarantine(self, ctx: Context, message: m.ListQuarantine) -> m.QuarantineList:
        store = self._contents.quarantine
        found = [] if store is None else sorted(store.listed(), key=lambda each: (-each.since, each.name))
        page = found[message.offset : message.offset + message.limit]
        return m.QuarantineList(
            contents=[
                m.WaitingContent(
                    name=each.name, why=each.why, size=each.size, since_at=each.since, until_at=each.until
                )
                for each in page
            ]
        )

    @handles(m.BringBack)
    def bring_back(self, ctx: Context, message: m.BringBack) -> m.BroughtBack:
        store = self._contents.quarantine
        ctx.note(digest=message.digest)
        if store is None or not offload(store.give_back, message.digest):
            raise NotFound("no such content waits in the quarantine")
        return m.BroughtBack(digest=message.digest, size=self._contents.size(message.digest))

    # -- readiness ----------------------------------------------------------------------------------

    checks = "contents"

    def check(self) -> None:
        damaged = list(self._contents.damaged.values())
        if damaged:
            codes = sorted({each.error.code for each in damaged})
            raise Unavailable(
                f"{len(damaged)} contents are damaged ({', '.join(codes)}): nothing is computed from them; "
                "`grid verify` says what is affected"
            )

    # -- the schedule -------------------------------------------------------------------------------

    def start(self) -> None:
        if self._interval > 0:
            self._thread = threading.Thread(target=self._look_after, name="upkeep", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)

    def _look_after(self) -> None:
        while not self._stopping.wait(min(_LOOK, self._interval)):
            try:
                progress = self._progress()
                if progress.after or self.node.clock.now() >= progress.begun_at + self._interval:
                    self.read_through(progress)
            except _Stopped:
                return
            except Exception:
                logger.exception("the contents could not be read through")

    def read_through(self, progress: _Progress | None = None) -> None:
        """Go on with a reading, or begin one; returns when it is over."""
        progress = progress or _Progress()
        if not progress.after:
            progress = _Progress(begun_at=self.node.clock.now(), finished_at=progress.finished_at)

        def done(digest: str) -> None:
            progress.after = digest
            progress.contents += 1
            if progress.contents % _EVERY == 0:
                self._note(progress)

        def wait(seconds: float) -> None:
            if self._stopping.wait(seconds) if seconds else self._stopping.is_set():
                self._note(progress)
                raise _Stopped

        result = scrub(
            self.node.db, self._contents, ReadingPace(self._rate, wait), after=progress.after, done=done
        )
        progress.damaged, progress.after = len(result.damages), ""
        progress.finished_at = self.node.clock.now()
        self._note(progress)
        logger.info("%d contents were read through; %d are damaged", progress.contents, progress.damaged)

    def _progress(self) -> _Progress:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Progress)
        except (FileNotFoundError, msgspec.MsgspecError):
            return _Progress()

    def _note(self, progress: _Progress) -> None:
        replace_file(self._path, msgspec.json.encode(progress))
