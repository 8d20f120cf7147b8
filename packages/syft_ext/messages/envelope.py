"""The signed envelope that every message travels in, over any transport, and its frame on the wire.

    frame    = "GRD1" · uint32 length of the envelope (big-endian) · envelope · payload
    envelope = msgpack of :class:`Envelope`

The signature covers every field but itself, through the BLAKE3 digest of their msgpack (Ed25519 reads what it
signs twice, by SHA-512, which takes ten times as long), and the payload through its digest and size. Replies
are envelopes too: signed by the node, bound to the request by its nonce.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import blake3
import msgspec

from syft_ext.errors import GridError, InvalidEnvelope, Problem, TooLarge, from_problem
from syft_ext.identity import Identity, verify
from syft_ext.messages.operation import Message, Reply, operation_of

__all__ = [
    "ANY_NODE",
    "MAX_ENVELOPE",
    "OPENING",
    "Envelope",
    "Opening",
    "PartEnvelope",
    "digest_of",
    "frame_head",
    "open_frame",
    "part_of",
    "read_opening",
    "seal_part",
    "seal_reply",
    "seal_request",
]

MAGIC = b"GRD1"
MAX_ENVELOPE = 8 << 20
#: Recipient of the one message that may be for whoever receives it: ``node.metadata``, which asks who that is.
ANY_NODE = "*"
#: Bytes of an envelope in which sender, recipient and operation stand.
OPENING = 512
_PREFIX = struct.Struct(">4sI")
_CONTEXT = b"grid envelope v2\0"
_encode = msgspec.msgpack.Encoder().encode

Buffers = Sequence[bytes | bytearray | memoryview]


class Envelope(msgspec.Struct, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Who says what to whom, when.

    Attributes:
        sender: verify key of the sender, hex.
        recipient: id of the node it is for, and for no other; ``ANY_NODE`` to ask who is there.
        operation: name of the operation; a failed reply carries ``"error"``.
        body: msgpack of the message, the reply, or a :class:`~syft_ext.errors.Problem`.
        nonce: 16 random bytes; a reply repeats the nonce of its request in ``in_reply_to``.
        issued_at: seconds since the epoch, by the sender's clock.
        token: a token of the recipient, when the sender's key alone does not say enough.
        payload_size, payload_digest: the bytes that follow the envelope, and their BLAKE3 digest.
    """

    sender: str
    recipient: str
    operation: str
    body: bytes
    nonce: bytes
    issued_at: float
    in_reply_to: bytes = b""
    token: str = ""
    payload_size: int = 0
    payload_digest: bytes = b""
    signature: bytes = b""

    def _signed_part(self) -> bytes:
        return _CONTEXT + blake3.blake3(_encode(msgspec.structs.replace(self, signature=b""))).digest()

    def sign(self, identity: Identity) -> Envelope:
        """Sign all other fields as ``sender``, whose key ``identity`` must be; itself, for chaining."""
        self.signature = identity.sign(self._signed_part())
        return self

    def verify(self) -> None:
        """Raise :class:`~syft_ext.errors.BadSignature` unless the sender signed exactly this."""
        verify(self.sender, self._signed_part(), self.signature)

    def reply_as(self, reply_type: type[Reply]) -> Any:
        """The reply in the body, or raise the error that the node answered with."""
        if self.operation == "error":
            raise from_problem(_decode(self.body, Problem))
        return _decode(self.body, reply_type)


