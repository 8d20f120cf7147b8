"""A whole node looked through, while it runs or not: contents, database, references, audit log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from grid.audit.checkpoints import FILE as CHECKPOINTS
from grid.audit.log import verify_database
from grid.installation.claim import Installation
from grid.storage.objects.checked import CheckedContents
from grid.storage.sql.base import Base
from grid.upkeep.affected import affected_by
from grid.upkeep.scrub import ReadingPace, scrub
from syft_ext.clock import Clock
from syft_ext.errors import GridError, RestoredDatabase

__all__ = ["Finding", "verify"]

_MOST = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what is found (a code, "" where nothing is), in words, and what that affects."""

    part: str
    code: str
    text: str
    affects: tuple[str, ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether something is damaged or missing. A restore that waits for its owner's word is neither: each byte
        is as it was backed up, and the node says itself what it does not do until then."""
        return self.code not in ("", RestoredDatabase.code)


def verify(installation: Installation, clock: Clock, *, rate: int | None = None) -> Iterator[Finding]:
    """Look through everything, part by part; ``rate``: bytes of contents a second at most."""
    database = installation.database
    yield from _installation(installation)
    with database.read() as session:
        problems = list(_database(session))
    yield from problems or [Finding("database", "", "sound")]
    contents = CheckedContents(installation.contents, database, clock)
    key, checkpoints = installation.identity.verify_key, installation.home / CHECKPOINTS
    report = verify_database(database, key, checkpoints, contents)
    for problem in report.problems[:_MOST]:
        yield Finding("audit", "audit-log", problem)
    if report.intact:
        yield Finding("audit", "", f"intact: {report.entries} entries, signed up to {report.signed_up_to}")
    result = scrub(database, contents, ReadingPace(rate))
    for damage in result.damages:
        with database.read() as session:
            affects = tuple(affected_by(session, damage.digest))
        yield Finding("contents", damage.error.code, damage.raised().detail, affects)
    yield Finding("contents", "", f"{result.contents} contents, {result.size} bytes read")


def _installation(installation: Installation) -> Iterator[Finding]:
    try:
        installation.check()
        installation.check_waiting()
    except GridError as error:
        yield Finding("installation", error.code, error.detail)
    else:
        yield Finding("installation", "", "home, database and contents belong together")


def _database(session: Session) -> Iterator[Finding]:
    """SQLite tells of its own pages and references. PostgreSQL holds its references itself, and its pages are its
    own checksums' and `pg_amcheck`'s: here its tables are read through."""
    if session.get_bind().dialect.name != "sqlite":
        for table in Base.metadata.sorted_tables:
            session.scalar(select(func.count()).select_from(table))
        return
    for row in session.execute(text("PRAGMA integrity_check")).all():
        if row[0] != "ok":
            yield Finding("database", "database-damaged", str(row[0]))
    for row in session.execute(text("PRAGMA foreign_key_check")).all()[:_MOST]:
        yield Finding(
            "database", "database-damaged", f"row {row[1]} of {row[0]} refers to nothing in {row[2]}"
        )
