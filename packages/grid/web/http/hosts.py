"""The names that a node answers to (RFC 9110, section 7.4): a page of another name's must not speak to it.

Without this a page could let its own name lead to the node's address (DNS rebinding), and read the answers that a
browser inside the hospital gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from grid.web.http.requestline import Refusal

__all__ = ["HostNames"]

_LOOPBACK = ("localhost",)


class HostNames:
    """Names of one node; those of this machine to itself, and addresses, are always among them.

    Nobody can let another name lead to an address that is written as one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset((*_LOOPBACK, *(name.rstrip(".").lower() for name in names if name)))
        self._known: dict[str, bool] = {}

    def check(self, host: str | None) -> None:
        """Raise :class:`Refusal` (421) for a ``Host`` of another name; HTTP/1.0 may have none."""
        if host is None:
            return
        answered = self._known.get(host)
        if answered is None:
            answered = self._answers_to(host)
            if answered and len(self._known) < 256:
                self._known[host] = True
        if not answered:
            raise Refusal(
                "this node does not answer to that name; its settings `address` and `hosts` say to which",
                421,
                "misdirected-request",
            )

    def _answers_to(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        name = name.rstrip(".")
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True
