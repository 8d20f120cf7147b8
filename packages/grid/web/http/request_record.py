"""What is known about one HTTP exchange beside WSGI's own keys; it rides in the WSGI environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from grid.node.service import always
from grid.web.limits.memory import Holding

__all__ = ["RequestRecord", "record_of"]

_KEY = "grid.request_record"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
# An id tells lines of a log apart and guards nothing: one more system call for each would buy nothing.
_random = Random()  # noqa: S311


def _new_id() -> str:
    return f"{_random.getrandbits(64):016x}"


@dataclass(slots=True)
class RequestRecord:
    """Filled while the request is handled, read when it is logged and counted.

    Attributes:
        operation: name of the operation, once it is known.
        scheme: "http", or "message" for the message plane.
        request_id: the caller's ``X-Request-ID``, or one of ours.
        outcome: the status that a signed answer carries, where HTTP's own says nothing (message plane).
        received: bytes of the request's body that were read.
        remote: network address of the caller.
        account: who calls, as far as a token or a known key says; "" for strangers.
        secure: the client speaks TLS to us, or to a trusted proxy.
        memory: what the request's body is counted against while it is handled.
        alive: whether who sent it still listens.
    """

    operation: str = ""
    scheme: str = "http"
    request_id: str = field(default_factory=_new_id)
    outcome: int = 0
    received: int = 0
    remote: str = ""
    account: str = ""
    secure: bool = False
    memory: Holding | None = None
    alive: Callable[[], bool] = always

    def hold(self, count: int) -> None:
        """Count ``count`` bytes more of the body, which somebody keeps. Raises :class:`Unavailable`."""
        if self.memory is not None:
            self.memory.take(count)


def record_of(environ: dict[str, Any]) -> RequestRecord:
    """The record of this request; made at first use."""
    record: RequestRecord | None = environ.get(_KEY)
    if record is None:
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id = given if given is not None and _ACCEPTABLE.fullmatch(given) else _new_id()
        record = environ[_KEY] = RequestRecord(request_id=request_id, remote=environ.get("REMOTE_ADDR", ""))
        record.secure = environ.get("wsgi.url_scheme") == "https"
    return record
