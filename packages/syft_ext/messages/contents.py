"""The contents that a node keeps: which are damaged, which wait to be gone."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Limit, Offset
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import flag

__all__ = [
    "BringBack",
    "BroughtBack",
    "ContentsView",
    "DamagedContent",
    "GetContents",
    "ListQuarantine",
    "QuarantineList",
    "WaitingContent",
]

_OWNER = flag("can_manage_infrastructure")
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]


class DamagedContent(Reply):
    """A content that is not what it was: nothing is computed from it.

    Attributes:
        code: content-corrupt, content-cut or content-missing.
        size, found: bytes that were stored, and that are there.
        affects: the objects, datasets, models and trainings that rest on it.
    """

    digest: str
    code: str
    size: int
    found: int
    noticed_at: float
    affects: list[str]


class ContentsView(Reply):
    """How a node's contents are.

    Attributes:
        damaged: as far as was noticed since the node started; ``damaged_in_all``: how many.
        waiting, waiting_bytes: what is in the quarantine.
        read_at: when all contents were last read through (seconds since the epoch; 0.0: never).
        reading: they are just being read.
    """

    damaged: list[DamagedContent]
    damaged_in_all: int
    waiting: int
    waiting_bytes: int
    read_at: float
    reading: bool


class WaitingContent(Reply):
    """What waits in the quarantine: a content's digest, or an upload's id, why, and from when until when.

    ``why``: "dropped" and "unknown" (contents that nothing refers to any more, and that no row tells of),
    "abandoned" and "uploads" (parts of uploads that ended, and that no row tells of).
    """

    name: str
    why: str
    size: int
    since_at: float
    until_at: float


class QuarantineList(Reply):
    """What waits, the latest first."""

    contents: list[WaitingContent]


class BroughtBack(Reply):
    """A content that is back among the others. What nothing refers to waits again after the next sweep."""

    digest: str
    size: int


@operation("contents.get", rest="GET /contents", reply=ContentsView, permission=_OWNER)
class GetContents(Message):
    """Which contents are damaged and what that affects, what waits to be gone, when all were read through."""

    limit: Limit = 100


@operation("contents.quarantine", rest="GET /contents/quarantine", reply=QuarantineList, permission=_OWNER)
class ListQuarantine(Message):
    """What was deleted, or found and referred to by nothing, and waits to be gone."""

    limit: Limit = 100
    offset: Offset = 0


@operation(
    "contents.bring_back", rest="POST /contents/quarantine/{digest}", reply=BroughtBack, permission=_OWNER
)
class BringBack(Message):
    """Put a content back from the quarantine. What refers to one again brings it back by itself."""

    digest: Digest
