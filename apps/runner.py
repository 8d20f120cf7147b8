"""Running one node in this process: log, home, first owner, web front, ready line."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from apps.cli.home import URL_FILE, remember
from apps.kinds import app_of
from apps.secrets import take_secret
from syft_ext.confinement.folders import claim_folders
from syft_ext.errors import Conflict, InvalidConfig
from syft_ext.transport.plain import ACCEPT, VARIABLE

if TYPE_CHECKING:
    from grid.config import NodeSettings, Resolved
    from grid.node import Node
    from grid.web.http.settings import WebSettings

__all__ = ["build", "first_owner", "lock_home", "run", "take_credentials"]

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


def take_credentials() -> tuple[str, str]:
    """E-mail and password of the first owner ("" where they are not set), which nothing finds any more after this.

    From ``GRID_OWNER_EMAIL`` and ``GRID_OWNER_PASSWORD``(``_FILE``).
    """
    password, file = take_secret("GRID_OWNER_PASSWORD"), take_secret("GRID_OWNER_PASSWORD_FILE")
    if file:
        password = Path(file).read_text().strip("\r\n")
    return os.environ.get("GRID_OWNER_EMAIL", ""), password


def first_owner(node: Node, email: str, password: str) -> None:
    """Make the first owner, if there is an e-mail and a password for one."""
    if not email and not password:
        return
    if not (email and password):
        raise InvalidConfig("GRID_OWNER_EMAIL and GRID_OWNER_PASSWORD go together")
    from grid.accounts.bootstrap import bootstrap_owner

    if bootstrap_owner(node, email, password):
        logger.info("%s owns this node now", email)
    else:
        logger.info("this node has its owner already; GRID_OWNER_EMAIL changes nothing")


def run(resolved: Resolved, home: Path, config: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Prints ``ready http://…`` on standard output when it serves.

    ``config`` is the file of settings that was named; the next start in this home takes it, too.
    """
    from grid.config.logs import set_up_logging

    owner = take_credentials()  # first: children, of which the next lines may make some, must not have them
    settings = resolved.settings
    if settings.plain_http == ACCEPT:
        os.environ[VARIABLE] = ACCEPT  # for the processes of participants as well
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise InvalidConfig("tls_cert and tls_key go together")
    set_up_logging(settings.log_format, settings.log_level)
    with lock_home(home):
        remember(home, resolved, config)
        if left := claim_folders(home):
            logger.info("removed %d folders of sandboxes that an earlier start left behind", left)
        node = build(resolved.kind, home, resolved)
        if node.kind.has_owner:
            first_owner(node, *owner)
            if not node.configured:
                logger.warning("nobody owns this node yet: run `grid %s setup`", node.kind.command)
        try:
            _serve(node, settings)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
                raise
            raise Conflict(_unusable(settings, error.errno)) from error


def _unusable(settings: NodeSettings, number: int) -> str:
    """Why its address cannot be listened on, and what to do."""
    place = f"{settings.host}:{settings.port}"
    if number == errno.EADDRINUSE:
        return f"another program, maybe a node, listens on {place} already: choose another --port (0: any)"
    if number == errno.EACCES:
        return (
            f"{place} cannot be listened on: this user may not; ports from 1024 on are free to all (--port)"
        )
    return f"{place} cannot be listened on: this machine has no such address (--host)"


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
        memory=settings.memory,
        connections=settings.connections,
        connections_per_address=settings.connections_per_address,
        websockets_per_address=settings.websockets_per_address,
        stranger_rate=settings.stranger_rate,
        account_rate=settings.account_rate,
        hosts=_own_names(settings),
        metrics=settings.metrics,
        metrics_token=settings.metrics_token,
    )


def _own_names(settings: NodeSettings) -> tuple[str, ...]:
    """What this node is called where others reach it: as its settings say, and as its machine is called."""
    address = urlsplit(settings.address).hostname or ""
    machine = socket.gethostname()
    return (*settings.hosts, address, settings.host, machine, f"{machine}.local")


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _announce(node: Node, url: str) -> None:
    """The one line on standard output; whoever started us waits for it."""
    gc.enable()  # the command disabled it
    app_of(node.kind.name).ready(node)
    (node.home / URL_FILE).write_text(f"{url}\n")
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()
