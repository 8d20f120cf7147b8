"""What tokens of Microsoft Azure Attestation claim, of the types that are looked at."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from syft_ext.attestation.evidence import Reason, refused
from syft_ext.attestation.texts import moment

__all__ = ["Guest", "MaaClaims", "read_claims"]


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """What the hardware said of the guest.

    Attributes:
        type: "tdxvm" or "sevsnpvm".
        measurement: of its firmware, 48 bytes.
        report_data: 64 bytes.
        host_data: of SEV-SNP, 32 bytes; TDX has none.
        debug, migratable: as the hardware and the operating system were started.
        tcb_status: of TDX, as Microsoft evaluated it.
        level: privilege level (VMPL) at which SEV-SNP's report was asked for; 0 with TDX.
        secure_boot: whether firmware and operating system say so.
    """

    type: str
    measurement: bytes
    report_data: bytes
    host_data: bytes | None
    debug: bool
    migratable: bool
    compliance: str
    tcb_status: str | None
    level: int
    secure_boot: bool


class _ClientPayload(msgspec.Struct, frozen=True):
    nonce: str | None = None


class _VirtualMachine(msgspec.Struct, frozen=True):
    secure_boot: bool | None = msgspec.field(name="secure-boot", default=None)


class _Runtime(msgspec.Struct, frozen=True):
    client_payload: _ClientPayload | None = msgspec.field(name="client-payload", default=None)
    user_data: str | None = msgspec.field(name="user-data", default=None)
    vm_configuration: _VirtualMachine | None = msgspec.field(name="vm-configuration", default=None)

    @property
    def secure_boot(self) -> bool:
        """Whether the paravisor says that the guest was started by it."""
        return self.vm_configuration is not None and self.vm_configuration.secure_boot is True


class _Snp(msgspec.Struct, frozen=True):
    launchmeasurement: str = msgspec.field(name="x-ms-sevsnpvm-launchmeasurement")
    reportdata: str = msgspec.field(name="x-ms-sevsnpvm-reportdata")
    hostdata: str = msgspec.field(name="x-ms-sevsnpvm-hostdata")
    is_debuggable: bool = msgspec.field(name="x-ms-sevsnpvm-is-debuggable")
    migration_allowed: bool = msgspec.field(name="x-ms-sevsnpvm-migration-allowed")
    vmpl: int = msgspec.field(name="x-ms-sevsnpvm-vmpl")
    compliance: str = msgspec.field(name="x-ms-compliance-status")
    runtime: _Runtime = msgspec.field(name="x-ms-runtime", default=_Runtime())

    def guest(self) -> Guest:
        return Guest(
            type="sevsnpvm",
            measurement=_bytes(self.launchmeasurement, 48),
            report_data=_bytes(self.reportdata, 64),
            host_data=_bytes(self.hostdata, 32),
            debug=self.is_debuggable,
            migratable=self.migration_allowed,
            compliance=self.compliance,
            tcb_status=None,
            level=self.vmpl,
            secure_boot=self.runtime.secure_boot,
        )


class _Tdx(msgspec.Struct, frozen=True):
    tdx_mrtd: str
    tdx_report_data: str
    tdx_td_attributes_debug: bool
    tdx_td_attributes_migratable: bool
    dbgstat: str
    attester_tcb_status: str
    compliance: str = msgspec.field(name="x-ms-compliance-status")
    runtime: _Runtime = msgspec.field(name="x-ms-runtime", default=_Runtime())

    def guest(self) -> Guest:
        return Guest(
            type="tdxvm",
            measurement=_bytes(self.tdx_mrtd, 48),
            report_data=_bytes(self.tdx_report_data, 64),
            host_data=None,
            debug=self.tdx_td_attributes_debug or self.dbgstat != "disabled",
            migratable=self.tdx_td_attributes_migratable,
            compliance=self.compliance,
            tcb_status=self.attester_tcb_status,
            level=0,
            secure_boot=self.runtime.secure_boot,
        )


class _System(msgspec.Struct, frozen=True):
    """What a virtual TPM's log says of the operating system."""

    secureboot: bool
    bootdebug_enabled: bool = msgspec.field(name="x-ms-azurevm-bootdebug-enabled")
    debuggersdisabled: bool = msgspec.field(name="x-ms-azurevm-debuggersdisabled")
    hypervisordebug_enabled: bool = msgspec.field(name="x-ms-azurevm-hypervisordebug-enabled")
    kerneldebug_enabled: bool = msgspec.field(name="x-ms-azurevm-kerneldebug-enabled")
    testsigning_enabled: bool = msgspec.field(name="x-ms-azurevm-testsigning-enabled")

    @property
    def debug(self) -> bool:
        """Whether something lets somebody look into it."""
        return (
            self.bootdebug_enabled
            or self.hypervisordebug_enabled
            or self.kerneldebug_enabled
            or self.testsigning_enabled
            or not self.debuggersdisabled
        )


class MaaClaims(msgspec.Struct, frozen=True, kw_only=True):
    """A token's claims that are the same for all types of guests."""

    issuer: str = msgspec.field(name="iss")
    iat: int
    nbf: int
    exp: int
    type: str = msgspec.field(name="x-ms-attestation-type")
    policy_hash: str = msgspec.field(name="x-ms-policy-hash")
    runtime: _Runtime = msgspec.field(name="x-ms-runtime", default=_Runtime())

    def binding(self) -> bytes:
        """What the guest asked to be told along, and the hardware or the virtual TPM signed; empty: nothing."""
        try:
            if self.type != "azurevm":
                return bytes.fromhex(self.runtime.user_data or "")
            payload = self.runtime.client_payload
            return base64.b64decode((payload and payload.nonce) or "", validate=True)
        except (binascii.Error, ValueError):
            return b""


def read_claims(raw: dict[str, Any]) -> tuple[MaaClaims, Guest]:
    """The claims that are looked at, of their types.

    Raises:
        EvidenceRefused: ``malformed``; ``unsupported`` for guests of other types.
    """
    try:
        claims = msgspec.convert(raw, MaaClaims)
        guest = _guest(raw, claims.type)
    except (msgspec.ValidationError, ValueError) as error:
        raise refused(Reason.MALFORMED, "a token without the claims of Azure's verifier") from error
    for seconds in (claims.iat, claims.nbf, claims.exp):
        moment(seconds)
    return claims, guest


def _guest(raw: dict[str, Any], kind: str) -> Guest:
    if kind == "tdxvm":
        return msgspec.convert(raw, _Tdx).guest()
    if kind == "sevsnpvm":
        return msgspec.convert(raw, _Snp).guest()
    hardware = raw.get("x-ms-isolation-tee")
    if kind != "azurevm" or not isinstance(hardware, dict):
        raise refused(
            Reason.UNSUPPORTED, "a token about a guest that no hardware protects, or of another type"
        )
    below = hardware.get("x-ms-attestation-type")
    if below not in ("tdxvm", "sevsnpvm"):
        raise refused(Reason.UNSUPPORTED, "a token about a guest on hardware of another type")
    guest, system = _guest(hardware, below), msgspec.convert(raw, _System)
    return msgspec.structs.replace(
        guest, debug=guest.debug or system.debug, secure_boot=guest.secure_boot and system.secureboot
    )


def _bytes(text: str, size: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != size or value.hex() != text:
        raise refused(
            Reason.MALFORMED, f"a token in which {size} bytes are not {2 * size} hexadecimal digits"
        )
    return value
