"""The one pipe of a confidential worker: what it asks of the operator who runs it, and what it is told.

The worker has no other way out: no network, no files, no database. Everything it needs comes through the
operator, whom it does not trust, and everything that leaves it leaves here: questions, sealed requests to key
hosts, and one sealed output. So what is on this pipe may be read, kept back, changed and repeated by the
operator, and nothing that counts rests on it: statements are signed, grants and outputs are sealed end to end,
and blobs are held against digests.

A frame is its length (4 bytes, big-endian) and so many bytes of msgpack. The operator speaks first and unasked
once (:class:`RoundJob`); after that each of their frames answers a question, in the order in which these were
asked. The worker ends with :class:`Result` or :class:`GaveUp`. This is what AWS Nitro offers (a vsock); here
it is a connected socket, or standard input and output.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypeVar, get_args

import msgspec

from syft_ext.errors import BadRequest, TooLarge, Unavailable

__all__ = [
    "FAILURES",
    "MAX_BODY",
    "MAX_JOB",
    "MAX_READ",
    "Bytes",
    "Descriptors",
    "Failure",
    "FramePipe",
    "FromOperator",
    "FromWorker",
    "GaveUp",
    "Missing",
    "Operation",
    "OutputPart",
    "Quote",
    "Read",
    "Relay",
    "Result",
    "RoundJob",
    "Stream",
    "operator_pipe",
    "worker_pipe",
]

MAX_READ = (1 << 20) + 4096
"""Bytes of a blob that one :class:`Read` asks for at most: a chunk with what sealing adds to it."""
MAX_BODY = 32 << 20
"""Bytes of an ask to a key host (all hosts' statements, with what their owners deny), and of its reply."""
MAX_JOB = 128 << 20
"""Bytes of a job: the manifest says about a KiB of each upload, and an upload itself is read."""
_ROOM = 4096  # of a frame around its longest field

Operation: TypeAlias = Literal["challenge", "attest", "grant"]
"""What a worker asks of a key host: an operation of :mod:`syft_ext.messages.key_host` without its group. The
bodies are canonical encodings:

- ``challenge``: :class:`~syft_ext.confidential.asks.ChallengeAsk`, for a ``Challenge``.
- ``attest``: :class:`~syft_ext.confidential.asks.AttestAsk`, for a ``Signed[SessionStatement]``.
- ``grant``: :class:`~syft_ext.confidential.asks.GrantAsk`, for a ``Signed[Grant]``. It names the manifest by its
  digest; the operator sends it to the host beside the ask.
"""

Failure: TypeAlias = Literal[
    "protocol",
    "policy_refused",
    "round_keys_refused",
    "manifest_refused",
    "layout_refused",
    "no_evidence",
    "host_refused",
    "grants_refused",
    "blob_missing",
    "blob_changed",
    "unprotected",
    "internal",
]
"""All that a worker says when it gives up. None of them follows from what an upload holds:

- ``protocol``: the operator did not keep to the frames.
- ``policy_refused``, ``round_keys_refused``, ``manifest_refused``, ``layout_refused``: a public statement of the
  job that does not verify, or does not fit the others.
- ``no_evidence``: the platform gave none.
- ``host_refused``: a key host gave no answer, or none that verifies; the operator, who relays it, has seen it.
- ``grants_refused``: a grant that is for something else, or a key that is not the round's.
- ``blob_missing``, ``blob_changed``: the operator did not hand out the bytes that the manifest names.
- ``unprotected``: the machine would write the worker's memory to a disk.
- ``internal``: a fault of the worker.
"""
FAILURES: tuple[Failure, ...] = get_args(Failure)


class RoundJob(msgspec.Struct, tag="job", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Operator → worker, first: everything public about one round, as canonical statements.

    Attributes:
        policy: the signed :class:`~syft_ext.confidential.policy.ConfidentialPolicy`, by its owner.
        round_keys: the signed :class:`~syft_ext.confidential.rounds.RoundKey` of each host, in the policy's order.
        layout: the :class:`~syft_ext.confidential.rounds.ReportLayout`.
        manifest: the signed :class:`~syft_ext.confidential.manifest.Manifest`, by the Domain.
    """

    policy: bytes
    round_keys: list[bytes]
    layout: bytes
    manifest: bytes


class Bytes(msgspec.Struct, tag="bytes", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Operator → worker: the answer to a question. ``data`` is a view on the frame that it came in."""

    data: memoryview


class Missing(msgspec.Struct, tag="missing", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Operator → worker: there is no such thing, or the host did not answer. Why is the operator's to know."""


class Read(msgspec.Struct, tag="read", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Worker → operator: bytes of a sealed upload; :class:`Bytes` with exactly so many, or :class:`Missing`.

    Attributes:
        blob: BLAKE3 digest of the blob, 32 bytes, as in the manifest.
        offset: where to begin, in bytes.
        length: how many bytes, at most :data:`MAX_READ`; never beyond the length that the manifest names.
    """

    blob: bytes
    offset: int
    length: int


class Relay(msgspec.Struct, tag="relay", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Worker → operator: a request for a key host; the body of its reply as :class:`Bytes`, or :class:`Missing`.

    Attributes:
        host: the host's verify key, 32 bytes, as in the policy.
        operation: which of its operations.
        body: the request: see :data:`Operation`.
    """

    host: bytes
    operation: Operation
    body: bytes


class Quote(msgspec.Struct, tag="quote", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Worker → operator: evidence over ``binding``, where the operator is the platform: that is, simulated.

    A worker whose platform has a device or file of its own for that never asks.
    """

    binding: bytes


class OutputPart(msgspec.Struct, tag="output", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Worker → operator: the next bytes of the sealed output, at most :data:`MAX_READ`. They are not answered."""

    data: memoryview


class Result(msgspec.Struct, tag="result", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Worker → operator, last: the output is complete.

    Attributes:
        release: the signed :class:`~syft_ext.confidential.grants.ReleaseShares`, with which the hosts can be asked
            to open the sealed output.
    """

    release: bytes


class GaveUp(msgspec.Struct, tag="failed", array_like=True, forbid_unknown_fields=True, frozen=True):
    """Worker → operator, last: there is no output."""

    code: Failure


FromOperator: TypeAlias = RoundJob | Bytes | Missing
FromWorker: TypeAlias = Read | Relay | Quote | OutputPart | Result | GaveUp

_Sent = TypeVar("_Sent", bound=msgspec.Struct)
_Received = TypeVar("_Received", bound=msgspec.Struct)


class Stream(Protocol):
    """A connected socket, or what is used like one."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Bytes that came; 0 at the end."""

    def sendall(self, data: Any, /) -> None:
        """All of them, waiting while the other end is slow."""


class Descriptors:
    """Two file descriptors, of standard input and output say, as a :class:`Stream`."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write

    def recv_into(self, buffer: memoryview, /) -> int:
        return os.readv(self._read, [buffer])

    def sendall(self, data: Any, /) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._write, view) :]


class FramePipe(Generic[_Sent, _Received]):
    """One end of the pipe. Frames are small and few at a time: one thread uses it.

    Args:
        stream: what carries the bytes.
        receives: the frames that may come.
        longest: bytes that any of them may have, whatever its length says.
    """

    def __init__(self, stream: Stream, receives: Sequence[type[_Received]], longest: int) -> None:
        self._stream, self._longest = stream, longest
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_union(receives))
        self._encoder = msgspec.msgpack.Encoder()

    def send(self, frame: _Sent) -> None:
        """Raises :class:`Unavailable` when the other end has gone."""
        body = self._encoder.encode(frame)
        try:
            self._stream.sendall(struct.pack(">I", len(body)) + body)
        except OSError as error:
            raise Unavailable("the other end of the pipe has gone") from error

    def receive(self, longest: int | None = None) -> _Received | None:
        """The next frame; None where the other end closed the pipe between two frames.

        Args:
            longest: bytes that this frame may have; nothing is allocated for a longer one.

        Raises :class:`TooLarge` for a longer frame, :class:`BadRequest` for what is none of the frames that may
        come, and :class:`Unavailable` for a pipe that ends within one.
        """
        prefix = self._exactly(4, may_end=True)
        if prefix is None:
            return None
        (length,) = struct.unpack(">I", prefix)
        limit = self._longest if longest is None else min(longest, self._longest)
        if length > limit:
            raise TooLarge("a frame is longer than what may come now", limit=limit)
        body = self._exactly(length)
        try:
            frame: _Received = self._decoder.decode(body or b"")
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest("a frame cannot be read") from error
        return frame

    def _exactly(self, length: int, *, may_end: bool = False) -> bytearray | None:
        buffer = bytearray(length)
        view = memoryview(buffer)
        filled = 0
        while filled < length:
            try:
                count = self._stream.recv_into(view[filled:])
            except OSError as error:
                raise Unavailable("the other end of the pipe has gone") from error
            if not count:
                if may_end and not filled:
                    return None
                raise Unavailable("the pipe ended within a frame")
            filled += count
        return buffer


def operator_pipe(stream: Stream) -> FramePipe[FromOperator, FromWorker]:
    """The end of whoever runs the worker."""
    longest = max(MAX_READ, MAX_BODY) + _ROOM
    return FramePipe(stream, (Read, Relay, Quote, OutputPart, Result, GaveUp), longest)


def worker_pipe(stream: Stream) -> FramePipe[FromWorker, FromOperator]:
    """The worker's end."""
    return FramePipe(stream, (RoundJob, Bytes, Missing), MAX_JOB)


def _union(frames: Sequence[type[msgspec.Struct]]) -> Any:
    found: Any = frames[0]
    for frame in frames[1:]:
        found = found | frame
    return found
