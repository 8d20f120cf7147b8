"""A site of its own that takes the peer from its npm package: another origin than any node's."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.browser.node import SERVED

__all__ = ["own_site"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def own_site(folder: Path) -> Iterator[str]:
    """Its origin, while it is served."""
    shutil.copytree(SERVED, folder / "static" / "peer")
    (folder / "index.html").write_text("<!doctype html><title>a site</title>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
