"""A guest like Azure's: a paravisor on hardware of :mod:`tests.attestation.makers.amd`, and its virtual TPM."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from syft_ext.attestation.evidence import Companion, Evidence
from tests.attestation.makers.amd import House, Report

__all__ = ["Guest"]


@cache
def _key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


@dataclass(frozen=True)
class Guest:
    """What is in the evidence, as it must be. ``stated_key`` is whose key the runtime document has,
    ``signing_key`` who signs; ``commits`` is what the hardware commits to, if not to the document."""

    house: House = field(default_factory=House)
    report: Report = field(default_factory=Report)
    nonce: bytes = b"nonce"
    registers: tuple[bytes, ...] = tuple(bytes([index]) * 32 for index in range(24))
    quoted: tuple[int, ...] = (0, 4, 11)
    bank: int = 0x000B
    magic: bytes = bytes.fromhex("ff5443478018")
    stated_key: str = "vtpm"
    signing_key: str = "vtpm"
    commits: bytes | None = None
    kind: int = 2

    def runtime(self) -> bytes:
        """The paravisor's document."""
        numbers = _key(self.stated_key).public_key().public_numbers()
        key = {"kid": "HCLAkPub", "kty": "RSA", "e": _number(numbers.e), "n": _number(numbers.n)}
        return json.dumps({"keys": [key], "vm-configuration": {"secure-boot": True}}).encode()

    def hcl(self) -> bytes:
        """The paravisor's report."""
        document = self.runtime()
        commits = hashlib.sha256(document).digest() + bytes(32) if self.commits is None else self.commits
        hardware = replace(self.report, report_data=commits).signed()
        runtime = struct.pack("<IIIII", 20 + len(document), 1, self.kind, 1, len(document)) + document
        whole = 32 + len(hardware) + len(runtime)
        return b"HCLA" + struct.pack("<III", 1, whole, 2) + bytes(16) + hardware + runtime + bytes(100)

    def message(self) -> bytes:
        """The virtual TPM's quote."""
        chosen = sum(1 << index for index in self.quoted).to_bytes(3, "little")
        digest = hashlib.sha256(b"".join(self.registers[index] for index in self.quoted)).digest()
        selection = struct.pack(">IHB", 1, self.bank, 3) + chosen
        return self.magic + _sized(b"signer") + _sized(self.nonce) + bytes(25) + selection + _sized(digest)

    def signature(self) -> bytes:
        """Of the quote."""
        return _key(self.signing_key).sign(self.message(), padding.PKCS1v15(), hashes.SHA256())

    def document(self) -> dict[str, Any]:
        """The evidence as one document."""
        return {
            "version": 1,
            "hcl_report": base64.urlsafe_b64encode(self.hcl()).decode(),
            "tpm_quote": {
                "message": self.message().hex(),
                "signature": self.signature().hex(),
                "pcrs": [register.hex() for register in self.registers],
            },
            "vcek": base64.urlsafe_b64encode(self.house.leaf()).decode(),
        }

    def evidence(self, **changes: Any) -> Evidence:
        """The evidence as one document, with fields of it changed."""
        content = json.dumps({**self.document(), **changes}).encode()
        beside = (Companion("ask", self.house.ask()), Companion("ark", self.house.ark))
        return Evidence("azure-snp-vtpm", content, (*beside, Companion("list", self.house.revocations())))

    def report_evidence(self, *more: bytes) -> Evidence:
        """The paravisor's report alone, and ``more`` beside it."""
        chain = (self.house.leaf(), self.house.ask(), self.house.ark, self.house.revocations(), *more)
        return Evidence("azure-snp-hcl", self.hcl(), tuple(Companion("beside", one) for one in chain))
