"""Records entries from several threads and says of each that it was answered, until it is killed.

All the while old entries are archived: whenever it is killed, it may be in the middle of that.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from grid.audit.archiving import Archiver, Kept
from grid.audit.log import AuditLog
from grid.node.principal import Principal
from grid.storage.blobs.registry import file_url, open_store
from grid.storage.sql.database import Database
from syft_ext.clock import SystemClock
from syft_ext.identity import Identity


def main(home: Path, url: str, name: str) -> None:
    identity = Identity.load_or_create(home.parent / "node.key")
    database, contents, clock = Database(url), open_store(file_url(home.parent / "blobs")), SystemClock()
    log = AuditLog(identity, database, home, contents, clock)
    log.start()
    archiver = Archiver(identity, database, contents, clock, Kept(entries=20), block=10)

    def record(thread: int) -> None:
        number = 0
        while True:
            marker = f"{name}-{thread}-{number}"
            log.record(Principal("user", "ab", name="ann@x.org"), "objects.get", [marker])
            sys.stdout.write(f"{marker}\n")
            sys.stdout.flush()
            number += 1

    for number in range(40):  # however slow the machine is, some are archived
        log.record(Principal("user", "ab", name="ann@x.org"), "objects.get", [f"{name}-before-{number}"])
    archiver.archive()

    def archive() -> None:
        while True:
            archiver.archive()
            time.sleep(0.002)

    threads = [threading.Thread(target=record, args=(index,)) for index in range(4)]
    threads.append(threading.Thread(target=archive))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
