"""The audit log of a node (``client.audit``): who did what to which object by which grant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from syft_ext.audit.export import VerificationReport, verify_export
from syft_ext.client.listing import Listing
from syft_ext.client.transfer import download, save
from syft_ext.display.table import when
from syft_ext.messages.audit import (
    AuditArchive,
    AuditEntries,
    AuditEntry,
    AuditReport,
    ExportArchive,
    ExportAudit,
    ListArchives,
    ListAudit,
    VerifyAudit,
)

if TYPE_CHECKING:
    import pandas

__all__ = ["Audit"]

_PAGE = 1000


class Audit(Listing[AuditEntry]):
    """The audit log, the newest entry first; a subscript is a position, or an entry's number as text.

    ``client.audit`` shows the newest 1,000; :meth:`search` finds others. Neither looks into :meth:`archives`.
    """

    title = "Audit log"
    headings = ("seq", "when", "who", "operation", "objects", "grants", "outcome", "detail")
    shortened = ("who", "objects", "grants", "detail")

    def _fetch(self) -> list[AuditEntry]:
        return self.search()

    def search(
        self,
        *,
        actor: str = "",
        object_id: str = "",
        grant_id: str = "",
        operation: str = "",
        outcome: str = "",
        since: float | None = None,
        until: float | None = None,
        limit: int = _PAGE,
    ) -> list[AuditEntry]:
        """The newest ``limit`` entries that match.

        Args:
            actor: id, key or e-mail of who did it.
            operation: its name, or its group: ``datasets``.
            outcome: "ok", an error's code, or "refused": all but ok.
            since, until: seconds since the epoch.
        """
        found: list[AuditEntry] = []
        before: int | None = None
        while len(found) < limit:
            message = ListAudit(
                actor=actor,
                object_id=object_id,
                grant_id=grant_id,
                operation=operation,
                outcome=outcome,
                since=since,
                until=until,
                before=before,
                limit=min(limit - len(found), _PAGE),
            )
            page: AuditEntries = self.client.call(message)
            found += page.entries
            if not page.more:
                break
            before = found[-1].seq
        return found

    def verify(self) -> AuditReport:
        """Let the node check every entry, the chain and the signed checkpoints."""
        report: AuditReport = self.client.call(VerifyAudit(), timeout=600.0)
        return report

    def archives(self) -> list[AuditArchive]:
        """The archives that hold the log's older entries, in their order."""
        found: list[AuditArchive] = []
        while True:
            page = self.client.call(ListArchives(offset=len(found), limit=_PAGE)).archives
            found += page
            if len(page) < _PAGE:
                return found

    def export(self, path: str | Path, *, archives: str | Path | None = None) -> VerificationReport:
        """Write the log to ``path`` as JSON Lines, and verify the file here, against the node's key.

        Args:
            archives: a folder into which the archives of older entries are written too, each as
                ``FIRST-LAST.jsonl.gz``; those that are there are not fetched again. Without it they are not
                looked at: the file begins with the signed head of the last one.
        """
        _, content = download(self.client, ExportAudit(), "audit log")
        Path(path).write_bytes(content)
        if archives is not None:
            Path(archives).mkdir(parents=True, exist_ok=True)
            for each in self.archives():
                file = Path(archives) / f"{each.first:012d}-{each.last:012d}.jsonl.gz"
                if not file.exists():
                    save(self.client, ExportArchive(first=each.first), file, file.name)
        return verify_export(path, verify_key=self.client.verify_key, archives=archives)

    def key(self, item: AuditEntry) -> tuple[str, ...]:
        return (str(item.seq),)

    def row(self, item: AuditEntry) -> tuple[Any, ...]:
        who = item.actor_name or item.actor or item.actor_kind
        facts = ", ".join(f"{name}={value}" for name, value in item.detail.items())
        return (item.seq, when(item.at), who, item.operation, item.objects, item.grants, item.outcome, facts)

    def to_pandas(self) -> pandas.DataFrame:
        """The newest entries as a pandas DataFrame, oldest first, indexed by number."""
        return super().to_pandas().set_index("seq").sort_index()
