"""The audit log: looking through it, verifying it, taking it away."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from syft_ext.messages.fields import Limit, Offset
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import flag

__all__ = [
    "AuditArchive",
    "AuditArchives",
    "AuditEntries",
    "AuditEntry",
    "AuditExport",
    "AuditReport",
    "ExportArchive",
    "ExportAudit",
    "ListArchives",
    "ListAudit",
    "VerifyAudit",
]

Filter = Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00]*$")]
Seq = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]

# Who reviews requests reads the log, and can check that what it says is what was written. To take the whole
# log off the node, with everybody's addresses, is for those who are trusted with the node itself.
_READ, _TAKE = flag("can_triage_requests"), flag("can_edit_settings")


class AuditEntry(Reply):
    """Who did what to which object by which grant.

    Attributes:
        actor_kind: anonymous, key, user, worker, node, or system (the node itself).
        actor: id of the user, worker or node, or the key; ``actor_name``: their e-mail or name then.
        outcome: "ok", or the code of the error.
        hash: of this entry, which covers all entries before it.
    """

    seq: int
    at: float
    actor_kind: str
    actor: str
    actor_name: str
    operation: str
    objects: list[str]
    grants: list[str]
    outcome: str
    detail: dict[str, Any]
    hash: str


class AuditEntries(Reply):
    """``more``: there are older entries that match; ask again with ``before`` the last one's ``seq``.

    ``archived_up_to``: entries up to this one are in archives, and were not looked through; -1: none is.
    """

    entries: list[AuditEntry]
    more: bool
    archived_up_to: int = -1


class AuditReport(Reply):
    """What a verification found: ``problems`` names each; none for an intact log.

    Attributes:
        entries: how many there are, those in archives among them.
        signed_up_to: the last entry that a signed checkpoint vouches for.
        archives: how many archives there are; all were read through.
    """

    intact: bool
    entries: int
    signed_up_to: int
    problems: list[str]
    archives: int = 0


class AuditArchive(Reply):
    """Entries ``first`` to ``last``, which are in the database no longer.

    Attributes:
        at: when they were archived, seconds since the epoch.
        size: bytes of the compressed file. digest: its BLAKE3, 64 hex digits.
        hash: of the entry ``last``.
    """

    first: int
    last: int
    at: float
    size: int
    digest: str
    hash: str


class AuditArchives(Reply):
    """A page of archives, in the order of their entries."""

    archives: list[AuditArchive]


class AuditExport(Reply):
    """An export file follows (:mod:`syft_ext.audit.export`)."""

    entries: int


@operation("audit.list", rest="GET /audit", reply=AuditEntries, permission=_READ)
class ListAudit(Message):
    """Entries of the audit log, the newest first.

    Attributes:
        actor: id, key, e-mail or name of who did it.
        object_id: what it was done to.
        grant_id: by which grant.
        operation: its name, or a group's (``datasets``).
        outcome: "ok", an error's code, or "refused": all but ok.
        since, until: seconds since the epoch; until itself is not included.
        before: only entries before this one.
    """

    actor: Filter = ""
    object_id: Filter = ""
    grant_id: Filter = ""
    operation: Filter = ""
    outcome: Filter = ""
    since: float | None = None
    until: float | None = None
    before: Seq | None = None
    limit: Limit = 100


@operation("audit.verify", rest="GET /audit/verification", reply=AuditReport, permission=_READ)
class VerifyAudit(Message):
    """Check every entry, the chain and the signed checkpoints; takes about a second per 20,000 entries."""


@operation("audit.export", rest="GET /audit/export", reply=AuditExport, permission=_TAKE, downloads=True)
class ExportAudit(Message):
    """Download the log as JSON Lines with signed checkpoints: it can be verified without the node.

    Entries in archives are not among them: the file begins with the signed head of the last archive.
    """


@operation("audit.archives", rest="GET /audit/archives", reply=AuditArchives, permission=_READ)
class ListArchives(Message):
    """Archives of the audit log: where its older entries are."""

    limit: Limit = 100
    offset: Offset = 0


@operation(
    "audit.export_archive",
    rest="GET /audit/archives/{first}",
    reply=AuditExport,
    permission=_TAKE,
    downloads=True,
)
class ExportArchive(Message):
    """Download the archive that begins with entry ``first``: an export of its entries, compressed with gzip."""

    first: Seq
