"""Intel's signed statements about platforms (TCB info) and quoting enclaves (QE identity), as of PCS API v4."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from syft_ext.attestation.evidence import Reason, refused

__all__ = [
    "ModuleIdentity",
    "ModuleLevel",
    "PlatformLevel",
    "QeIdentity",
    "TcbInfo",
    "TdxModule",
    "read_qe_identity",
    "read_tcb_info",
]


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Stated(msgspec.Struct, frozen=True, rename="camel"):
    """Unknown fields are left alone: Intel adds some, and signs them."""


class Component(_Stated, frozen=True, rename="camel"):
    """The version of one part."""

    svn: int


class _PlatformTcb(msgspec.Struct, frozen=True):
    sgxtcbcomponents: tuple[Component, ...]
    pcesvn: int
    tdxtcbcomponents: tuple[Component, ...] = ()


class _EnclaveTcb(msgspec.Struct, frozen=True):
    isvsvn: int


class _Level(_Stated, frozen=True, rename="camel"):
    tcb_date: _Moment
    tcb_status: str
    advisory_ids: tuple[str, ...] = msgspec.field(name="advisoryIDs", default=())


class PlatformLevel(_Level, frozen=True, rename="camel", kw_only=True):
    """A level of platforms: whose versions reach ``tcb`` is in it."""

    tcb: _PlatformTcb


class ModuleLevel(_Level, frozen=True, rename="camel", kw_only=True):
    """A level of a TDX module or a quoting enclave."""

    tcb: _EnclaveTcb


class TdxModule(_Stated, frozen=True, rename="camel"):
    """Which TDX modules are Intel's."""

    mrsigner: str
    attributes: str
    attributes_mask: str


class ModuleIdentity(TdxModule, frozen=True, rename="camel", kw_only=True):
    """Which TDX modules of one major version are Intel's, and their levels."""

    id: str
    tcb_levels: tuple[ModuleLevel, ...]


class _Document(_Stated, frozen=True, rename="camel", kw_only=True):
    id: str
    version: int
    issue_date: _Moment
    next_update: _Moment
    tcb_evaluation_data_number: int


class TcbInfo(_Document, frozen=True, rename="camel", kw_only=True):
    """About all platforms of one family (FMSPC)."""

    fmspc: str
    pce_id: str
    tcb_type: int = 0
    tdx_module: TdxModule | None = None
    tdx_module_identities: tuple[ModuleIdentity, ...] = ()
    tcb_levels: tuple[PlatformLevel, ...]


class QeIdentity(_Document, frozen=True, rename="camel", kw_only=True):
    """About the quoting enclaves of one kind."""

    miscselect: str
    miscselect_mask: str
    attributes: str
    attributes_mask: str
    mrsigner: str
    isvprodid: int
    tcb_levels: tuple[ModuleLevel, ...]


class _StatedHead(msgspec.Struct):
    id: str
    version: int


def read_tcb_info(body: bytes) -> TcbInfo | None:
    """Read TCB info, whose signature holds; ``None``: it is about other than TDX, or of another version.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    return _read(body, TcbInfo, "TDX", 3)


def read_qe_identity(body: bytes) -> QeIdentity | None:
    """Read a QE identity, whose signature holds; ``None``: it is of other enclaves than those that quote TDs,
    or of another version.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    return _read(body, QeIdentity, "TD_QE", 2)


T = TypeVar("T", bound=_Document)


def _read(body: bytes, wanted: type[T], name: str, version: int) -> T | None:
    try:
        head = msgspec.json.decode(body, type=_StatedHead)
        if (head.id, head.version) != (name, version):
            return None
        return msgspec.json.decode(body, type=wanted)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise refused(Reason.COLLATERAL, "a statement of Intel's has a form that is not known here") from None
