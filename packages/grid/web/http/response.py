"""An answer of a node's own views: sent as it is by our server, and a WSGI application everywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any

__all__ = ["Buffer", "Headers", "Response", "http_date", "reason_phrase", "status_line"]

Headers = list[tuple[str, str]]
Buffer = bytes | bytearray | memoryview


def reason_phrase(status: int) -> str:
    """``Not Found``."""
    return HTTPStatus(status).phrase


@lru_cache
def status_line(status: int) -> str:
    """``200 OK``."""
    return f"{status} {reason_phrase(status)}"


@lru_cache(maxsize=2)
def http_date(second: int) -> str:
    """``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110, section 5.6.7)."""
    return formatdate(second, usegmt=True)


class Response:
    """``body``: all of it, or pieces; whoever gives pieces gives their ``Content-Length`` too."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        body: bytes | Iterable[Buffer] = b"",
        status: int = 200,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.body, self.status = body, status
        self.headers: Headers = list(headers)
        if isinstance(body, bytes) and status not in (204, 304):
            self.headers.append(("Content-Length", str(len(body))))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status_line(self.status), self.headers)
        # WSGI says bytes; most servers take any buffer.
        return [self.body] if isinstance(self.body, bytes) else self.body  # type: ignore[return-value]
