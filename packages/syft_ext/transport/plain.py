"""Plain http to another machine is said, once for each address: whoever is on the way reads and changes it.

Messages are signed, so that nobody changes them unseen; tokens, passwords and data are read by whoever listens.
"""

from __future__ import annotations

import logging
import os
import threading
from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["ACCEPT", "PLAIN", "VARIABLE", "warn_if_plain"]

logger = logging.getLogger(__name__)

#: Schemes without TLS, as people write them.
PLAIN = ("http", "ws")
#: The environment variable that says how plain http is taken, and what it says to accept it. Of a node it is the
#: setting ``plain_http``.
VARIABLE, ACCEPT = "GRID_PLAIN_HTTP", "accept"

_said: set[str] = set()
_lock = threading.Lock()


def warn_if_plain(address: str) -> None:
    """Log a warning when ``address`` is another machine's, without TLS, and nobody has said yet that this is so.

    Without a logging configuration it shows on standard error.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return  # no address: whoever opens it says so
    if (
        parts.scheme not in PLAIN
        or os.environ.get(VARIABLE) == ACCEPT
        or _is_this_machine(parts.hostname or "")
    ):
        return
    with _lock:
        if parts.netloc in _said:
            return
        _said.add(parts.netloc)
    logger.warning(
        "%s is reached without TLS: whoever is on the way reads passwords, tokens and data. Use https://, or set "
        "%s=%s where the network itself is trusted",
        ascii(parts.netloc)[1:-1],
        VARIABLE,
        ACCEPT,
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
