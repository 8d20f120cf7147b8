"""Changes to evidence and to what lies beside it: of bytes anywhere, and of what they mean.

Each is a function of a source of chance and of bytes; what it gives back may happen to be what it was given.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

from syft_ext.attestation import cbor
from syft_ext.attestation.cose import read_sign1
from syft_ext.attestation.texts import base64url, base64url_encoded
from syft_ext.errors import EvidenceRefused

__all__ = ["mutated"]

_EDGES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
_ALGORITHMS = ("none", "HS256", "RS512", "PS256", "ES256", "EdDSA", "", None)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

Mutation = Callable[[Random, bytes, Sequence[bytes]], bytes]


def mutated(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """``data`` with one to three changes; ``others`` are pieces that parts can be taken from."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        meaningful = _meaningful(data)
        pool = meaningful if meaningful and chance.random() < 0.5 else _BYTES
        data = chance.choice(pool)(chance, data, others)
    return data


def _meaningful(data: bytes) -> Sequence[Mutation]:
    """The changes that know what these bytes are."""
    if data[:1] in (b"\x84", b"\xd2"):
        return (_in_sign1,)
    if data[:2] == b"ey" and data.count(b".") == 2:
        return (_in_token, _token_header, _token_claim, _token_spelling)
    if data[:1] == b"{":
        return (_in_json,)
    if b"-----BEGIN CERTIFICATE-----" in data:
        return (_in_pem,)
    return ()


# --- bytes


