"""A request as views of operations see it: the few things they ask for, read when they are asked for."""

from __future__ import annotations

from typing import Any

from grid.web.http.request_record import RequestRecord, record_of

__all__ = ["Request"]


class Request:
    """Over a WSGI environment. (Werkzeug's own does far more, and costs as much as a small operation.)"""

    __slots__ = ("environ", "method", "record")

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.record: RequestRecord = record_of(environ)

    def header(self, name: str) -> str | None:
        """A header field by its name in any case; of Content-Type and Content-Length ask the properties."""
        value: str | None = self.environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value

    @property
    def query(self) -> str:
        """What stands behind the question mark."""
        query: str = self.environ.get("QUERY_STRING", "")
        return query

    @property
    def mimetype(self) -> str:
        """The content's media type without its parameters, in lower case; "" when none is declared."""
        declared: str = self.environ.get("CONTENT_TYPE", "")
        return declared.partition(";")[0].strip().lower()

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, where they are declared."""
        if "HTTP_TRANSFER_ENCODING" in self.environ:
            return None
        declared = self.environ.get("CONTENT_LENGTH", "")
        return int(declared) if declared.isascii() and declared.isdigit() else None

    @property
    def has_body(self) -> bool:
        """Whether a body follows (RFC 9112, section 6.3); it may be empty still when it is chunked."""
        return bool(self.content_length) or "HTTP_TRANSFER_ENCODING" in self.environ
