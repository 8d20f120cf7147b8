"""Uploads of any size: in parts that are read when they are sent, and continued after any kind of break.

Where another process stopped, this one goes on: the node is asked for an unfinished upload of the same content
(by its BLAKE3 digest), so nothing has to be remembered here. What nobody goes on with, the node removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from syft_ext.client.transfer import upload
from syft_ext.display.progress import track
from syft_ext.errors import Conflict, DeadlineExceeded, Unavailable
from syft_ext.messages.objects import (
    AppendUpload,
    BeginUpload,
    FinishUpload,
    ListUploads,
    ObjectView,
    PutObject,
    UploadList,
    UploadStatus,
    UploadView,
)

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.sources.content import Content

__all__ = ["patiently", "put_content"]

RESUMABLE = 1 << 20  # above, an upload goes in parts, over lines that drop and the death of either side
PART = 16 << 20  # held in memory at a time
ATTEMPTS = 12  # in a row, without a byte between them
_SMALLEST = 64 << 10  # bytes of the parts that a bad line gets
_LONGEST = 5.0  # seconds between two attempts
TIMEOUT = 600.0


def put_content(client: Caller, content: Content, fields: dict[str, Any], label: str) -> ObjectView:
    """Upload ``content`` as a new object; ``fields`` are the others of ``objects.put``."""
    view: ObjectView
    if content.size <= RESUMABLE:
        pieces = [bytes(piece) for piece in content.pieces()]
        view = upload(client, PutObject(kind=content.kind, **fields), pieces, label)
        return view
    begun = _begin(client, content, label)
    _send(client, content, begun, label)
    message = FinishUpload(upload_id=begun.upload_id, kind=content.kind, **fields)
    view = patiently(lambda: client.call(message, timeout=TIMEOUT))
    return view


def _begin(client: Caller, content: Content, label: str) -> UploadView:
    """An upload of the same content that was begun before, else a new one."""
    with track(f"{label}: digest", content.size, unit="B") as advance:
        digest = _digest(content, advance)
    known: UploadList = patiently(lambda: client.call(ListUploads(digest=digest)))
    mine = [each for each in known.uploads if each.size == content.size]
    if mine:
        return max(mine, key=lambda each: each.received)
    # Not again by itself: a disk that has no room for it says so, and has none a moment later either.
    begun: UploadView = client.call(BeginUpload(size=content.size, digest=digest))
    return begun


def _digest(content: Content, advance: Any) -> str:
    from blake3 import blake3

    hasher = blake3()
    for piece in content.pieces():
        hasher.update(piece)
        advance(len(piece))
    return hasher.hexdigest()


def _send(client: Caller, content: Content, begun: UploadView, label: str) -> None:
    """Send what is missing, part by part; after a break, go on from what the node has safely stored."""
    part = PART
    with track(label, content.size, unit="B") as advance:
        done, failures = begun.received, 0
        advance(done)
        while done < content.size:
            try:
                for piece in _parts(content.pieces(done), part):
                    message = AppendUpload(upload_id=begun.upload_id, offset=done)
                    state: UploadView = client.call(message, [piece], timeout=TIMEOUT)
                    advance(state.received - done)
                    done, failures = state.received, 0
            except (Unavailable, DeadlineExceeded, Conflict):
                # A conflict: an earlier part is still being written, or arrived without our hearing of it.
                failures += 1
                part = min(part, max(min(part, content.size - done) // 2, _SMALLEST))
                if failures >= ATTEMPTS:
                    raise
                time.sleep(min(0.1 * 2**failures, _LONGEST))
                before, done = done, _received(client, begun.upload_id, done)
                if done > before:  # it got that far: the line is there, and drops
                    failures = 0
                    advance(done - before)


def _received(client: Caller, upload_id: str, known: int) -> int:
    try:
        state: UploadView = client.call(UploadStatus(upload_id=upload_id))
    except (Unavailable, DeadlineExceeded):
        return known
    return state.received


def _parts(pieces: Iterator[memoryview], size: int) -> Iterator[memoryview]:
    """The same bytes, ``size`` at a time in one buffer: a part is good until the next one."""
    buffer, filled = bytearray(size), 0
    for piece in pieces:
        while len(piece):
            room = piece[: size - filled]
            buffer[filled : filled + len(room)] = room
            filled += len(room)
            piece = piece[len(room) :]
            if filled == size:
                yield memoryview(buffer)
                filled = 0
    if filled:
        yield memoryview(buffer)[:filled]


def patiently(call: Any) -> Any:
    """Repeat what may be repeated while the node is away."""
    for attempt in range(1, ATTEMPTS):
        try:
            return call()
        except (Unavailable, DeadlineExceeded):
            time.sleep(min(0.1 * 2**attempt, _LONGEST))
    return call()
