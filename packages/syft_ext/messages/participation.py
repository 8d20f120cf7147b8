"""Keeping a part in a training: what a worker says while it trains, and models and reports over lines that drop.

A model or a report that does not get through in one message goes in parts: each says which content it is of (size
and digest), and where it begins; the message that hands the content in then names its digest and brings nothing.
"""

from __future__ import annotations

from syft_ext.messages.fields import Digest, Size
from syft_ext.messages.operation import Empty, Message, Reply, operation
from syft_ext.messages.permissions import USER, WORKER

_KEY = {"request_key": "Grid-Request-Key"}


class AssignmentHeartbeatReply(Reply):
    """The slot is kept until ``deadline`` (seconds since the epoch); ``interval``: seconds until the next one."""

    interval: float
    deadline: float


@operation(
    "federated.heartbeat",
    rest="POST /federated/assignments/{assignment_id}/heartbeat",
    reply=AssignmentHeartbeatReply,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class AssignmentHeartbeat(Message):
    """Say that the worker of an assignment is alive: its slot is kept, however long a step takes."""

    assignment_id: str
    request_key: str


class PartReply(Reply):
    """How much of the content is here, safely stored: the next part begins there. All in bytes."""

    received: int
    size: int


@operation(
    "federated.send_model_part",
    rest="PATCH /federated/processes/{process_id}/model",
    reply=PartReply,
    permission=USER,
    uploads=True,
    headers={"offset": "Upload-Offset"},
    audited=False,
)
class SendModelPart(Message):
    """Send bytes of a training's first model from ``offset`` on, which must be ``received``; without any, ask how
    much of it is here. ``federated.upload_model`` then hands it in by its ``digest`` (BLAKE3, in hex)."""

    process_id: str
    size: Size
    digest: Digest
    offset: Size = 0


@operation(
    "federated.send_report_part",
    rest="PATCH /federated/assignments/{assignment_id}/report",
    reply=PartReply,
    permission=WORKER,
    uploads=True,
    headers={**_KEY, "offset": "Upload-Offset"},
    audited=False,
)
class SendReportPart(Message):
    """Send bytes of a report from ``offset`` on, which must be ``received``; without any, ask how much is here.
    ``federated.report`` then hands it in by its ``digest`` (BLAKE3, in hex)."""

    assignment_id: str
    request_key: str
    size: Size
    digest: Digest
    offset: Size = 0


@operation(
    "federated.report_failure",
    rest="POST /federated/assignments/{assignment_id}/failure",
    reply=Empty,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class ReportFailure(Message):
    """Give an assignment back: the worker cannot finish it. Its slot is free again."""

    assignment_id: str
    request_key: str
    reason: str = ""
