"""Files of pages, compressed on their way to whoever takes that (RFC 9110, section 8.4.1.3).

By Brotli (RFC 7932) where ``NAME.br`` lies beside the file, made together with it; else by gzip, made here. Only
files: what is made for one caller is never compressed together with what that caller chose.
"""

from __future__ import annotations

import gzip
import threading
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.security import safe_join

__all__ = ["compress_files"]

_TYPES = frozenset(
    (
        "application/javascript",
        "application/json",
        "application/wasm",
        "image/svg+xml",
        "text/css",
        "text/javascript",
    )
)
_LEVEL = 9  # each file once, while the process lives


def compress_files(app: Flask) -> None:
    """Let ``app`` answer for its static files with Brotli or gzip, where that was asked for."""
    made: dict[tuple[str, str], bytes] = {}  # by the file, and its tag
    lock = threading.Lock()

    @app.after_request
    def compressed(response: Response) -> Response:
        if request.endpoint != "static" or response.mimetype not in _TYPES or response.content_encoding:
            return response
        response.vary.add("Accept-Encoding")
        etag, _ = response.get_etag()
        if response.status_code != 200 or etag is None:
            return response
        file = safe_join(str(app.static_folder), (request.view_args or {})["filename"])
        assert file is not None  # it was sent
        beside = Path(f"{file}.br")
        is_packed = beside.is_file()
        if is_packed and request.accept_encodings["br"] > 0:
            coding = "br"
        elif request.accept_encodings["gzip"] > 0:
            coding = "gzip"
        else:
            return response
        tag = f"{etag}-{coding}"  # one of its own: a range of the file is none of what is sent here
        if request.if_none_match.contains(tag):
            response.close()
            answer = Response(status=304, headers={"ETag": f'"{tag}"', "Vary": "Accept-Encoding"})
            answer.headers.extend(
                {k: v for k, v in response.headers if k in ("Cache-Control", "Last-Modified")}
            )
            return answer
        name = (file, tag)  # as the disk names it: callers may write a path in as many ways as they like
        with lock:
            if name not in made:
                response.direct_passthrough = False
                made[name] = (
                    beside.read_bytes()
                    if coding == "br"
                    else gzip.compress(response.get_data(), _LEVEL, mtime=0)
                )
            response.close()  # the file
            packed = made[name]
        answer = Response(packed, headers=response.headers)
        answer.content_encoding = coding
        answer.content_length = len(packed)
        answer.accept_ranges = "none"
        answer.set_etag(tag)
        return answer
