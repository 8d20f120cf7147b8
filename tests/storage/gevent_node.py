# ruff: noqa: E402  (gevent patches before anything else is imported)
"""What a node does under gevent, run as a script by test_gevent.py: one scenario, figures as JSON.

python gevent_node.py SCENARIO DATABASE_URL DIRECTORY
"""

from gevent import monkey

monkey.patch_all()

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import gevent
from sqlalchemy import insert, select, text, update

from grid.concurrency.offload import Lock, offload, patched
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.tables import BlobRow
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of

BLOBS = table_of(BlobRow)


class Loop:
    """Counts who waits for the disk: the thread of the event loop, which stands still meanwhile, or others."""

    def __enter__(self) -> "Loop":
        self.syncs: Counter[str] = Counter()
        self._real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}
        for name, sync in self._real.items():
            setattr(os, name, partial(self._sync, sync))
        return self

    def _sync(self, sync: Callable[[int], None], descriptor: int) -> None:
        self.syncs["loop" if threading.get_native_id() == os.getpid() else "others"] += 1
        sync(descriptor)

    def __exit__(self, *_: object) -> None:
        for name, sync in self._real.items():
            setattr(os, name, sync)


def commits(url: str, root: Path) -> dict[str, object]:
    """50 uploads of 1.25 MB at once, in pieces of 64 KiB, five times."""
    blobs = FileBlobStore(root)
    syncs: Counter[str] = Counter()
    for number in range(5):
        contents = [Random(100 * number + n).randbytes(1_250_000) for n in range(50)]

        def put(content: bytes) -> None:
            view = memoryview(content)
            blobs.put(view[i : i + 65536] for i in range(0, len(view), 65536)).release()

        with Loop() as loop:
            gevent.joinall([gevent.spawn(put, content) for content in contents], raise_error=True)
        syncs += loop.syncs
    return {"loop": syncs["loop"], "others": syncs["others"], "blobs": len(list(blobs.digests()))}


def everywhere(url: str, root: Path) -> dict[str, object]:
    """Greenlets, patched threads and offloaded work share one database and one blob store."""
    db, blobs = Database(url), FileBlobStore(root)
    with db.transaction() as session:
        session.execute(insert(BLOBS), {"digest": "n" * 64, "size": 0})

    def work(number: int) -> None:
        for step in range(10):
            blobs.put([b"%d %d" % (number, step)]).release()
            with db.transaction(durable=step == 0) as session:
                seen = session.scalar(select(BLOBS.c.size))
                time.sleep(0.0005)
                session.execute(update(BLOBS).values(size=seen + 1) if db.dialect == "sqlite" else INCREMENT)
            with db.read() as session:
                session.scalar(select(BLOBS.c.size))

    greenlets = [gevent.spawn(work, n) for n in range(8)]
    greenlets += [gevent.spawn(offload, work, n) for n in range(8, 14)]
    threads = [threading.Thread(target=work, args=(n,)) for n in range(14, 18)]
    for thread in threads:
        thread.start()
    gevent.joinall(greenlets, raise_error=True)
    for thread in threads:
        thread.join()
    with db.read() as session:
        total = session.scalar(select(BLOBS.c.size))
    db.close()
    return {"total": total, "blobs": len(list(blobs.digests()))}


INCREMENT = update(BLOBS).values(size=BLOBS.c.size + 1)


def waiting(url: str, root: Path) -> dict[str, object]:
    """A long transaction, and offloaded work, stop only those who wait for them: if they stopped the loop, nobody
    would end them."""
    db = Database(url)
    order: list[str] = []
    gate = monkey.get_original("_thread", "allocate_lock")()
    gate.acquire()

    def long() -> None:
        with db.transaction() as session:
            session.execute(text("SELECT 1"))
            gevent.sleep(0.2)
            order.append("long")

    def short() -> None:
        with db.transaction() as session:
            session.execute(text("SELECT 1"))
            order.append("short")

    inside = gevent.spawn(offload, gate.acquire, True, 60.0)
    greenlets = [gevent.spawn(long), gevent.spawn(short), gevent.spawn_later(0.2, gate.release)]
    gevent.joinall([inside, *greenlets], raise_error=True)
    db.close()
    return {"order": order, "let through": inside.value}


def killed(url: str, root: Path) -> dict[str, object]:
    """Greenlets that die while they wait or write break nothing for the others."""
    db, blobs, lock = Database(url), FileBlobStore(root), Lock()
    content = Random(1).randbytes(3_000_000)

    def hold() -> None:
        with lock:
            gevent.sleep(0.01)

    def transact() -> None:
        with db.transaction() as session:
            session.execute(text("SELECT 1"))
            gevent.sleep(0.005)

    def put() -> None:
        blobs.put([content[:700_000], content[700_000:]]).release()

    rng = Random(2)
    for _ in range(15):
        greenlets = [gevent.spawn(fn) for fn in (hold, transact, put) for _ in range(4)]
        gevent.sleep(rng.random() * 0.02)
        gevent.killall(rng.sample(greenlets, 6))
        gevent.joinall(greenlets, timeout=240)
        assert all(greenlet.dead for greenlet in greenlets)
    hold(), transact(), put()
    # The threads that still wrote for the dead clean up behind them, when they get there.
    deadline = time.monotonic() + 60
    while list(blobs.temporary.iterdir()) and time.monotonic() < deadline:
        gevent.sleep(0.01)
    db.close()
    return {"temporary": len(list(blobs.temporary.iterdir())), "blobs": len(list(blobs.digests()))}


SCENARIOS: dict[str, Callable[[str, Path], dict[str, object]]] = {
    "commits": commits,
    "everywhere": everywhere,
    "waiting": waiting,
    "killed": killed,
}

if __name__ == "__main__":
    assert patched()
    print(json.dumps(SCENARIOS[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))))
