"""Records entries from several threads and says of each that it was answered, until it is killed."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from grid.audit.log import AuditLog
from grid.node.principal import Principal
from grid.storage.sql.database import Database
from syft_ext.clock import SystemClock
from syft_ext.identity import Identity


def main(home: Path, url: str, name: str) -> None:
    identity = Identity.load_or_create(home.parent / "node.key")
    log = AuditLog(identity, Database(url), home, SystemClock())
    log.start()

    def record(thread: int) -> None:
        number = 0
        while True:
            marker = f"{name}-{thread}-{number}"
            log.record(Principal("user", "ab", name="ann@x.org"), "objects.get", [marker])
            sys.stdout.write(f"{marker}\n")
            sys.stdout.flush()
            number += 1

    threads = [threading.Thread(target=record, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
