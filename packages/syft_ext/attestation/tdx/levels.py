"""At which level a platform is, as Intel states it: of the platform, the TDX module and the quoting enclave,
the worst (Intel PCS API v4, "TCB info"; the DCAP library's rules for putting them together)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from syft_ext.attestation.evidence import Objection, Reason
from syft_ext.attestation.tdx.platform import Platform
from syft_ext.attestation.tdx.policy import STATUSES
from syft_ext.attestation.tdx.quote import Body, QeReport
from syft_ext.attestation.tdx.statements import ModuleLevel, PlatformLevel, QeIdentity, TcbInfo, TdxModule

__all__ = ["TdxLevel", "evaluate"]


class TdxLevel(msgspec.Struct, frozen=True, kw_only=True):
    """Where a platform stands.

    Attributes:
        status: Intel's word; ``None``: no level that Intel states is reached, or the parts are not Intel's.
        advisories: ids of advisories that stand open at it.
        dates: of the levels that were found.
        objections: why there is no status.
    """

    status: str | None
    advisories: tuple[str, ...] = ()
    dates: tuple[datetime, ...] = ()
    objections: tuple[Objection, ...] = ()


def evaluate(body: Body, qe: QeReport, platform: Platform, info: TcbInfo, identity: QeIdentity) -> TdxLevel:
    """The level of a TD's platform, of the module that runs it and of the enclave that signed for it."""
    found: list[PlatformLevel | ModuleLevel] = []
    against = [*_module_mismatch(body, info), *_enclave_mismatch(qe, identity)]
    of_platform = _platform_level(body, platform, info)
    if of_platform is None:
        against.append(Objection(Reason.TCB_UNKNOWN, "the platform reaches no level that Intel states"))
    else:
        found.append(of_platform)
    if body.svn[1]:
        levels = next(
            (one.tcb_levels for one in info.tdx_module_identities if one.id == _module_id(body)), ()
        )
        of_module = _reached(levels, body.svn[0])
        if of_module is None:
            against.append(Objection(Reason.TCB_UNKNOWN, "the TDX module reaches no level that Intel states"))
        else:
            found.append(of_module)
    of_enclave = _reached(identity.tcb_levels, qe.svn)
    if of_enclave is None:
        against.append(
            Objection(Reason.TCB_UNKNOWN, "the quoting enclave reaches no level that Intel states")
        )
    else:
        found.append(of_enclave)
    return TdxLevel(
        status=None if against else _worst([one.tcb_status for one in found]),
        advisories=tuple(dict.fromkeys(one for level in found for one in level.advisory_ids)),
        dates=tuple(level.tcb_date for level in found),
        objections=tuple(against),
    )


def _module_id(body: Body) -> str:
    return f"TDX_{body.svn[1]:02X}"


def _platform_level(body: Body, platform: Platform, info: TcbInfo) -> PlatformLevel | None:
    """The first level, as Intel lists them, that every version reaches. The first two of TDX are the module's:
    where it has an identity of its own, that states its levels."""
    left_out = 2 if body.svn[1] else 0
    for level in info.tcb_levels:
        sgx = [part.svn for part in level.tcb.sgxtcbcomponents]
        tdx = [part.svn for part in level.tcb.tdxtcbcomponents]
        if len(sgx) != 16 or len(tdx) != 16:
            continue  # of another technology, or of a form that says nothing about this platform
        reached = all(own >= least for own, least in zip(platform.components, sgx, strict=True))
        module = zip(body.svn[left_out:], tdx[left_out:], strict=True)
        if reached and platform.pce_svn >= level.tcb.pcesvn and all(own >= least for own, least in module):
            return level
    return None


def _reached(levels: Sequence[ModuleLevel], svn: int) -> ModuleLevel | None:
    return next((level for level in levels if svn >= level.tcb.isvsvn), None)


def _module_mismatch(body: Body, info: TcbInfo) -> list[Objection]:
    """The TDX module is one that Intel made: its own identity counts where it has one."""
    module: TdxModule | None
    if body.svn[1]:
        module = next((one for one in info.tdx_module_identities if one.id == _module_id(body)), None)
    else:
        module = info.tdx_module
    if module is None:
        return [Objection(Reason.TCB_UNKNOWN, "Intel states nothing about the TDX module")]
    same = _same(body.seam_signer, module.mrsigner) and _masked(
        body.seam_attributes, module.attributes_mask
    ) == _bytes(module.attributes)
    return [] if same else [Objection(Reason.INTEGRITY, "the TDX module is not Intel's")]


def _enclave_mismatch(qe: QeReport, identity: QeIdentity) -> list[Objection]:
    same = (
        _same(qe.signer, identity.mrsigner)
        and qe.product == identity.isvprodid
        and _masked(qe.attributes, identity.attributes_mask) == _bytes(identity.attributes)
        and _masked(qe.miscselect, identity.miscselect_mask) == _bytes(identity.miscselect)
    )
    return [] if same else [Objection(Reason.INTEGRITY, "the quoting enclave is not Intel's")]


def _bytes(stated: str) -> bytes | None:
    try:
        return bytes.fromhex(stated)
    except ValueError:
        return None


def _same(own: bytes, stated: str) -> bool:
    return own == _bytes(stated)


def _masked(own: bytes, stated: str) -> bytes:
    """``own`` under a mask; with a mask of another size, something that equals nothing."""
    mask = _bytes(stated)
    if mask is None or len(mask) != len(own):
        return b"no mask"
    return bytes(one & other for one, other in zip(own, mask, strict=True))


def _worst(statuses: list[str]) -> str:
    """The worst of the statuses; a part that is out of date makes a platform that needs configuration both."""
    unknown = [status for status in statuses if status not in STATUSES]
    if unknown:
        return unknown[0]
    worst = max(statuses, key=STATUSES.index)
    if worst == "OutOfDate" and any("ConfigurationN" in one or "ConfigurationAnd" in one for one in statuses):
        return "OutOfDateConfigurationNeeded"
    if {"SWHardeningNeeded", "ConfigurationNeeded"} <= set(statuses) and worst == "ConfigurationNeeded":
        return "ConfigurationAndSWHardeningNeeded"
    return worst
