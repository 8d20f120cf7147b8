"""Endpoints that users name and the owner lists word for word: only the status of an answer counts."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from grid.outgoing.dialer import Dialer, Resolver, resolve
from grid.outgoing.policy import AllowedAddress, OutgoingPolicy
from syft_ext.errors import Forbidden, GridError, InvalidConfig, Unavailable
from syft_ext.transport.http_connection import HTTPConnection, MalformedResponse

__all__ = ["TrustedEndpoints"]


class TrustedEndpoints:
    """What the owner lists, and the calls there.

    Args:
        urls: whole URLs. A user may name one of them as it stands, and nothing else: no other path or query.
        ca_file: PEM file with a private authority of their certificates; "" for the public ones.
        proxy: whether they are called through the proxy that the environment names.
        resolver: how hosts become addresses.

    Raises :class:`InvalidConfig` for what is no http:// or https:// URL.
    """

    def __init__(
        self,
        urls: Iterable[str] = (),
        *,
        ca_file: str = "",
        proxy: bool = False,
        resolver: Resolver = resolve,
    ) -> None:
        self._dialers: dict[str, Dialer] = {}
        self._ca_file = ca_file
        for url in urls:
            parts = _parts(url)
            # The owner's own word for this host and port: it may be private, or this machine's.
            listed = AllowedAddress.parse(f"{_bracketed(parts.hostname or '')}:{_port(parts)}")
            self._dialers[url] = Dialer(
                OutgoingPolicy([listed], public=False, proxy=proxy), resolver, secure=parts.scheme == "https"
            )

    def check(self, url: str) -> None:
        """Raise :class:`Forbidden` unless the owner lists ``url``."""
        if url not in self._dialers:
            raise Forbidden(
                "the owner of this node allows no such endpoint (setting authentication_endpoints)"
            )

    def post_json(self, url: str, body: bytes, *, timeout: float) -> int:
        """The status of the answer, of which nothing else is read; redirects are not followed.

        Raises :class:`Forbidden` when the endpoint is not listed (any more), :class:`Unavailable`, which says
        nothing of the cause, when no answer comes within ``timeout`` seconds in all.
        """
        self.check(url)
        ends = time.monotonic() + timeout
        parts = _parts(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {_bracketed(parts.hostname or '')}:{_port(parts)}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
            connection = HTTPConnection(
                parts.hostname or "",
                _port(parts),
                context if parts.scheme == "https" else None,
                timeout,
                self._dialers[url],
            )
            try:
                left = max(ends - time.monotonic(), 0.001)
                return connection.exchange(head.encode("ascii") + body, (), left).status
            finally:
                connection.close()
        except (OSError, MalformedResponse, UnicodeError, GridError) as error:
            raise Unavailable("the endpoint does not answer") from error


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = (
            url.isascii()
            and url.isprintable()
            and " " not in url
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not parts.username
            and not parts.fragment
        )
    except ValueError:
        usable = False
    if not usable:
        raise InvalidConfig(
            f"authentication_endpoints: {url[:200]!r} is no http:// or https:// URL",
            key="authentication_endpoints",
        )
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
