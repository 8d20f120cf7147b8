"""Landlock: files can be read under some paths and nowhere else, no TCP, no signals to the outside.

Source: Documentation/userspace-api/landlock.rst of Linux. What the kernel knows of it is used, by its version.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Sequence

from syft_ext.confinement.kernel import ProtectionError, system_call

__all__ = ["restrict_files"]

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all architectures
_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_REG, _REFER, _TRUNCATE, _IOCTL_DEV = (
    1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 8, 1 << 13, 1 << 14, 1 << 15
)  # fmt: skip
_FS_FIRST = (1 << 13) - 1
_READ_CODE = _EXECUTE | _READ_FILE  # shared libraries are mapped for execution
_NET_ALL = 0b11  # bind and connect TCP
_SCOPE_ALL = 0b11  # abstract unix sockets, signals


def restrict_files(readable: Sequence[str], writable: str = "") -> None:
    """Refuse every access but reading under ``readable`` and unnamed files in the folder ``writable``.

    From version 4 of Landlock on TCP is refused, from 6 on signals and abstract sockets to processes outside.
    Raises :class:`ProtectionError`, or :class:`OSError` when one rule of them all cannot be made.
    """
    version = _version()
    attributes = struct.pack("Q", _handled(version))
    if version >= 4:
        attributes += struct.pack("Q", _NET_ALL)
    if version >= 6:
        attributes += struct.pack("Q", _SCOPE_ALL)
    ruleset = system_call("landlock_create_ruleset", _CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ_CODE)
        if writable:
            extra = _TRUNCATE if version >= 3 else 0
            _allow(ruleset, writable, _READ_FILE | _WRITE_FILE | _MAKE_REG | extra)
        system_call("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    try:
        return system_call("landlock_create_ruleset", _CREATE_RULESET, 0, 0, _VERSION)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise ProtectionError("not in this kernel") from error
        if error.errno == errno.EOPNOTSUPP:
            raise ProtectionError("switched off in this kernel (boot parameter lsm=)") from error
        reason = os.strerror(error.errno or 0)
        raise ProtectionError(f"refused ({reason}), perhaps by what confines the container") from error


def _handled(version: int) -> int:
    handled = _FS_FIRST
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if version >= since else 0
    return handled


def _allow(ruleset: int, path: str, access: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        # Rights on folders are refused for a plain file.
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            access |= _READ_DIR
        rule = struct.pack("=Qi", access, opened)
        system_call(f"landlock_add_rule {path}", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(opened)
