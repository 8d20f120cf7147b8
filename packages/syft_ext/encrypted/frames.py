"""Encrypted values and public contexts as bytes: our own frames around what the library writes.

==================  =======================================================================================
a value             ``GRIDHE\\x01v`` · u32 length · the form, in msgpack · for each ciphertext a place of one
                    size: u32 length, its bytes, zeros
a public context    ``GRIDHE\\x01c`` · u32 length · the name of its parameters, in msgpack · TenSEAL's message
==================  =======================================================================================

Numbers are little-endian. Sizes follow from forms alone, so that they tell nothing, and are known beforehand. Of
TenSEAL's message (protobuf), only what a public context has may be there: a secret key is refused wherever
one is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

import msgspec
from blake3 import blake3

from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.parameters import ParameterSet, parameters_of
from syft_ext.encrypted.wire import fields
from syft_ext.errors import BadRequest, TooLarge

__all__ = [
    "CONTEXT_KIND",
    "KEYS_MAGIC",
    "KINDS",
    "LONGEST_HEAD",
    "check_frame",
    "ciphertexts",
    "context_frame",
    "digest_of_context",
    "frame",
    "read_ciphertexts",
    "read_context",
    "read_form",
    "refuse_secret_keys",
]

CONTEXT_KIND = "he.context"
KINDS = frozenset({CONTEXT_KIND, "he.ckks", "he.bfv"})
"""Kinds of objects: a public context, and values of either scheme."""

_VALUE, _CONTEXT = b"GRIDHE\x01v", b"GRIDHE\x01c"
KEYS_MAGIC = b"GRIDHE\x01k"
"""What :meth:`syft_ext.encrypted.context.EncryptionKeys.save` writes first."""
_LENGTH = struct.Struct("<I")
_LONGEST_HEADER = 1024
LONGEST_HEAD = len(_VALUE) + _LENGTH.size + _LONGEST_HEADER
"""So many bytes of a frame hold its form."""
_FIRST = b"\x0a"
"""TenSEAL's message begins with a field 1 that has a length."""
#: Fields of TenSEAL's ``TenSEALContextProto``, and of the public part in it: number → wire type.
_PARAMETERS, _PUBLIC, _SECRET = 1, 2, 3
_PUBLIC_KEY, _FLAGS, _SCALE, _RELINEARISATION, _GALOIS = 1, 2, 3, 4, 5
_INNER = {_PUBLIC_KEY: 2, _FLAGS: 0, _SCALE: 1, _RELINEARISATION: 2, _GALOIS: 2}


# -- values ---------------------------------------------------------------------------------------------


