"""Chunked AES-256-GCM: contents of any length, sealed and opened a chunk at a time, in order or by number.

The STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár 2015): the nonce of a chunk is its number and
whether it is the last, so that chunks that are swapped, left out, repeated or cut off do not open. One key
seals one content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from syft_ext.errors import SealBroken

__all__ = ["CHUNK", "TAG", "ChunkOpener", "seal_chunks", "sealed_length"]

CHUNK = 1 << 20
"""Bytes of content in each chunk but the last."""
TAG = 16
"""Bytes that sealing adds to each chunk."""

Buffer = bytes | bytearray | memoryview


def sealed_length(length: int) -> int:
    """Bytes of the sealed chunks of ``length`` bytes of content (at least 1)."""
    return length + TAG * _count(length)


def seal_chunks(key: bytes, bound: bytes, pieces: Iterable[Buffer], length: int) -> Iterator[bytes]:
    """The sealed chunks of a content that comes in ``pieces`` of any size.

    Args:
        key: 32 bytes, for this content only: under one key, two contents give both away.
        bound: associated data of each chunk.
        length: bytes of the content, at least 1.

    Raises ``ValueError`` when the pieces have another length than that. Then what came out so far opens to
    nothing.
    """
    cipher, last, chunk, number = AESGCM(key), _count(length) - 1, bytearray(), 0
    for piece in pieces:
        view = memoryview(piece).cast("B")
        while view:
            if number > last:
                raise ValueError(f"more than {length} bytes of content")
            taken = min(_size(number, length) - len(chunk), len(view))
            chunk += view[:taken]
            view = view[taken:]
            if len(chunk) == _size(number, length):
                yield cipher.encrypt(_nonce(number, number == last), bytes(chunk), bound)
                chunk.clear()
                number += 1
    if number != last + 1:
        raise ValueError(f"less than {length} bytes of content")


class ChunkOpener:
    """Opens the chunks of one content, in any order and as often as needed.

    Args:
        key, bound, length: what it was sealed with.

    Attributes:
        count: how many chunks there are.
    """

    def __init__(self, key: bytes, bound: bytes, length: int) -> None:
        self._cipher, self._bound, self._length = AESGCM(key), bound, length
        self.count = _count(length)

    def place(self, number: int) -> tuple[int, int]:
        """Where chunk ``number`` (from 0) is among the sealed chunks: offset and length in bytes."""
        return number * (CHUNK + TAG), _size(number, self._length) + TAG

    def size(self, number: int) -> int:
        """Bytes of content in chunk ``number``."""
        return _size(number, self._length)

    def open(self, number: int, sealed: Buffer, into: bytearray | memoryview) -> memoryview:
        """The content of chunk ``number``, as a view on the beginning of ``into``.

        Args:
            sealed: its sealed bytes.
            into: room for at least :meth:`size` bytes.

        Raises :class:`~syft_ext.errors.SealBroken` for anything but that chunk. ``into`` holds nothing to use
            then.
        """
        if not 0 <= number < self.count or len(sealed) != self.size(number) + TAG:
            raise SealBroken("a chunk of another length or number")
        view = memoryview(into)[: self.size(number)]
        try:
            self._cipher.decrypt_into(_nonce(number, number == self.count - 1), sealed, self._bound, view)
        except InvalidTag as error:
            raise SealBroken("a chunk is not as it was sealed") from error
        return view


def _count(length: int) -> int:
    if length < 1:
        raise ValueError("a content has at least one byte")
    return -(-length // CHUNK)


def _size(number: int, length: int) -> int:
    return min(CHUNK, length - number * CHUNK)


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
