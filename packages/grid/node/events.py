"""What happens inside a node, told to whoever subscribed: typed events, in this process, at once.

A part that decides something publishes an event; who reacts to it subscribes, when it is made. Neither knows
the other, so that no part has to be handed the parts around it. Nothing is stored and nothing leaves the
process: what must survive a crash is written to a database first, and the event only says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Event", "EventBus", "TransactionEvent"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened, outside of any transaction. Subclasses are frozen dataclasses.

    Every handler is called, whatever becomes of the others: nobody may miss that an account was disabled
    because somebody before them failed.
    """


@dataclass(frozen=True, slots=True)
class TransactionEvent(Event):
    """Something that happens inside a transaction: what handlers write is committed with it, or not at all.

    The first handler that raises ends the publishing, and the publisher's transaction with it.
    """


E = TypeVar("E", bound=Event)


class EventBus:
    """Calls the handlers of an event in the thread that publishes it, in the order in which they subscribed.

    An event goes to those who subscribed to exactly its type. One that nobody subscribed to is no mistake: a
    node need not have the service that would care.
    """

    def __init__(self) -> None:
        self._handlers: dict[type[Event], tuple[Callable[[Any], object], ...]] = {}

    def subscribe(self, kind: type[E], handler: Callable[[E], object]) -> None:
        """Call ``handler`` with each event of type ``kind`` from now on; what it returns is ignored."""
        self._handlers[kind] = (*self._handlers.get(kind, ()), handler)

    def publish(self, event: Event) -> None:
        """Return when every handler has returned.

        Raises what a handler raised: at once for a :class:`TransactionEvent`; for any other event the first
        error, once all handlers were called. Later errors are logged.
        """
        handlers = self._handlers.get(type(event), ())
        if isinstance(event, TransactionEvent):
            for handler in handlers:
                handler(event)
            return
        first: BaseException | None = None
        for handler in handlers:
            try:
                handler(event)
            except BaseException as error:
                if first is not None:
                    logger.exception("another handler of %s failed, too", type(event).__name__)
                first = first or error
        if first is not None:
            raise first
