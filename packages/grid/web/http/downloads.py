"""Downloads as HTTP sees them: ETag, ranges, conditions (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

from werkzeug.http import is_resource_modified, parse_range_header

from grid.node import Download
from grid.web.http.request import Request
from grid.web.http.response import Response

__all__ = ["download_response"]

_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")


def download_response(request: Request, download: Download, status: int) -> Response:
    """Stream ``download``: all of it, one range of it (206), or just the news that it is unchanged (304)."""
    etag = f'"{download.digest}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Type": download.media_type,
    }
    if any(condition in request.environ for condition in _CONDITIONS) and not is_resource_modified(
        request.environ, etag=download.digest, ignore_if_range=True
    ):
        return Response(b"", 304 if request.method in ("GET", "HEAD") else 412, list(headers.items()))
    start, stop = 0, download.size
    field = request.header("Range") if request.method == "GET" else None
    wanted = parse_range_header(field) if field is not None and _range_holds(request, etag) else None
    if wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1:
        span = wanted.range_for_length(download.size)
        if span is None:
            headers["Content-Range"] = f"bytes */{download.size}"
            return Response(b"", 416, list(headers.items()))
        (start, stop), status = span, 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{download.size}"
    headers["Content-Length"] = str(stop - start)
    pieces = () if request.method == "HEAD" else download.chunks(start, stop)
    return Response(pieces, status, list(headers.items()))


def _range_holds(request: Request, etag: str) -> bool:
    """If-Range: the range is wanted only of the version that the client has; dates say nothing here."""
    condition = request.header("If-Range")
    return condition is None or condition == etag
