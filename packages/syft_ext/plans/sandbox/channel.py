"""Parent and sandboxed child: small typed messages over a socket, tensors in shared memory, no pickle anywhere.

A message is a 4-byte little-endian length and msgpack. The memory is a sealed memfd that neither side can
shrink (a shrunken map would kill the reader); the parent decides every offset in it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import GridError, InvalidPlan
from syft_ext.plans.graph.itemsizes import ITEMSIZES

if TYPE_CHECKING:
    import torch

__all__ = [
    "Arena",
    "Done",
    "Failed",
    "LoadPlan",
    "Price",
    "Priced",
    "Ready",
    "Run",
    "RunStep",
    "Slot",
    "layout",
    "receive",
    "send",
]

_ALIGNMENT = 64
_MAX_MESSAGE = 80 << 20
_ONE_PIECE = 64 << 10
_VIEWS = 1024


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """Where a tensor lies in the arena."""

    dtype: str
    shape: list[int]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes that the tensor takes, without what aligns the next."""
        count = ITEMSIZES[self.dtype]
        for size in self.shape:
            count *= size
        return count


class LoadPlan(msgspec.Struct, frozen=True, tag=True):
    """Parent to child: keep this plan under ``key``; with ``prove``, only if cost and self-test are right."""

    key: str
    plan: bytes
    limits: dict[str, int]
    prove: bool = False


class RunStep(msgspec.Struct, frozen=True, array_like=True):
    """One run: on ``inputs``, with the results at ``outputs``, where they may be the inputs of the next.

    A number among the inputs is that result of the step before, which is still with the child. None among the
    outputs: nobody out here asks for it.
    """

    inputs: list[Slot | int]
    outputs: list[Slot | None]


class Run(msgspec.Struct, frozen=True, tag=True):
    """Parent to child: run the plan loaded under ``key``, once for each of ``steps``."""

    key: str
    arena_bytes: int
    steps: list[RunStep]
    cpu_seconds: float


class Price(msgspec.Struct, frozen=True, tag=True):
    """Parent to child: what would one run of this plan cost, at these sizes?"""

    plan: bytes
    limits: dict[str, int]
    sizes: dict[str, int]


class Priced(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the fields of :class:`syft_ext.plans.graph.limits.Cost`."""

    cost: dict[str, int]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Child to parent, once: warm, and confined by these means; why the others are missing (nothing else
    than ``permissive`` goes on without)."""

    protections: list[str]
    missing: dict[str, str]


class Done(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the plan is loaded, or the results lie in the arena."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the error, without a traceback. ``code`` where it is no :class:`InvalidPlan`."""

    detail: str
    extra: dict[str, str | int | float | bool | None]
    code: str = ""


Message: TypeAlias = LoadPlan | Run | Price | Ready | Done | Priced | Failed
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def send(channel: socket.socket, message: Message) -> None:
    """Write one message; OSError if the other side is gone."""
    body = msgspec.msgpack.encode(message)
    channel.sendall(struct.pack("<I", len(body)) + body)


def receive(channel: socket.socket) -> Message | None:
    """Read one message; None at the end of the stream; TimeoutError after the socket's timeout."""
    data = channel.recv(_ONE_PIECE)
    while 0 < len(data) < 4:
        piece = channel.recv(4 - len(data))
        if not piece:
            return None
        data += piece
    if not data:
        return None
    (length,) = struct.unpack_from("<I", data)
    if length > _MAX_MESSAGE or len(data) - 4 > length:  # the two sides take turns: nothing follows a message
        raise InvalidPlan("the sandbox sent an impossible message")
    if len(data) - 4 < length:
        buffer = bytearray(data)
        while len(buffer) - 4 < length:
            piece = channel.recv(min(length + 4 - len(buffer), 1 << 20))
            if not piece:
                return None
            buffer += piece
        data = bytes(buffer)
    body = memoryview(data)[4:]
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidPlan("the sandbox sent an unreadable message") from error


def layout(tensors: Iterable[tuple[str, Sequence[int]]], start: int = 0) -> tuple[list[Slot], int]:
    """Slots for tensors of the given (dtype, shape), and the first free offset behind them."""
    slots = []
    for dtype, shape in tensors:
        slot = Slot(dtype, list(shape), start)
        slots.append(slot)
        start += -(-slot.nbytes // _ALIGNMENT) * _ALIGNMENT
    return slots, start


class Arena:
    """Shared memory that grows. ``fd`` is inherited by the child, which maps the size it is told."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = 0
        self._bytes: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._views: dict[tuple[str, int, tuple[int, ...]], torch.Tensor] = {}

    @classmethod
    def create(cls) -> Arena:
        """A new one, sealed against shrinking: else a child could crash its parent."""
        fd = os.memfd_create("plan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        return cls(fd)

    def grow(self, size: int) -> None:
        """The owner makes room for at least ``size`` bytes."""
        if size > self.size:
            size = -(-max(size, 2 * self.size, 1 << 20) // mmap.PAGESIZE) * mmap.PAGESIZE
            os.ftruncate(self.fd, size)
            self.map(size)

    def map(self, size: int) -> None:
        """See the first ``size`` bytes; the file must be that long."""
        if size > self.size:
            self._bytes = np.frombuffer(mmap.mmap(self.fd, size), np.uint8)
            self._views.clear()
            self.size = size

    def raw(self, slot: Slot) -> NDArray[np.uint8]:
        """The bytes at ``slot``, as a flat view on the shared memory."""
        if slot.dtype not in ITEMSIZES or slot.offset < 0 or slot.offset + slot.nbytes > self.size:
            raise GridError("a slot lies outside the shared memory")
        return self._bytes[slot.offset : slot.offset + slot.nbytes]

    def view(self, slot: Slot) -> torch.Tensor:
        """The tensor at ``slot``, as a view on the shared memory; the same for the same slot, since to make one
        takes as long as to copy a small tensor."""
        key = (slot.dtype, slot.offset, tuple(slot.shape))
        found = self._views.get(key)
        if found is None:
            import torch

            from syft_ext.plans.graph.dtypes import DTYPES

            found = torch.from_numpy(self.raw(slot)).view(DTYPES[slot.dtype]).view(slot.shape)
            if len(self._views) >= _VIEWS:
                self._views.clear()
            self._views[key] = found
        return found

    def write(self, slot: Slot, tensor: torch.Tensor) -> None:
        """Copy the tensor to its slot; raises GridError for a slot that lies outside."""
        self.view(slot).copy_(tensor)

    def close(self) -> None:
        """Close the file; views keep the memory alive."""
        self._bytes = np.empty(0, np.uint8)
        self._views.clear()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
