"""What is known about one HTTP exchange beside WSGI's own keys; it rides in the WSGI environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from typing import Any

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
    """

    operation: str = ""
    scheme: str = "http"
    request_id: str = field(default_factory=_new_id)
    outcome: int = 0
    received: int = 0
    remote: str = ""


def record_of(environ: dict[str, Any]) -> RequestRecord:
    """The record of this request; made at first use."""
    record: RequestRecord | None = environ.get(_KEY)
    if record is None:
        given = environ.get("HTTP_X_REQUEST_ID")
        request_id = given if given is not None and _ACCEPTABLE.fullmatch(given) else _new_id()
        record = environ[_KEY] = RequestRecord(request_id=request_id, remote=environ.get("REMOTE_ADDR", ""))
    return record
