"""Runs a scenario again and again, killing it (SIGKILL) at another system call each time.

    python kill_points.py SCENARIO DATABASE_URL DIRECTORY SEED POINTS

Before and after every call that changes the disk or commits to the database there is a point. For each
of POINTS points, drawn by SEED, a child process runs the scenario and dies there; a second child opens
what is left, as a restarted node would, and checks it. Prints how many children were killed. No threads
run when it forks.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blake3 import blake3
from sqlalchemy import delete
from sqlalchemy.orm import Session, configure_mappers

from grid import schema
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.references import collect, purge, record, sweep
from grid.storage.objects.store import DiskObjectStore
from grid.storage.objects.tables import ObjectRow, UploadRow
from grid.storage.objects.uploads import Uploads
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock, SystemClock
from syft_ext.store import StorableObject

KEY = "0" * 32


class Node:
    """What a restarted node has."""

    def __init__(self, url: str, root: Path) -> None:
        self.db = Database(url)
        self.blobs = FileBlobStore(root)
        self.store = DiskObjectStore(self.db, self.blobs)
        self.uploads = Uploads(self.db, self.blobs, SystemClock())
        self.note = root / "upload-id"

    def assert_nothing_left_over(self, contents: int) -> None:
        sweep(self.db, self.blobs)
        assert list(self.blobs.temporary.iterdir()) == []
        assert len(list(self.blobs.digests())) == contents


def clear(node: Node) -> None:
    with node.db.transaction() as session:
        session.execute(delete(ObjectRow))
        session.execute(delete(UploadRow))
    node.uploads.sweep()
    node.assert_nothing_left_over(0)


# -- an object is replaced by another ---------------------------------------------------------------


def contents(seed: int) -> list[bytes]:
    return [random.Random(seed + n).randbytes(700_000) for n in range(2)]


def prepare_put(node: Node, seed: int) -> None:
    clear(node)
    node.store.put(StorableObject(id=KEY, data=contents(seed)[0], tags=("0",)))


def put(node: Node, seed: int) -> None:
    node.store.put(StorableObject(id=KEY, data=contents(seed)[1], tags=("1",)))


def check_put(node: Node, seed: int) -> None:
    found = node.store[KEY]
    assert found.data == contents(seed)[int(found.tags[0])], "one object or the other, whole"
    put(node, seed)  # not confused by what the killed one left
    assert (node.store[KEY].tags, node.store[KEY].data) == (("1",), contents(seed)[1])
    node.assert_nothing_left_over(1)


# -- an upload in three pieces ----------------------------------------------------------------------


def prepare_upload(node: Node, seed: int) -> None:
    clear(node)
    content = contents(seed)[0]
    upload = node.uploads.begin(len(content), owner="x", digest=blake3(content).hexdigest())
    node.note.write_text(upload)


def upload(node: Node, seed: int) -> None:
    content, rng = contents(seed)[0], random.Random(seed)
    cuts = [0, *sorted(rng.sample(range(len(content)), 2)), len(content)]
    for start, stop in zip(cuts, cuts[1:], strict=False):
        node.uploads.append(node.note.read_text(), start, [content[start:stop]])
    node.uploads.finish(node.note.read_text())


def check_upload(node: Node, seed: int) -> None:
    content, name = contents(seed)[0], node.note.read_text()
    status = node.uploads.status(name)
    if status.digest is None:
        node.uploads.append(name, status.received, [content[status.received :]])
    with node.uploads.finish(name) as blob:
        assert bytes(node.blobs.map(blob.digest)) == content
    node.assert_nothing_left_over(1)


# -- contents of one size come and go ---------------------------------------------------------------


def recycle(node: Node, seed: int) -> None:
    before: list[str] = []
    for number in range(5):
        content = random.Random(seed + number).randbytes(9000)
        with node.blobs.create(len(content)) as writer:
            writer.write(content)
            blob = writer.commit()
        with blob, node.db.transaction() as session:
            record(session, blob)
        collect(node.db, node.blobs, before, recycle=True)
        before = [blob.digest]


def check_recycle(node: Node, seed: int) -> None:
    for digest in node.blobs.digests():
        assert blake3(node.blobs.read_range(digest, 0)).hexdigest() == digest
    node.assert_nothing_left_over(0)


# -- what waits in the quarantine goes, or goes back -------------------------------------------------

OTHER = "1" * 32
GRACE = 1000.0


def waiting(node: Node, later: float = 0.0) -> None:
    """Let deleted contents wait for :data:`GRACE`, and have it ``later`` by so many seconds."""
    quarantine = node.blobs.quarantine
    quarantine.grace, quarantine.most = GRACE, 1 << 30
    quarantine.clock = ManualClock(time.time() + later)


def prepare_quarantine(node: Node, seed: int) -> None:
    node.blobs.quarantine.grace = 0.0  # what is left of the point before goes at once
    clear(node)
    purge(node.db, node.blobs)
    waiting(node)
    kept, dropped = contents(seed)
    node.store.put(StorableObject(id=KEY, data=kept))
    node.store.put(StorableObject(id=OTHER, data=dropped))
    del node.store[OTHER]
    with node.blobs.put([b"that no row knows"]):
        pass
    # On the word of a database that was the wrong one for a while.
    path = node.note.parent / "contents" / blake3(kept).hexdigest()
    node.blobs.quarantine.take(path, "unknown")


def look_after_quarantine(node: Node, seed: int) -> None:
    waiting(node)
    sweep(node.db, node.blobs)
    waiting(node, later=2 * GRACE)
    purge(node.db, node.blobs)


def check_quarantine(node: Node, seed: int) -> None:
    waiting(node)
    for each in node.blobs.quarantine.listed():
        file = node.note.parent / "quarantine" / each.why / each.name
        assert blake3(file.read_bytes()).hexdigest() == each.name, "whole, for as long as it is here"
    assert node.store[KEY].data == contents(seed)[0], "what is referred to is found, wherever it was"
    look_after_quarantine(node, seed)
    waiting(node, later=5 * GRACE)  # what the sweep has just put there has waited, too
    purge(node.db, node.blobs)
    assert list(node.blobs.quarantine.listed()) == []
    assert node.store[KEY].data == contents(seed)[0]
    node.assert_nothing_left_over(1)


SCENARIOS: dict[str, tuple[Callable[[Node, int], None], ...]] = {
    "put": (prepare_put, put, check_put),
    "upload": (prepare_upload, upload, check_upload),
    "quarantine": (prepare_quarantine, look_after_quarantine, check_quarantine),
    "recycle": (lambda node, seed: clear(node), recycle, check_recycle),
}


# -- dying ------------------------------------------------------------------------------------------


def arm(point: int) -> Callable[[], int]:
    """Have this process kill itself at its ``point``-th chance; returns how many chances there were."""
    chances = 0

    def chance() -> None:
        nonlocal chances
        chances += 1
        if chances == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            chance()
            result = function(*args, **kwargs)
            chance()
            return result

        return call

    for name in ("open", "write", "fdatasync", "fsync", "link", "unlink", "rename"):
        setattr(os, name, mortal(getattr(os, name)))
    Session.commit = mortal(Session.commit)  # type: ignore[method-assign]
    return lambda: chances


def child(work: Callable[[], None]) -> int:
    """Run ``work`` in a child process; returns its wait status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def main(scenario: str, url: str, root: str, seed: str, points: str) -> None:
    prepare, run, check = SCENARIOS[scenario]
    assert schema  # its tables: without them nothing is removed
    configure_mappers()  # this and the driver's import once, not in every child
    Database(url)
    count = Path(root).with_name("chances")

    def node() -> Node:
        return Node(url, Path(root))

    def die_at(point: int) -> int:
        def die() -> None:
            chances = arm(point)
            run(node(), int(seed))
            count.write_text(str(chances()))

        def look() -> None:
            restarted = node()
            check(restarted, int(seed))
            prepare(restarted, int(seed))

        status = child(die)
        if child(look) != 0:
            sys.exit(f"point {point} left something wrong behind")
        return status

    if child(lambda: prepare(node(), int(seed))) != 0 or die_at(0) != 0:
        sys.exit("the scenario itself failed")
    chosen = random.Random(seed).sample(range(1, int(count.read_text()) + 1), int(points))
    print(sum(die_at(point) == signal.SIGKILL for point in chosen))


if __name__ == "__main__":
    main(*sys.argv[1:])