class PartEnvelope(Envelope, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An envelope about a part of a download: what a line that dropped did not bring is asked for again.

    Attributes:
        start, stop: of a request: which bytes are wanted, ``stop`` not among them; the node may give fewer. Of a
            reply: which ones follow.
        total: bytes of the whole, in a reply.
        whole: BLAKE3 digest of the whole, 64 hex digits. A request that names one is refused where it is another
            by now; "" takes what there is.
    """

    start: int
    stop: int
    total: int = 0
    whole: str = ""


_PART = 0x90 + len(PartEnvelope.__struct_fields__)
"""How the msgpack of a :class:`PartEnvelope` begins: an array of so many."""


def _decode(data: bytes | memoryview, kind: type[Any]) -> Any:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEnvelope(f"not a {kind.__name__}: {error}") from error


def digest_of(payload: Iterable[bytes | bytearray | memoryview]) -> tuple[int, bytes]:
    """Size in bytes and BLAKE3 digest of a payload given in pieces."""
    hasher, size = blake3.blake3(), 0
    for piece in payload:
        hasher.update(piece)
        size += len(piece)
    return size, hasher.digest()


def seal_request(
    identity: Identity,
    message: Message,
    *,
    now: float,
    recipient: str,
    token: str = "",
    payload: Buffers = (),
) -> Envelope:
    """A signed envelope around ``message`` for the node ``recipient``.

    ``payload`` is sent after it and covered by the signature.
    """
    size, digest = digest_of(payload) if payload else (0, b"")
    return Envelope(
        sender=identity.verify_key,
        recipient=recipient,
        operation=operation_of(message).name,
        body=_encode(message),
        nonce=secrets.token_bytes(16),
        issued_at=now,
        token=token,
        payload_size=size,
        payload_digest=digest,
    ).sign(identity)


def seal_reply(
    identity: Identity,
    request: Envelope | None,
    reply: Reply | GridError,
    *,
    now: float,
    payload_size: int = 0,
    payload_digest: bytes = b"",
) -> Envelope:
    """The node's signed answer; ``request`` is None when the request could not even be read."""
    failed = isinstance(reply, GridError)
    return Envelope(
        sender=identity.verify_key,
        recipient=request.sender if request else "",
        operation="error" if failed or request is None else request.operation,
        body=_encode(reply.to_problem() if isinstance(reply, GridError) else reply),
        nonce=secrets.token_bytes(16),
        issued_at=now,
        in_reply_to=request.nonce if request else b"",
        payload_size=payload_size,
        payload_digest=payload_digest,
    ).sign(identity)


def part_of(request: Envelope, identity: Identity, start: int, stop: int, whole: str) -> PartEnvelope:
    """The request for a part of what ``request`` asks for, signed anew."""
    fields = {name: getattr(request, name) for name in Envelope.__struct_fields__}
    fields["nonce"], fields["signature"] = secrets.token_bytes(16), b""
    part = PartEnvelope(**fields, start=start, stop=stop, whole=whole)
    part.sign(identity)
    return part


def seal_part(
    identity: Identity,
    request: PartEnvelope,
    reply: Reply,
    pieces: Buffers,
    *,
    now: float,
    total: int,
    whole: str,
) -> PartEnvelope:
    """The node's signed answer that brings ``pieces``, which begin where ``request`` says."""
    size, digest = digest_of(pieces)
    sealed = seal_reply(identity, request, reply, now=now, payload_size=size, payload_digest=digest)
    fields = {name: getattr(sealed, name) for name in Envelope.__struct_fields__}
    fields["signature"] = b""
    part = PartEnvelope(**fields, start=request.start, stop=request.start + size, total=total, whole=whole)
    part.sign(identity)
    return part


def frame_head(envelope: Envelope) -> bytes:
    """Prefix and envelope: what precedes the payload on the wire."""
    data = _encode(envelope)
    return _PREFIX.pack(MAGIC, len(data)) + data


def envelope_size(prefix: bytes | memoryview) -> int:
    """Length of the envelope, from the first eight bytes of a frame."""
    if len(prefix) < _PREFIX.size:
        raise InvalidEnvelope("truncated frame")
    magic, length = _PREFIX.unpack_from(prefix)
    if magic != MAGIC:
        raise InvalidEnvelope("this is not a frame of this protocol")
    if length > MAX_ENVELOPE:
        raise TooLarge(f"envelope of {length} bytes", limit=MAX_ENVELOPE)
    return int(length)


def decode_envelope(data: bytes | memoryview) -> Envelope:
    """Read an envelope; its signature is not checked yet."""
    is_part = len(data) > 0 and data[0] == _PART
    envelope: Envelope = _decode(data, PartEnvelope if is_part else Envelope)
    if len(envelope.nonce) != 16 or len(envelope.sender) != 64:
        raise InvalidEnvelope("nonce or sender of the wrong length")
    return envelope


class Opening(NamedTuple):
    """What an envelope begins with. Nothing of it is verified."""

    sender: str
    recipient: str
    operation: str


def read_opening(data: bytes | memoryview) -> Opening | None:
    """The beginning of an envelope of which the first :data:`OPENING` bytes came; None if that is no envelope."""
    view = memoryview(data)
    at = {0xDC: 3, 0xDD: 5}.get(view[0], 1) if view else 0
    texts = []
    try:
        for _ in Opening._fields:
            kind = view[at]
            if 0xA0 <= kind <= 0xBF:
                start, size = at + 1, kind & 0x1F
            elif kind in (0xD9, 0xDA):
                start = at + 2 + (kind == 0xDA)
                size = int.from_bytes(view[at + 1 : start], "big")
            else:
                return None
            at = start + size
            if at > len(view):
                return None
            texts.append(bytes(view[start:at]).decode())
    except (IndexError, UnicodeDecodeError):
        return None
    return Opening(*texts)


def open_frame(frame: bytes | memoryview) -> tuple[Envelope, memoryview]:
    """Split a whole frame into envelope (unverified) and payload (a view, not a copy)."""
    view = memoryview(frame)
    end = _PREFIX.size + envelope_size(view)
    if len(view) < end:
        raise InvalidEnvelope("truncated frame")
    return decode_envelope(view[_PREFIX.size : end]), view[end:]
