"""A host is killed (SIGKILL) at each point of a grant and a confirmation: charged once, one key, one output.

    python -m tests.key_host.kills [--every 1] [--first 1]

A point is the k-th of all SQL statements, commits and syncs, and the moment before the answer leaves. Each life is
a fork of this process on the database file that the one before it left. Prints how many kills were survived.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event, select

from grid.key_host.chain import is_whole
from grid.key_host.core import HostCore
from grid.key_host.tables import KeyHostCharge, KeyHostLedgerRow, KeyHostScope
from grid.storage.sql.database import Database
from syft_ext.confidential.grants import Release
from syft_ext.errors import KeyRefused
from tests.key_host.parties import RHO, Party, make_party
from tests.key_host.test_grants import Round

__all__ = ["survive"]


def _passing(database: Database, count: int) -> Callable[[], None]:
    """Kills this process at the ``count``-th point; what is returned is one, too."""
    left = count

    def point(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(database.engine, name, point)
    sync = database.sync

    def synced() -> None:
        point()
        sync()
        point()

    database.sync = synced  # type: ignore[method-assign]
    return point


def _killed(core: HostCore, count: int, what: Callable[[], object]) -> bool:
    """Do it in a child that dies at a point; whether it came to that point."""
    url = core.db.url.render_as_string(hide_password=False)
    core.db.close()
    child = os.fork()
    if child == 0:
        core.db = Database(url)
        point = _passing(core.db, count)
        try:
            what()
            point()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    core.db = Database(url)
    return os.WIFSIGNALED(status)


def _charges(core: HostCore) -> tuple[int, int, int]:
    with core.db.read() as session:
        assert is_whole(session)
        spent = session.scalar(select(KeyHostScope.spent)) or 0
        rows = len(session.scalars(select(KeyHostLedgerRow)).all())
        return len(session.scalars(select(KeyHostCharge)).all()), spent, rows


def survive(party: Party, every: int, first: int) -> int:
    """Kill at the points ``first``, ``first + every``, … of a grant, then of a confirmation; how many kills."""
    one = Round(party)
    core, kills, count = one.host, 0, first
    while _killed(core, count, one.grant):
        kills, count = kills + 1, count + every
        charges, spent, _ = _charges(core)
        assert spent == charges * RHO and charges <= 1, "charged twice, or half"
    keys = {one.worker.opened(core, one.grant()) for _ in range(2)}
    assert len(keys) == 1, "two keys of one round"
    assert _charges(core) == (1, RHO, 1)
    other = one.party.ordered(one.policy)[1]
    one.worker.grant(other, one.manifest, one.keys)
    outputs = [one.worker.output(one.manifest, one.keys, bytes([each]) * 32) for each in (1, 2)]
    count, noted = first, False
    while _killed(core, count, lambda: one.worker.confirm(core, one.manifest, outputs[0])):
        kills, count = kills + 1, count + every
        rows = _charges(core)[2]
        assert rows in (1, 2) and rows >= 1 + noted, "a note was lost, or made twice"
        noted = rows == 2
        if noted:
            try:
                one.worker.confirm(core, one.manifest, outputs[1])
            except KeyRefused as refusal:
                assert refusal.extra["reason"] == "other-output"
            else:
                raise AssertionError("two outputs of one round")
    release = one.worker.confirm(core, one.manifest, outputs[0]).open(Release, core.key)
    assert release.output == bytes([1]) * 32
    assert _charges(core) == (1, RHO, 2)
    return kills


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills = survive(make_party(Path(folder)), options.every, options.first)
    sys.stdout.write(f"{kills} kills survived\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
