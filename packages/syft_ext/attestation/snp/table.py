"""The table of certificates that a host hands a guest with its report (GHCB specification,
SNP_EXTENDED_GUEST_REQUEST; ``auxblob`` of Linux): entries of a UUID, an offset and a size, an entry of zeros,
and the certificates."""

from __future__ import annotations

from collections.abc import Iterable

from syft_ext.attestation.evidence import Companion

__all__ = ["read_table", "unpacked"]

_ENTRY = 16 + 4 + 4
_MAX_ENTRIES = 16


def read_table(content: bytes) -> list[bytes] | None:
    """What the table holds, whatever its UUIDs say it is; ``None``: it is no table. Behind it may be zeros."""
    found, at, last = list[bytes](), 0, 0
    while any(entry := content[at : at + _ENTRY]):
        at += _ENTRY
        offset, size = int.from_bytes(entry[16:20], "little"), int.from_bytes(entry[20:], "little")
        # Every certificate lies behind the entry of zeros, which is yet to come.
        if len(found) == _MAX_ENTRIES or size == 0 or offset < at + _ENTRY or offset + size > len(content):
            return None
        found.append(content[offset : offset + size])
        last = max(last, offset + size)
    if not found or len(entry) < _ENTRY or any(content[last:]):
        return None
    return found


def unpacked(beside: Iterable[Companion]) -> list[Companion]:
    """The same, with what tables hold in place of them."""
    found = list[Companion]()
    for one in beside:
        held = read_table(one.content)
        found += [one] if held is None else [Companion(one.name, part) for part in held]
    return found
