"""Large uploads and downloads, streamed, with progress."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from syft_ext.display.progress import track
from syft_ext.messages import Message, operation_of

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["download", "save", "upload"]

WORTH_SHOWING = 4 << 20
CHUNK = 1 << 20

Piece = bytes | bytearray | memoryview


def upload(client: Caller, message: Message, pieces: Sequence[Piece], label: str) -> Any:
    """Send ``message`` with ``pieces`` after it; the reply."""
    total = sum(len(piece) for piece in pieces)
    if total < WORTH_SHOWING:
        return client.call(message, pieces, timeout=600.0)
    with track(label, total, unit="B") as advance:
        return client.call(message, _Tracked(pieces, advance), timeout=600.0)


def download(client: Caller, message: Message, label: str) -> tuple[Any, bytearray]:
    """Send ``message``; the reply and the bytes that follow it, checked against the signed digest."""
    frame = client.open(message)
    with client.explained():
        reply = frame.envelope.reply_as(operation_of(message).reply)
    payload = frame.payload
    if payload.size is None or payload.size < WORTH_SHOWING:
        return reply, payload.read_all()
    data, position = bytearray(payload.size), 0
    with track(label, payload.size, unit="B") as advance:
        for piece in payload:
            data[position : position + len(piece)] = piece
            position += len(piece)
            advance(len(piece))
    return reply, data


def save(client: Caller, message: Message, path: Path, label: str) -> Path:
    """Send ``message``; write the bytes that follow its answer to ``path``, which then is there as a whole."""
    frame = client.open(message)
    with client.explained():
        frame.envelope.reply_as(operation_of(message).reply)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with track(label, frame.payload.size, unit="B") as advance, temporary.open("xb") as file:
            for piece in frame.payload:
                file.write(piece)
                advance(len(piece))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class _Tracked(Sequence[Piece]):
    """Pieces that tell how far they were read: first they are hashed, then sent; only sending counts."""

    def __init__(self, pieces: Sequence[Piece], advance: Any) -> None:
        self._pieces = [
            memoryview(piece).cast("B")[start : start + CHUNK]
            for piece in pieces
            for start in range(0, len(memoryview(piece).cast("B")), CHUNK)
        ]
        self._advance, self._rounds = advance, 0

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> Piece: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Piece]: ...
    def __getitem__(self, index: int | slice) -> Piece | Sequence[Piece]:
        return self._pieces[index]

    def __iter__(self) -> Iterator[Piece]:
        self._rounds += 1
        sending = self._rounds > 1
        for piece in self._pieces:
            yield piece
            if sending:
                self._advance(len(piece))