def frame(form: Form, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a value, a piece for its head and one for each ciphertext. Raises :class:`TooLarge` for a
    ciphertext that is longer than any of its parameters."""
    header = msgspec.msgpack.encode(form)
    yield _VALUE + _LENGTH.pack(len(header)) + header
    room = form.set.ciphertext_bytes(form.depth)
    for piece in pieces:
        if len(piece) > room:
            raise TooLarge("a ciphertext is longer than its parameters allow", limit=room)
        yield _LENGTH.pack(len(piece)) + piece.ljust(room, b"\0")


def read_form(content: bytes | bytearray | memoryview, size: int) -> tuple[Form, int]:
    """The form of a value whose frame has ``size`` bytes and begins like this, and where its ciphertexts begin.

    Raises :class:`BadRequest` for what is no such frame, and what :meth:`Form.check` does.
    """
    header, offset = _head(content, _VALUE, "an encrypted value")
    try:
        form = msgspec.msgpack.decode(header, type=Form).check()
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRequest(f"the form of an encrypted value cannot be read: {str(error)[:120]}") from error
    if size != offset + form.nbytes:
        raise BadRequest(f"an encrypted value of {size} bytes, its form says {offset + form.nbytes}")
    return form, offset


def ciphertexts(form: Form, content: memoryview) -> Iterator[bytes]:
    """The ciphertexts of a value, from what follows its head. Raises :class:`BadRequest` for a place that says
    more than it holds, or holds something behind what it says."""
    return read_ciphertexts(form, lambda start, stop: content[start:stop])


def read_ciphertexts(form: Form, read: Callable[[int, int], bytes | memoryview]) -> Iterator[bytes]:
    """As :func:`ciphertexts`, one place after the other from where the value is kept: ``read`` gives the bytes
    from an offset behind its head to another."""
    room = form.set.ciphertext_bytes(form.depth)
    for index in range(form.ciphertexts):
        start = index * (room + _LENGTH.size)
        place = read(start, start + room + _LENGTH.size)
        (length,) = _LENGTH.unpack_from(place)
        tail = bytes(place[_LENGTH.size + length :])
        if length > room or tail.count(0) != len(tail):
            raise BadRequest(f"ciphertext {index} is not as long as it says")
        yield bytes(place[_LENGTH.size : _LENGTH.size + length])


# -- public contexts ------------------------------------------------------------------------------------


def context_frame(name: str, message: bytes) -> bytes:
    """A public context as bytes. Raises as :func:`read_context`."""
    header = msgspec.msgpack.encode(name)
    framed = _CONTEXT + _LENGTH.pack(len(header)) + header + message
    read_context(framed)
    return framed


def read_context(content: bytes | bytearray | memoryview) -> tuple[ParameterSet, memoryview]:
    """The parameters of a public context, and TenSEAL's message. Raises :class:`BadRequest` for anything
    in it that a public context has not, above all a secret key; nothing is handed to the library."""
    header, offset = _head(content, _CONTEXT, "a public context")
    try:
        found = parameters_of(msgspec.msgpack.decode(header, type=str))
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRequest("the parameters of a context cannot be read") from error
    if len(content) > found.largest_context:
        raise TooLarge(f"a context of {found.name} with {len(content)} bytes", limit=found.largest_context)
    message = memoryview(content)[offset:]
    outer = _fields(message)
    if _SECRET in outer:
        raise BadRequest("a context with a secret key in it: whoever has that reads everything; send .public")
    if set(outer) != {_PARAMETERS, _PUBLIC}:
        raise BadRequest("a context that holds other things than a public one")
    inner = _fields(_bytes(outer, _PUBLIC))
    wanted = {_PUBLIC_KEY, _FLAGS, _SCALE}
    wanted |= {_RELINEARISATION} if found.depth else set()
    wanted |= {_GALOIS} if found.rotates else set()
    if set(inner) != wanted or any(kind != _INNER[number] for number, (kind, _) in inner.items()):
        raise BadRequest(f"a public context of {found.name} has other keys")
    return found, message


def digest_of_context(content: bytes | bytearray | memoryview) -> str:
    """What names a context: the BLAKE3 digest of its frame (hex)."""
    return blake3(content).hexdigest()


def check_frame(kind: str, content: memoryview) -> None:
    """Raise :class:`BadRequest` unless ``content`` is of this one of :data:`KINDS`."""
    if kind == CONTEXT_KIND:
        read_context(content)
        return
    form, offset = read_form(content[:LONGEST_HEAD], len(content))
    if form.kind != kind:
        raise BadRequest(f"the content is of kind {form.kind}, not {kind}")
    for _ in ciphertexts(form, content[offset:]):
        pass


def refuse_secret_keys(content: bytes | bytearray | memoryview) -> None:
    """Raise :class:`BadRequest` for what holds a secret key of encrypted computing: of a store for bytes of any
    kind, and of what is handed on as it is. It knows a saved pair of keys, a context of ours, and TenSEAL's own
    message; whoever wants to can write a key so that nobody knows it."""
    head = bytes(content[: len(KEYS_MAGIC)])
    if head == KEYS_MAGIC:
        raise BadRequest("saved keys with the secret one among them: they are kept where they were made")
    if head == _CONTEXT:
        read_context(content)
    if not head.startswith(_FIRST):
        return
    try:
        found = {(number, kind) for number, kind, _ in fields(memoryview(content))}
    except BadRequest:
        return
    if found in ({(_PARAMETERS, 2), (_SECRET, 2)}, {(_PARAMETERS, 2), (_PUBLIC, 2), (_SECRET, 2)}):
        raise BadRequest("a context of TenSEAL with its secret key: whoever has that reads everything")


def _head(content: bytes | bytearray | memoryview, magic: bytes, what: str) -> tuple[bytes, int]:
    head = bytes(content[:LONGEST_HEAD])
    start = len(magic) + _LENGTH.size
    if not head.startswith(magic) or len(head) < start:
        raise BadRequest(f"this is not {what}")
    (length,) = _LENGTH.unpack_from(head, len(magic))
    if length > min(_LONGEST_HEADER, len(head) - start):
        raise BadRequest(f"this is not {what}: its head is cut off")
    return head[start : start + length], start + length


def _bytes(fields: dict[int, tuple[int, memoryview]], number: int) -> memoryview:
    kind, value = fields[number]
    if kind != 2:
        raise BadRequest("a context that cannot be read")
    return value


def _fields(message: memoryview) -> dict[int, tuple[int, memoryview]]:
    """The fields of a message: number → wire type and bytes. One that comes twice is refused: readers differ in
    which of the two they take."""
    found = {number: (kind, data) for number, kind, data in fields(message)}
    if len(found) != len(fields(message)):
        raise BadRequest("a context that says a thing twice")
    return found
