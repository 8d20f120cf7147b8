"""Downloads as HTTP sees them: ETag, ranges, conditions (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask import Request, Response
from werkzeug.http import is_resource_modified

from grid.node import Download

__all__ = ["download_response"]

PIECE = 1 << 20


def download_response(request: Request, download: Download, status: int) -> Response:
    """Stream ``download``: all of it, one range of it (206), or just the news that it is unchanged (304)."""
    etag = f'"{download.digest}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Type": download.media_type,
    }
    if not is_resource_modified(request.environ, etag=download.digest, ignore_if_range=True):
        return Response(status=304 if request.method in ("GET", "HEAD") else 412, headers=headers)
    start, stop = 0, download.size
    wanted = request.range if request.method == "GET" and _range_holds(request, etag) else None
    if wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1:
        span = wanted.range_for_length(download.size)
        if span is None:
            headers["Content-Range"] = f"bytes */{download.size}"
            return Response(status=416, headers={**headers, "Content-Length": "0"})
        (start, stop), status = span, 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{download.size}"
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD" or start == stop:
        return Response(status=status, headers=headers)
    return Response(_pieces(download.chunks(start, stop)), status, headers, direct_passthrough=True)


def _range_holds(request: Request, etag: str) -> bool:
    """If-Range: the range is wanted only of the version that the client has; dates say nothing here."""
    condition = request.headers.get("If-Range")
    return condition is None or condition == etag


def _pieces(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Pieces no larger than what a slow client can take within the socket's timeout."""
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]  # type: ignore[misc]  # sendall takes any buffer
