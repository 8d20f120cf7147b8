"""Whether the other end still wants what it is sent (RFC 7675): asked by an engine that may be busy.

aioice forgets each question after half a second, and ends the connection after six in a row (aiortc/aioice, issue
58). An event loop that has much to do, at either end, answers later than that, so sessions ended in the middle of
large payloads. The RFC (section 5.1) keeps each question until it, or a later one, is answered; so do these.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from aioice import stun

__all__ = ["INTERVAL", "QUESTIONS", "ConsentChecks"]

INTERVAL = 5.0
"""Seconds between two questions, of which each is up to a fifth more or less."""
QUESTIONS = 6
"""Questions without any answer after which nobody is there: thirty seconds. Counted in questions, so that a
process that was stopped meanwhile asks before it gives up."""

_RANDOM = secrets.SystemRandom()


class ConsentChecks:
    """Takes the place of ``query_consent`` of an ICE connection of aioice.

    Args:
        ice: the connection. expired: told before it is closed for want of an answer.

    Attributes:
        answers: how many came.
    """

    def __init__(self, ice: Any, expired: Callable[[], None]) -> None:
        self._ice, self._expired = ice, expired
        self._open: dict[bytes, Any] = {}  # questions without an answer, and who sent them
        self.answers = 0

    async def keep(self) -> None:
        """Ask for as long as answers come, then close the connection."""
        try:
            while True:
                await asyncio.sleep(INTERVAL * _RANDOM.uniform(0.8, 1.2))
                if len(self._open) >= QUESTIONS:
                    break
                for pair in self._ice._nominated.values():
                    self._ask(pair)
        finally:
            self._forget()
        self._expired()
        self._ice._query_consent_task = None  # else the connection would wait for this to end
        await self._ice.close()

    def _ask(self, pair: Any) -> None:
        key = self._ice.remote_password.encode()
        question = self._ice.build_request(pair, nominate=False)
        question.add_message_integrity(key)
        self._open[question.transaction_id] = pair.protocol
        pair.protocol.transactions[question.transaction_id] = _Question(pair.remote_addr, key, self._answered)
        pair.protocol.send_stun(question, pair.remote_addr)

    def _answered(self) -> None:
        self.answers += 1
        self._forget()

    def _forget(self) -> None:
        for number, protocol in self._open.items():
            protocol.transactions.pop(number, None)
        self._open.clear()


class _Question:
    """Stands among the transactions of a protocol until it is answered."""

    def __init__(self, address: Any, key: bytes, answered: Callable[[], None]) -> None:
        self._address, self._key, self._answered = address, key, answered

    def response_received(self, message: stun.Message, address: tuple[str, int]) -> None:
        if (
            message.message_class == stun.Class.RESPONSE
            and address == self._address
            and message.check_message_integrity(self._key)
        ):
            self._answered()
