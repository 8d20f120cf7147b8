"""Looking through the audit log, verifying it, taking it away, and having its old entries archived."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
from blake3 import blake3
from sqlalchemy import ColumnElement, or_, select

from grid.audit.archives import archived_up_to
from grid.audit.archiving import Kept
from grid.audit.log import AuditLog
from grid.audit.tables import AuditArchive, AuditEntry
from grid.concurrency.offload import offload
from grid.node import Context, Download, Node, Service, handles
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import BlobRow
from grid.storage.sql.dialect import table_of
from syft_ext.errors import NotFound
from syft_ext.messages import audit as m

__all__ = ["AuditService"]

logger = logging.getLogger(__name__)

EVERYTHING = Kept()
_TABLE, _ARCHIVES, _BLOBS = table_of(AuditEntry), table_of(AuditArchive), table_of(BlobRow)
_ARCHIVES_AND_SIZES = (
    select(*_ARCHIVES.c, _BLOBS.c.size)
    .join(_BLOBS, _BLOBS.c.digest == _ARCHIVES.c.digest)
    .order_by(_ARCHIVES.c.first)
)
_PIECE = 1 << 20


class AuditService(Service):
    """Reads the log that the node writes, and has its old entries archived.

    Args: ``kept``: what stays in the database. Raises ``TypeError`` where the journal is none that can be read.
    """

    def __init__(self, node: Node, kept: Kept = EVERYTHING) -> None:
        super().__init__(node)
        self._kept = kept
        if not isinstance(node.journal, AuditLog):
            raise TypeError(f"the audit service reads an AuditLog, and this node writes {node.journal!r}")
        self._log = node.journal

    def tidy(self) -> int:
        made = offload(self._log.archive, self._kept)
        if made:
            logger.info("%d archives of the audit log were made", made)
        return 0

    @handles(m.ListAudit)
    def list(self, ctx: Context, message: m.ListAudit) -> m.AuditEntries:
        statement = (
            select(_TABLE).where(*_conditions(message)).order_by(_TABLE.c.seq.desc()).limit(message.limit + 1)
        )
        with self.node.db.read() as session:
            rows = session.execute(statement).all()
            archived = archived_up_to(session)
        views = [_view(row) for row in rows[: message.limit]]
        return m.AuditEntries(entries=views, more=len(rows) > message.limit, archived_up_to=archived)

    @handles(m.ListArchives)
    def archives(self, ctx: Context, message: m.ListArchives) -> m.AuditArchives:
        page = _ARCHIVES_AND_SIZES.limit(message.limit).offset(message.offset)
        with self.node.db.read() as session:
            found = [
                m.AuditArchive(
                    first=row.first, last=row.last, at=row.at, size=row.size, digest=row.digest, hash=row.hash
                )
                for row in session.execute(page).all()
            ]
        return m.AuditArchives(archives=found)

    @handles(m.ExportArchive)
    def export_archive(self, ctx: Context, message: m.ExportArchive) -> Download:
        with self.node.db.read() as session:
            row = session.execute(_ARCHIVES_AND_SIZES.where(_ARCHIVES.c.first == message.first)).first()
        if row is None:
            raise NotFound("no archive of the audit log begins with that entry")
        ctx.note(first=row.first, last=row.last)
        reply = m.AuditExport(entries=row.last - row.first + 1)
        pieces = partial(_pieces, self.node.blobs, row.digest)
        return Download(reply, pieces, self.node.blobs.size(row.digest), row.digest, "application/gzip")

    @handles(m.VerifyAudit)
    def verify(self, ctx: Context, message: m.VerifyAudit) -> m.AuditReport:
        report = offload(self._log.verify)
        return m.AuditReport(
            intact=report.intact,
            entries=report.entries,
            signed_up_to=report.signed_up_to,
            problems=report.problems[:1000],
            archives=report.archives,
        )

    @handles(m.ExportAudit)
    def export(self, ctx: Context, message: m.ExportAudit) -> Download:
        file = _File(str(self.node.home))
        lines = offload(file.fill, self._log.export())
        ctx.note(entries=lines)
        reply = m.AuditExport(entries=lines)
        return Download(reply, file.chunks, file.size, file.digest, "application/jsonl")


def _pieces(contents: BlobStore, digest: str, start: int, stop: int) -> Iterator[bytes]:
    with contents.open(digest) as reader:
        for begin in range(start, stop, _PIECE):
            yield reader.read(begin, min(begin + _PIECE, stop))


class _File:
    """An export on its way out: a file without a name, gone when the last reader lets go of it."""

    def __init__(self, directory: str) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed in __del__
        self.size, self.digest = 0, ""

    def fill(self, lines: Iterator[bytes]) -> int:
        """Write the lines; how many of them are entries."""
        hasher, entries = blake3(), 0
        for line in lines:
            self._file.write(line)
            hasher.update(line)
            self.size += len(line)
            entries += line.startswith(b'{"seq"')
        self._file.flush()
        self.digest = hasher.hexdigest()
        return entries

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            piece = os.pread(self._file.fileno(), min(_PIECE, stop - start), start)
            if not piece:
                raise OSError("the export is shorter than it was")
            start += len(piece)
            yield piece

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def _conditions(message: m.ListAudit) -> list[ColumnElement[bool]]:
    columns = _TABLE.c
    found: list[ColumnElement[bool]] = []
    if message.actor:
        found.append(or_(columns.actor_id == message.actor, columns.actor_name == message.actor))
    for column, wanted in ((columns.objects, message.object_id), (columns.grants, message.grant_id)):
        if wanted:
            # As it stands in the JSON list, quotes included.
            found.append(column.contains(msgspec.json.encode(wanted).decode(), autoescape=True))
    if message.operation:
        group = columns.operation.startswith(f"{message.operation}.", autoescape=True)
        found.append(or_(columns.operation == message.operation, group))
    if message.outcome == "refused":
        found.append(columns.outcome != "ok")
    elif message.outcome:
        found.append(columns.outcome == message.outcome)
    if message.since is not None:
        found.append(columns.at >= message.since)
    if message.until is not None:
        found.append(columns.at < message.until)
    if message.before is not None:
        found.append(columns.seq < message.before)
    return found


def _view(row: Any) -> m.AuditEntry:
    return m.AuditEntry(
        seq=row.seq,
        at=row.at,
        actor_kind=row.actor_kind,
        actor=row.actor_id,
        actor_name=row.actor_name,
        operation=row.operation,
        objects=_json(row.objects, list[str], [row.objects]),
        grants=_json(row.grants, list[str], [row.grants]),
        outcome=row.outcome,
        detail=_json(row.detail, dict[str, Any], {"unreadable": row.detail}),
        hash=row.hash,
    )


def _json(text: str, kind: Any, instead: Any) -> Any:
    """What the text says; as it stands if somebody broke it: ``audit.verify`` tells more."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:
        return instead
