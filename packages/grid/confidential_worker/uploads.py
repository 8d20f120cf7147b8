"""One sealed upload: from the operator's bytes to its content, in sweeps that all see the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from syft_ext.confidential.kernel.aggregate import HeldBlob
from syft_ext.confidential.manifest import check_header
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundContext, RoundKey
from syft_ext.confidential.sealing import MAX_HEAD, open_content_key, opener_of, read_head
from syft_ext.confidential.stream import CHUNK, sealed_length
from syft_ext.confidential.uploads import SealedHeader, UploadStatement
from syft_ext.errors import ContentCorrupt, InvalidStatement, SealBroken

__all__ = ["KEEP", "UploadContent"]

KEEP = 64 << 20
"""A sealed upload of at most so many bytes is kept while it is gone through, and asked for once."""
Read = Callable[[int, int], memoryview]


class UploadContent:
    """An upload that the manifest names.

    Its head was declared to the Domain, but it is the blob that counts: one whose head is not what its participant
    signed does not open, and that is a function of the manifest too.

    Args:
        read: the operator's bytes of it: ``read(offset, length)``.
        secrets: the hosts' upload keys, in the policy's order, as ``keys``.

    Attributes:
        content_key: None where it cannot be had.
        length: bytes of its content, as its header says; 0 without one.

    Raises :class:`~syft_ext.errors.ContentDamaged`.
    """

    def __init__(
        self,
        read: Read,
        upload: UploadStatement,
        policy: ConfidentialPolicy,
        context: RoundContext,
        keys: Sequence[RoundKey],
        secrets: Sequence[bytes],
    ) -> None:
        self._blob = HeldBlob(read, upload.blob, upload.length, KEEP)
        self._size, self._start = upload.length, 0
        self._header: SealedHeader | None = None
        self.content_key: bytes | None = None
        self.length = 0
        head = bytes(read(0, min(MAX_HEAD, upload.length)))
        if len(head) != min(MAX_HEAD, upload.length):
            raise ContentCorrupt("other bytes than the manifest names")
        try:
            header, shares, start = read_head(head)
            check_header(header, shares, upload, policy)
            if upload.length != start + sealed_length(header.length):
                raise InvalidStatement("a blob of another length than its header says")
        except InvalidStatement:
            self._begin(head)
            return
        self._begin(head[:start])
        self._header, self.length = header, header.length
        try:
            self.content_key = open_content_key(upload, shares, policy, context, keys, secrets)
        except SealBroken:
            return

    def _begin(self, head: bytes) -> None:
        """What was judged by its head is the blob with this head, or the operator would choose who counts."""
        if self._blob.take(0, len(head)) != head:
            raise ContentCorrupt("other bytes than the first time")
        self._start = len(head)

    def sweep(self) -> Iterator[memoryview]:
        """Its content: a :data:`~syft_ext.confidential.kernel.aggregate.Sweep`.

        All of the blob is read whatever opens of it: that it is the one which the manifest names comes first.
        """
        if self._header is None or self.content_key is None:
            for offset in range(self._start, self._size, CHUNK):
                self._blob.take(offset, min(CHUNK, self._size - offset))
            self._blob.settle()
            raise SealBroken("it does not open")
        opener, broken = opener_of(self.content_key, self._header), False
        room = memoryview(bytearray(min(CHUNK, self.length)))
        for number in range(opener.count):
            offset, length = opener.place(number)
            sealed = self._blob.take(self._start + offset, length)
            try:
                piece = opener.open(number, sealed, room)
            except SealBroken:
                broken = True
            if not broken:
                yield piece
        self._blob.settle()
        if broken:
            raise SealBroken("it does not open")
