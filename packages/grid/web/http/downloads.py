"""Downloads as HTTP sees them: ETag, ranges, conditions (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

from grid.node import Download
from grid.web.http.conditions import failed_condition, wanted_range
from grid.web.http.request import Request
from grid.web.http.response import Response

__all__ = ["download_response"]


def download_response(request: Request, download: Download, status: int) -> Response:
    """Stream ``download``: all of it, one range of it (206), or just the news that it is unchanged (304)."""
    headers = {
        "ETag": f'"{download.digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Type": download.media_type,
    }
    failed = failed_condition(request, download.digest)
    if failed is not None:
        return Response(b"", failed, list(headers.items()))
    start, stop = 0, download.size
    span = wanted_range(request, download.digest, download.size)
    if span is not None:
        if span[0] >= download.size:
            headers["Content-Range"] = f"bytes */{download.size}"
            return Response(b"", 416, list(headers.items()))
        (start, stop), status = span, 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{download.size}"
    headers["Content-Length"] = str(stop - start)
    pieces = () if request.method == "HEAD" else download.chunks(start, stop)
    return Response(pieces, status, list(headers.items()))
