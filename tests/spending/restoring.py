"""A node's home whose database is copied and put back, in this process."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from sqlalchemy import select

from apps.assembly import open_installation
from grid import schema
from grid.access import grants
from grid.access.tables import Grant
from grid.accounts.tables import Role, User
from grid.audit.log import AuditLog
from grid.governance.decisions.tables import RequestRule
from grid.governance.rules.answering import spend_rule
from grid.installation.claim import Installation
from grid.node import Principal
from grid.privacy.budget.ledger import Allowance, Charge, balance_of, charge, ledger_of
from grid.privacy.budget.service import add_budget, spend_budget
from grid.storage.objects.rows import upsert
from grid.storage.objects.tables import BlobRow
from syft_ext.clock import SystemClock
from syft_ext.errors import GridError
from syft_ext.store.objects import ObjectInfo

__all__ = ["GRANT", "LIMIT", "Home", "template"]

GRANT, RULE, USER, LIMIT = "a" * 32, "d" * 32, "u" * 32, 5
TABLE, DIGEST = "b" * 32, "c" * 64
MEMBERS = (f"content:{DIGEST}", f"object:{TABLE}")
_ENTRY = Charge(TABLE, USER, 1.0, "a question")


def template(folder: Path) -> Path:
    """A claimed home with a grant of :data:`LIMIT` uses, a budget and a ledger of as much."""
    home = folder / "template"
    home.mkdir()
    installation = open_installation("domain", home, None, None)
    schema.upgrade(installation.database)
    installation.claim()

    def give(session) -> None:  # type: ignore[no-untyped-def]
        session.add(BlobRow(digest=DIGEST, size=1))
        session.flush()
        upsert(session, ObjectInfo(id=TABLE, kind="tensors", description="a table"), DIGEST)
        session.add(
            Grant(
                id=GRANT,
                scope="read",
                user_id=USER,
                object_id=TABLE,
                granted_by="o",
                created_at=0.0,
                uses_left=LIMIT,
            )
        )
        add_budget(session, USER, LIMIT * 10**9, by="o", now=0.0)
        session.add(
            User(
                id=USER,
                email="ann@lab.org",
                password_hash="",
                role_id=session.scalars(select(Role.id)).first(),
                created_at=0.0,
            )
        )
        session.flush()
        session.add(
            RequestRule(
                id=RULE,
                author_id=USER,
                action="accept",
                reason="",
                created_at=0.0,
                kind="object",
                scope="read",
                object_id="",
                dataset_id="",
                tags=[],
                user_id="",
                group_id="",
                plan_id="",
                times_left=LIMIT,
            )
        )

    installation.database.run(give)
    installation.database.close()
    return home


class Home:
    """One that is started. ``given``: how much of each thing was handed out in all of its lives."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.given = dict.fromkeys(("grant", "budget", "ledger", "rule"), 0)
        self.copies: list[Path] = []
        self.start()

    def start(self) -> None:
        self.installation: Installation = open_installation("domain", self.home, None, None)
        self.installation.claim()
        identity, database = self.installation.identity, self.installation.database
        self.log = AuditLog(identity, database, self.home, self.installation.contents, SystemClock())
        self.installation.vouched = lambda: self.log.vouched
        self.installation.checkpoints_moved = self.log.begin_file_anew
        self.log.start()

    def stop(self) -> None:
        self.log.close()
        self.installation.database.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def spend(self, what: str) -> bool:
        """Have one of it, if that is to be had."""

        def take(session) -> None:  # type: ignore[no-untyped-def]
            if what == "grant":
                grants.spend(session, [GRANT], now=1.0)
            elif what == "budget":
                spend_budget(session, USER, 1.0)
            elif what == "rule":
                if not spend_rule(session, session.get_one(RequestRule, RULE), 1):
                    raise GridError("exhausted")
            else:
                # Asked of one member or of both: which ledger there is, is the database's own affair.
                members = MEMBERS[: 1 + self.given["ledger"] % 2]
                ledger = ledger_of(session, members, now=1.0)
                if not charge(session, ledger, 1, Allowance(LIMIT), _ENTRY):
                    raise GridError("exhausted")

        try:
            self.installation.database.run(take)
        except GridError:
            return False
        # As a node does it: the answer leaves when its entry is committed, not before.
        self.log.record(Principal("user", id=USER), "objects.read")
        self.given[what] += 1
        return True

    def left(self) -> tuple[int | None, int]:
        """Of the grant and of the ledger, as the database says."""
        with self.installation.database.read() as session:
            grant = session.get_one(Grant, GRANT)
            return grant.uses_left, balance_of(session, MEMBERS, Allowance(LIMIT)).left

    def copy(self) -> None:
        """Of the database alone, while the node runs."""
        path = self.home.parent / f"{self.home.name}-{len(self.copies)}.db"
        with sqlite3.connect(self.home / "node.db") as source, sqlite3.connect(path) as target:
            source.backup(target)
        source.close()
        target.close()
        self.copies.append(path)

    def put_back(self, number: int) -> None:
        """A copy in place of the database; the node is started."""
        self.stop()
        for path in self.home.glob("node.db*"):
            path.unlink()
        shutil.copyfile(self.copies[number % len(self.copies)], self.home / "node.db")
        self.start()

    @property
    def waits(self) -> bool:
        return self.installation.restore().waiting
