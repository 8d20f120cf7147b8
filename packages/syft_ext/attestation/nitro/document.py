"""The attestation document: a COSE_Sign1 whose payload is a map of registers, chain and what the enclave said.

Sizes and names are those of AWS' "Nitro Enclaves attestation process"; anything else in it is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import msgspec

from syft_ext.attestation import cbor
from syft_ext.attestation.cose import ES384, Sign1, read_sign1
from syft_ext.attestation.evidence import Reason, refused

__all__ = ["REGISTER_SIZE", "NitroDocument", "read_document"]

REGISTER_SIZE = 48
"""Bytes of a register: SHA-384, the only digest that hypervisors use."""

_REGISTERS = range(32)
_MAX_CERTIFICATE, _MAX_FIELD, _MAX_BUNDLE = 1024, 1024, 7
_REQUIRED = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
_OPTIONAL = frozenset({"public_key", "user_data", "nonce"})
_LAST_MOMENT = 253_402_300_799_999
"""The end of the year 9999, in milliseconds of the epoch."""


class NitroDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was read; nothing of it is to be believed before its signature has been verified.

    Attributes:
        module: id of instance and enclave.
        time: when it was made.
        registers: PCRs by index, 48 bytes each.
        chain: DER certificates, root first, the one that signed last.
        public_key, user_data, nonce: what the enclave asked to be signed along; None: nothing.
    """

    signed: Sign1
    module: str
    time: datetime
    registers: dict[int, bytes]
    chain: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None

    def register(self, index: int) -> bytes:
        """A register; one that is not listed was not measured, and is zero."""
        return self.registers.get(index, bytes(REGISTER_SIZE))


def read_document(data: bytes) -> NitroDocument:
    """The document that these bytes are.

    Raises:
        EvidenceRefused: ``malformed``, ``unsupported`` (another algorithm or digest).
    """
    signed = read_sign1(data)
    if signed.headers != {1: ES384}:
        raise refused(Reason.UNSUPPORTED, "a document that is not signed by ES384")
    if signed.unprotected:
        raise refused(Reason.MALFORMED, "a document with headers that nobody signed")
    payload = cbor.decode(signed.payload)
    if not isinstance(payload, dict) or not _REQUIRED <= payload.keys() <= _REQUIRED | _OPTIONAL:
        raise refused(Reason.MALFORMED, "a document has other fields")
    if payload["digest"] != "SHA384":
        raise refused(Reason.UNSUPPORTED, "a document whose registers are not SHA-384")
    module, timestamp = payload["module_id"], payload["timestamp"]
    if not isinstance(module, str) or not 1 <= len(module) <= _MAX_FIELD:
        raise refused(Reason.MALFORMED, "a document's module id is text")
    if isinstance(timestamp, bool) or not isinstance(timestamp, int) or not 0 < timestamp <= _LAST_MOMENT:
        raise refused(Reason.MALFORMED, "a document's timestamp is milliseconds of the epoch")
    bundle = payload["cabundle"]
    if not isinstance(bundle, list) or not 1 <= len(bundle) <= _MAX_BUNDLE:
        raise refused(Reason.MALFORMED, f"a document's cabundle has 1 to {_MAX_BUNDLE} certificates")
    return NitroDocument(
        signed=signed,
        module=module,
        time=datetime.fromtimestamp(timestamp // 1000, UTC).replace(microsecond=timestamp % 1000 * 1000),
        registers=_registers(payload["pcrs"]),
        chain=tuple(_certificate(one) for one in [*bundle, payload["certificate"]]),
        public_key=_field(payload.get("public_key"), least=1),
        user_data=_field(payload.get("user_data")),
        nonce=_field(payload.get("nonce")),
    )


def _registers(listed: cbor.Value) -> dict[int, bytes]:
    if not isinstance(listed, dict) or not listed:
        raise refused(Reason.MALFORMED, "a document's registers are a map")
    for index, value in listed.items():
        if index not in _REGISTERS or not isinstance(value, bytes) or len(value) != REGISTER_SIZE:
            raise refused(Reason.MALFORMED, f"registers are 0 to 31, of {REGISTER_SIZE} bytes each")
    return cast(dict[int, bytes], listed)


def _certificate(value: cbor.Value) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= _MAX_CERTIFICATE:
        raise refused(Reason.MALFORMED, f"certificates of a document have 1 to {_MAX_CERTIFICATE} bytes")
    return value


def _field(value: cbor.Value, least: int = 0) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, bytes) or not least <= len(value) <= _MAX_FIELD:
        raise refused(
            Reason.MALFORMED, f"what an enclave adds to a document has {least} to {_MAX_FIELD} bytes"
        )
    return value
