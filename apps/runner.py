"""Running one node in this process: log, home, first owner, web front, ready line."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import os
import sys
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from apps.cli.home import URL_FILE
from apps.kinds import app_of
from syft_ext.errors import Conflict, InvalidConfig

if TYPE_CHECKING:
    from grid.config import NodeSettings, Resolved
    from grid.node import Node
    from grid.web.http.settings import WebSettings

__all__ = ["build", "first_owner", "lock_home", "run"]

logger = logging.getLogger(__name__)


def build(kind: str, home: Path, resolved: Resolved) -> Node:
    """The node of this kind, its tables up to date, not started."""
    return app_of(kind).builder()(home, resolved.settings)


def lock_home(home: Path) -> IO[str]:
    """Hold the home for this process: two nodes must not share one identity. Raises :class:`Conflict`."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (home / "node.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Conflict(f"another node is running in {home}") from None
    return lock


def first_owner(node: Node) -> None:
    """Make the first owner from ``GRID_OWNER_EMAIL`` and ``GRID_OWNER_PASSWORD``(``_FILE``), if they are set."""
    email = os.environ.get("GRID_OWNER_EMAIL", "")
    password = os.environ.get("GRID_OWNER_PASSWORD", "")
    if os.environ.get("GRID_OWNER_PASSWORD_FILE"):
        password = Path(os.environ["GRID_OWNER_PASSWORD_FILE"]).read_text().strip("\r\n")
    # What a child process (a sandbox for plans) inherits must not hold the password.
    for name in ("GRID_OWNER_PASSWORD", "GRID_OWNER_PASSWORD_FILE"):
        os.environ.pop(name, None)
    if not email and not password:
        return
    if not (email and password):
        raise InvalidConfig("GRID_OWNER_EMAIL and GRID_OWNER_PASSWORD go together")
    from grid.accounts.bootstrap import bootstrap_owner

    if bootstrap_owner(node, email, password):
        logger.info("%s owns this node now", email)
    else:
        logger.info("this node has its owner already; GRID_OWNER_EMAIL changes nothing")


def run(resolved: Resolved, home: Path) -> None:
    """Serve until SIGTERM or SIGINT. Prints ``ready http://…`` on standard output when it serves."""
    from grid.config.logs import set_up_logging

    settings = resolved.settings
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidConfig("tls_cert and tls_key go together")
    set_up_logging(settings.log_format, settings.log_level)
    with lock_home(home):
        node = build(resolved.kind, home, resolved)
        if node.kind.has_owner:
            first_owner(node)
            if not node.configured:
                logger.warning("nobody owns this node yet: run `grid %s setup`", node.kind.command)
        try:
            _serve(node, settings)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
                raise
            reason = os.strerror(error.errno).lower()
            raise Conflict(f"{settings.host}:{settings.port} cannot be listened on: {reason}") from error


def _serve(node: Node, settings: NodeSettings) -> None:
    from grid.web.server import serve

    serve(
        node,
        settings.host,
        settings.port,
        on_ready=partial(_announce, node),
        settings=_web_settings(settings),
        tls_cert=_path(settings.tls_cert),
        tls_key=_path(settings.tls_key),
        connections=settings.connections,
        grace=settings.grace,
    )


def _web_settings(settings: NodeSettings) -> WebSettings:
    from grid.web.http.settings import WebSettings

    return WebSettings(
        max_json=settings.max_json,
        max_upload=settings.max_upload,
        max_websocket_message=settings.max_websocket_message,
        max_event=settings.max_event,
        origins=tuple(settings.origins),
        trusted_proxies=tuple(settings.trusted_proxies),
        ping_interval=settings.ping_interval,
        websocket_concurrency=settings.websocket_concurrency,
        idle_timeout=settings.idle_timeout,
        head_timeout=settings.head_timeout,
        slowest_body=settings.slowest_body,
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _announce(node: Node, url: str) -> None:
    """The one line on standard output; whoever started us waits for it."""
    gc.enable()  # the command disabled it
    app_of(node.kind.name).ready(node)
    (node.home / URL_FILE).write_text(f"{url}\n")
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()
