"""A content in parts, where it does not get through in one message: from what the node has, to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from syft_ext.errors import Conflict, DeadlineExceeded, Unavailable
from syft_ext.messages import Message
from syft_ext.messages.participation import PartReply
from syft_ext.transport.parts import PartSizes

__all__ = ["WORTH_PARTS", "send_in_parts"]

WORTH_PARTS = 256 << 10
"""Bytes of the smallest content that is sent in parts."""

Piece = bytes | bytearray | memoryview


def send_in_parts(
    ask: Callable[[Message, Sequence[Piece]], Any],
    part_at: Callable[[int], Message],
    pieces: Sequence[Piece],
    told: Callable[[int], object] = lambda count: None,
) -> None:
    """Send what the node does not have yet of ``pieces``.

    Args:
        ask: sends a message with bytes behind it, and returns the reply.
        part_at: the message for the part that begins at an offset; it answers with a :class:`PartReply`.
        told: hears of bytes that have arrived.

    Raises what the node refuses, and the error of a line that stays down.
    """
    views = [memoryview(piece).cast("B") for piece in pieces]
    total, sizes, done, known = sum(map(len, views)), PartSizes(), 0, False
    while not known or done < total:
        part = b"" if not known else b"".join(_cut(views, done, min(done + sizes.size, total)))
        try:
            reply: PartReply = ask(part_at(done), [part] if part else [])
        except (Unavailable, DeadlineExceeded) as error:
            known = False  # more of it may have arrived than was heard of
            sizes.failed(error, total - done)
            continue
        except Conflict as conflict:
            if "reason" in conflict.extra:  # not about this part, which may still be being written
                raise
            known = False
            sizes.failed(conflict, total - done)
            continue
        if part:
            sizes.succeeded()
        told(max(0, reply.received - done))
        done, known = reply.received, True


def _cut(views: Sequence[memoryview], start: int, stop: int) -> Iterator[memoryview]:
    """Bytes ``start`` to ``stop`` of what ``views`` are together."""
    for view in views:
        if start < len(view) and stop > 0:
            yield view[max(start, 0) : max(stop, 0)]
        start, stop = start - len(view), stop - len(view)