def _flip(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    changed[chance.randrange(len(data))] = chance.choice(_EDGES)
    return bytes(changed)


def _number(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A number of two, four or eight bytes somewhere: lengths and counts among them."""
    width = chance.choice((2, 4, 8))
    if len(data) < width:
        return data
    place = chance.randrange(len(data) - width + 1)
    order: Literal["little", "big"] = "little" if chance.random() < 0.5 else "big"
    old = int.from_bytes(data[place : place + width], order)
    new = chance.choice((0, old + 1, old - 1, old * 2, (1 << 8 * width) - 1, 1 << 8 * width - 1, len(data)))
    return data[:place] + (new & ((1 << 8 * width) - 1)).to_bytes(width, order) + data[place + width :]


def _insert(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.choice((1, 1, 2, 4, 64))) + data[place:]


def _delete(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + data[place + chance.choice((1, 1, 2, 4, 64)) :]


def _truncate(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _extend(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data + chance.choice((b"\0", b"\n", b"=", chance.randbytes(chance.randrange(1, 100))))


def _zero(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = chance.randrange(len(data) + 1)
    size = min(chance.choice((2, 32, 48, 64)), len(data) - place)
    return data[:place] + bytes(size) + data[place + size :]


def _move(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """A part repeated elsewhere."""
    start, place = (chance.randrange(len(data) + 1) for _ in range(2))
    part = data[start : start + chance.choice((1, 16, 48, 500))]
    return data[:place] + part + data[place + chance.choice((0, len(part))) :]


def _splice(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A part of another piece at the same place."""
    other = chance.choice(others)
    place = chance.randrange(len(data) + 1)
    size = chance.choice((1, 48, 500, len(other)))
    return data[:place] + other[place : place + size] + data[place + size :]


_BYTES: Sequence[Mutation] = (
    _flip,
    _flip,
    _flip,
    _set,
    _number,
    _insert,
    _delete,
    _truncate,
    _extend,
    _zero,
    _move,
    _splice,
)

# --- meanings


def _in_sign1(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A COSE_Sign1 written again: with another header, payload or signature."""
    try:
        signed = read_sign1(data)
        payload = cbor.decode(signed.payload)
    except EvidenceRefused:
        return data
    part = chance.randrange(4)
    headers, protected, content, signature = (
        signed.unprotected,
        signed.protected,
        signed.payload,
        signed.signature,
    )
    if part == 0 and isinstance(payload, dict):
        content = cbor.encode(_changed(chance, payload, others))
    elif part == 1:
        content = _flip(chance, content, others)
    elif part == 2:
        protected = cbor.encode({1: chance.choice((-7, -35, -36, -37, 5, 0))})
    else:
        signature = chance.choice(
            (signature[::-1], signature[:-1], bytes(96), signature[48:] + signature[:48])
        )
    return chance.choice((b"", b"\xd2")) + cbor.encode([protected, headers, content, signature])


def _changed(chance: Random, value: Any, others: Sequence[bytes]) -> Any:
    """A value of CBOR or JSON with one thing in it changed."""
    if isinstance(value, dict) and value:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {key: one for key, one in value.items() if key != name}
        return value | {name: _changed(chance, value[name], others)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value[::-1]
        return [*value[:place], _changed(chance, value[place], others), *value[place + 1 :]]
    if isinstance(value, bytes) and chance.random() < 0.8:
        return chance.choice(_BYTES)(chance, value, others)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int) and chance.random() < 0.8:
        return chance.choice((value + 1, value - 1, 0, -1, 2**40, 2**63))
    if isinstance(value, str) and chance.random() < 0.8:
        return chance.choice((value + "x", value[:-1], value.swapcase(), "", "UpToDate", "disabled"))
    return chance.choice((None, True, False, 0, "", [], {}, value))


def _parts(data: bytes) -> list[bytes]:
    try:
        return [base64url(part) for part in data.split(b".")]
    except EvidenceRefused:
        return []


def _joined(parts: Sequence[bytes]) -> bytes:
    return b".".join(map(base64url_encoded, parts))


def _in_token(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A part of a token, changed where it is not base64."""
    parts = _parts(data)
    if len(parts) != 3:
        return data
    place = chance.randrange(3)
    parts[place] = chance.choice(_BYTES)(chance, parts[place], others)
    return _joined(parts)


def _token_header(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another algorithm, key or chain."""
    return _token_json(chance, data, 0, lambda header: header | _header_field(chance, header, others))


def _header_field(chance: Random, header: dict[str, Any], others: Sequence[bytes]) -> dict[str, Any]:
    return chance.choice(
        (
            {"alg": chance.choice(_ALGORITHMS)},
            {"jku": "https://attacker.example/certs"},
            {"crit": ["exp"]},
            {"kid": chance.choice(("", "0", None, "issuer", "../key"))},
            {"x5c": _changed(chance, header.get("x5c", []), others)},
            {"typ": chance.choice(("jwt", "at+jwt", None))},
        )
    )


def _token_claim(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return _token_json(chance, data, 1, lambda claims: _changed(chance, claims, others))


def _token_json(chance: Random, data: bytes, place: int, change: Callable[[dict[str, Any]], Any]) -> bytes:
    parts = _parts(data)
    try:
        value = json.loads(parts[place])
    except (IndexError, ValueError, RecursionError):
        return data
    if not isinstance(value, dict):
        return data
    parts[place] = json.dumps(change(value), separators=chance.choice(((",", ":"), (", ", ": ")))).encode()
    return _joined(parts)


def _token_spelling(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """The same in other characters, where a lenient reader sees no difference."""
    header, payload, signature = data.split(b".")
    last = signature[-1:]
    return chance.choice(
        (
            data + b"=",
            data + b"==",
            data.replace(b"-", b"+").replace(b"_", b"/"),
            b".".join((header, payload, signature[:-1] + chance.choice((b"A", b"Q", b"g", b"w", last)))),
            b".".join((header + b"\n", payload, signature)),
            b".".join((header, payload + b"=", signature)),
            b".".join((header, payload, b"")),
        )
    )


def _in_json(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    return json.dumps(_changed(chance, value, others)).encode()


def _in_pem(chance: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One certificate of a PEM file changed in its DER."""
    found = list(_PEM.finditer(data))
    if not found:
        return data
    block = chance.choice(found)
    try:
        der = base64.b64decode(block.group(1))
    except ValueError:
        return data
    text = base64.encodebytes(chance.choice(_BYTES)(chance, der, others))
    return data[: block.start(1)] + b"\n" + text + data[block.end(1) :]
