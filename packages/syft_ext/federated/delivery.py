"""A report on its way: in one message, and in parts where the line does not hold for all of it."""

from __future__ import annotations

from typing import Any

from syft_ext.errors import Conflict, DeadlineExceeded, NotFound, Unavailable
from syft_ext.federated.retry import Persistence
from syft_ext.federated.session import WorkerSession
from syft_ext.messages import Message
from syft_ext.messages.envelope import digest_of
from syft_ext.messages.federated import Report, ReportReply
from syft_ext.messages.participation import SendReportPart
from syft_ext.transport.base import Buffers
from syft_ext.transport.part_sending import WORTH_PARTS, send_in_parts

__all__ = ["Delivery", "deliver"]

TIMEOUT = 300.0
PART_TIMEOUT = 120.0


class Delivery:
    """Sends one report; what has arrived is not sent again, however often :meth:`attempt` is called.

    Args:
        first: what the Domain is told before any byte of the report.
    """

    def __init__(
        self, session: WorkerSession, message: Report, pieces: Buffers, first: Message | None = None
    ) -> None:
        self._session, self._message, self._pieces, self._first = session, message, pieces, first
        self._digest = b""  # once it goes in parts

    def attempt(self) -> ReportReply:
        """The Domain's answer; raises its refusal, or the error of the line."""
        if self._first is not None:
            self._session.call(self._first)
            self._first = None
        if not self._digest:
            try:
                reply: ReportReply = self._session.call(self._message, self._pieces, timeout=TIMEOUT)
                return reply
            except (Unavailable, DeadlineExceeded):
                size, digest = digest_of(self._pieces)
                if size >= WORTH_PARTS:
                    self._digest = digest
                raise
        return self._in_parts()

    def _in_parts(self) -> ReportReply:
        message, digest = self._message, self._digest.hex()
        size = sum(memoryview(piece).nbytes for piece in self._pieces)

        def ask(part: Any, pieces: Any) -> Any:
            return self._session.call(part, pieces, timeout=PART_TIMEOUT)

        def part_at(offset: int) -> SendReportPart:
            return SendReportPart(
                assignment_id=message.assignment_id,
                request_key=message.request_key,
                size=size,
                digest=digest,
                offset=offset,
            )

        send_in_parts(ask, part_at, self._pieces)
        message.digest = digest
        try:
            reply: ReportReply = self._session.call(message, timeout=TIMEOUT)
        except NotFound:
            message.digest, self._digest = "", b""  # the parts went: begin anew
            raise Unavailable("what had arrived of the report is gone; it is sent again") from None
        return reply


def deliver(delivery: Delivery, persistence: Persistence) -> ReportReply | None:
    """The Domain's answer to a report; None when it says that it has it already: the first answer was lost."""
    try:
        return persistence.call(delivery.attempt)
    except Conflict as conflict:
        if conflict.extra.get("reason") != "duplicate":
            raise
        return None
