"""What is known about one HTTP exchange beside WSGI's own keys; it rides in the WSGI environment."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Exchange", "exchange_of"]

_KEY = "grid.exchange"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(slots=True)
class Exchange:
    """Filled while the request is handled, read when it is logged and counted.

    Attributes:
        operation: name of the operation, once it is known.
        scheme: "http", or "message" for the message plane.
        request_id: the caller's ``X-Request-ID``, or one of ours.
        outcome: the status that a signed answer carries, where HTTP's own says nothing (message plane).
        received: bytes of the request's body that were read.
        remote: network address of the caller.
    """

    operation: str = ""
    scheme: str = "http"
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    outcome: int = 0
    received: int = 0
    remote: str = ""


def exchange_of(environ: dict[str, Any]) -> Exchange:
    """The exchange of this request; made at first use."""
    exchange: Exchange | None = environ.get(_KEY)
    if exchange is None:
        exchange = environ[_KEY] = Exchange(remote=environ.get("REMOTE_ADDR", ""))
        given = environ.get("HTTP_X_REQUEST_ID", "")
        if _ACCEPTABLE.fullmatch(given):
            exchange.request_id = given
    return exchange
