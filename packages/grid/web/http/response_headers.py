"""What every answer carries, whoever made it: request id, security headers, CORS."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from grid.web.http.request_record import record_of
from grid.web.http.response import Headers

__all__ = ["STRICT_TRANSPORT", "ResponseHeaders"]

# No page of a node needs anything from elsewhere, and nothing that users uploaded may run as one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
_CONTENT_POLICY = "Content-Security-Policy"
#: Browsers that saw this come back by HTTPS only (RFC 6797); said over TLS alone, ours or a trusted proxy's.
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = ("Authorization", "Content-Type", "Range", "If-None-Match", "X-Request-ID")
_EXPOSED = "ETag, X-Request-ID, Content-Range, Retry-After"


class ResponseHeaders:
    """The headers that every answer gets from :class:`~grid.web.http.application.Application`.

    Args:
        origins: browser origins that may read answers; for all others there is no CORS.
        own_headers: request headers that operations declare.
        policies: prefix of a path → the content security policy of what is below it, in place of the usual one.
    """

    def __init__(
        self,
        origins: Collection[str],
        own_headers: Collection[str],
        policies: Mapping[str, str] | None = None,
    ) -> None:
        self._origins = frozenset(origins)
        self._policies = dict(policies or {})
        self._request_headers = ", ".join((*_REQUEST_HEADERS, *sorted(own_headers)))

    def of(self, environ: dict[str, Any]) -> Headers:
        """What the answer to this request carries beside its own headers."""
        record = record_of(environ)
        path = str(environ.get("PATH_INFO", ""))
        own = (policy for prefix, policy in self._policies.items() if path.startswith(prefix))
        headers = [
            ("X-Request-ID", record.request_id),
            *_ALWAYS,
            (_CONTENT_POLICY, next(own, _POLICY)),
        ]
        if record.secure:
            headers.append(STRICT_TRANSPORT)
        return headers + self._cors(environ) if self._origins else headers

    def _cors(self, environ: dict[str, Any]) -> Headers:
        origin = environ.get("HTTP_ORIGIN")
        if origin not in self._origins:
            return [("Vary", "Origin")]
        headers = [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
        ]
        if environ["REQUEST_METHOD"] == "OPTIONS":
            headers += [
                ("Access-Control-Allow-Methods", _METHODS),
                ("Access-Control-Allow-Headers", self._request_headers),
                ("Access-Control-Max-Age", "600"),
            ]
        return headers
