"""Node and host process: typed messages over a unix stream socket, followed by bytes where there are any.

A frame is ``uint32 n``, ``uint64 m`` (little-endian), ``n`` bytes of msgpack, ``m`` bytes of bulk. Every request
has one reply, but for :class:`Piece`. Nothing is unpickled on either side.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Literal, TypeAlias

import msgspec

from syft_ext.errors import GridError
from syft_ext.messages.compute import Call, Drop, Failure, Put, RunPlan

__all__ = [
    "AdvanceMember",
    "Advanced",
    "Area",
    "Attach",
    "Begin",
    "BeginMember",
    "Bytes",
    "Done",
    "End",
    "Failed",
    "Header",
    "Inspect",
    "KeepPlan",
    "Loaded",
    "OpenMember",
    "Piece",
    "Prepare",
    "Prepared",
    "Ran",
    "Read",
    "Ready",
    "Refused",
    "Reply",
    "Request",
    "Run",
    "SessionState",
    "Sessions",
    "Source",
    "Stage",
    "Step",
    "TakeRows",
    "Types",
    "exactly",
    "read_header",
    "send",
]

MAX_BODY = 256 << 20
_HEADER = struct.Struct("<IQ")


class Source(msgspec.Struct, frozen=True, array_like=True):
    """An object that a session has loaded; ``roots``: what it was computed from, itself if from nothing."""

    object_id: str
    roots: list[str]


# -- steps: what runs --------------------------------------------------------------------------------------


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag="loaded"):
    """The staged content is the tensor ``out``, of the session's source number ``source``, which is ``object``;
    ``grants`` lost a use for it."""

    out: int
    dtype: str
    shape: list[int]
    source: int
    object: Source
    grants: list[str]


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """An action that the node refused: its results are poisoned."""

    outs: list[int]
    code: str
    detail: str


Step: TypeAlias = Loaded | Refused | Put | Call | RunPlan | Drop


# -- requests ----------------------------------------------------------------------------------------------


class Begin(msgspec.Struct, frozen=True, tag=True):
    """A new session, whose values may take ``memory`` bytes."""

    session_id: str
    user_id: str
    created_at: float
    memory: int


class Attach(msgspec.Struct, frozen=True, tag=True):
    """Which sessions are there? The node that asks has lost its memory."""


class End(msgspec.Struct, frozen=True, tag=True):
    """Drop a session with all its values."""

    session_id: str


Area: TypeAlias = Literal["payload", "content"]
"""What is staged: the payload of a batch, until it has run; a stored tensor or a plan, until it is taken."""


class Stage(msgspec.Struct, frozen=True, tag=True):
    """Make room for bytes that follow in pieces; 0 forgets what was staged there."""

    session_id: str
    area: Area
    size: int


class Piece(msgspec.Struct, frozen=True, tag=True):
    """The next of the staged bytes (they are the bulk). Is not answered."""

    session_id: str
    area: Area


class Run(msgspec.Struct, frozen=True, tag=True):
    """Run steps, the first of which has the number ``first``."""

    session_id: str
    first: int
    seconds: float
    steps: list[Step]


class KeepPlan(msgspec.Struct, frozen=True, tag=True):
    """Check the staged content as a plan and keep it."""

    session_id: str
    plan_id: str
    seconds: float


class Inspect(msgspec.Struct, frozen=True, tag=True):
    """dtype and shape of values."""

    session_id: str
    values: list[int]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Write values as a tensor file with these names; what failed is written as NaN or 0 if ``blank``, and what is
    encrypted as the bytes of its frame. ``stored``: one that is encrypted is the frame itself, as a store
    keeps it."""

    session_id: str
    values: list[int]
    names: list[str]
    blank: bool
    stored: bool = False


class Read(msgspec.Struct, frozen=True, tag=True):
    """Bytes of a prepared file. ``ticket`` is the session's; with ``last`` it is not needed any more."""

    session_id: str
    ticket: int
    start: int
    stop: int
    last: bool


class OpenMember(msgspec.Struct, frozen=True, tag=True):
    """Make the session a member of a computation on shares, with the staged content as its plan and the staged
    payload as its values; or of a split network, likewise; or of an intersection, with ids (msgpack) and the rows
    of each. ``terms``: msgpack. Answered by its public key as bulk."""

    session_id: str
    index: int
    terms: bytes
    seconds: float
    kind: Literal["shares", "intersection", "split"] = "shares"


class BeginMember(msgspec.Struct, frozen=True, tag=True):
    """The keys of all members, and the transcript of the run."""

    session_id: str
    keys: list[bytes]
    transcript: bytes


class AdvanceMember(msgspec.Struct, frozen=True, tag=True):
    """Take the staged payload as frames, go on, and answer with the frames that follow: no more bytes than
    ``most``."""

    session_id: str
    seconds: float
    most: int


class TakeRows(msgspec.Struct, frozen=True, tag=True):
    """Answer with what a finished member keeps, a tensor file, as bulk: of an intersection the rows of common ids,
    of a split network its parameters or predictions (no bytes for none)."""

    session_id: str


Request: TypeAlias = (
    Begin
    | Attach
    | End
    | Stage
    | Piece
    | Run
    | KeepPlan
    | Inspect
    | Prepare
    | Read
    | OpenMember
    | BeginMember
    | AdvanceMember
    | TakeRows
)


# -- replies -----------------------------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Once, to everybody who connects: warm, and confined by these means; all values may take ``memory``.
    ``missing``: which means this machine lacks, and why; only for development anything goes on without them."""

    protections: list[str]
    memory: int
    missing: dict[str, str] = {}


class Done(msgspec.Struct, frozen=True, tag=True):
    """It was done, and there is nothing to say of it."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request was refused; nothing has changed."""

    code: str
    detail: str


class Ran(msgspec.Struct, frozen=True, tag=True):
    """``done`` actions of the session have run; it holds ``values`` in ``memory`` bytes now."""

    done: int
    failures: list[Failure]
    values: int
    memory: int


class Types(msgspec.Struct, frozen=True, tag=True):
    """dtype (as plans write it) and shape of each value that was asked for, in that order."""

    types: list[tuple[str, list[int]]]


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """A tensor file of ``size`` bytes with this BLAKE3 ``digest``: the bulk if it is small, else read it by
    ``ticket``. ``failure``: that an operand's values made an operation fail: as confidential as they. ``kind``:
    of the object that it is, where that is no tensor file."""

    size: int
    digest: str
    ticket: int
    failure: str
    kind: str = ""


class Bytes(msgspec.Struct, frozen=True, tag=True):
    """They are the bulk."""


class Advanced(msgspec.Struct, frozen=True, tag=True):
    """The frames are the bulk; ``finished``: the member has nothing more to say."""

    finished: bool


class SessionState(msgspec.Struct, frozen=True):
    """All that the node needs to go on with a session; ``labels`` are the sources of each value as bits."""

    session_id: str
    user_id: str
    created_at: float
    limit: int
    done: int
    values: int
    memory: int
    last: int
    sources: list[Source]
    grants: list[str]
    labels: list[tuple[int, bytes]]
    failures: list[Failure]
    plans: dict[str, list[str]]


class Sessions(msgspec.Struct, frozen=True, tag=True):
    """The answer to :class:`Attach`."""

    sessions: list[SessionState]


Reply: TypeAlias = Ready | Done | Failed | Ran | Types | Prepared | Bytes | Sessions | Advanced

REQUESTS: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


class Header(msgspec.Struct, frozen=True):
    """What comes next on the stream, in bytes: the message, and the bulk after it."""

    body: int
    bulk: int


def send(channel: socket.socket, message: Any, bulk: list[memoryview] | None = None) -> None:
    """Write one frame; OSError if the other side is gone."""
    body = msgspec.msgpack.encode(message)
    bulk = bulk or []
    head = _HEADER.pack(len(body), sum(piece.nbytes for piece in bulk)) + body
    channel.sendall(head)
    for piece in bulk:
        channel.sendall(piece)


def read_header(channel: socket.socket) -> Header | None:
    """The sizes of the next frame; None at the end of the stream."""
    raw = bytearray(_HEADER.size)
    if not exactly(channel, memoryview(raw)):
        return None
    body, bulk = _HEADER.unpack(raw)
    if body > MAX_BODY:
        raise GridError("an impossible message")
    return Header(body, bulk)


def exactly(channel: socket.socket, view: memoryview) -> bool:
    """Fill ``view``; False if the stream ended first."""
    while view:
        count = channel.recv_into(view)
        if not count:
            return False
        view = view[count:]
    return True
