"""Runs a program on a machine that lacks something: ``python without.py WHAT [WHAT …] -- COMMAND …``.

A seccomp filter makes the kernel answer as one does that is older, or confined itself: no mock, and whatever the
program starts is on the same machine. WHAT is one of :data:`LACKING`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

__all__ = ["LACKING", "command"]

_AARCH64 = platform.machine() == "aarch64"


def _number(x86_64: int, aarch64: int) -> int:
    return aarch64 if _AARCH64 else x86_64


_PRLIMIT, _UNSHARE, _SECCOMP, _PRCTL = (
    _number(302, 261),
    _number(272, 97),
    _number(317, 277),
    _number(157, 167),
)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _MOUNT_SETATTR, _OPEN_TREE = 444, 445, 446, 442, 428
_PIVOT_ROOT, _CAPSET = _number(155, 41), _number(126, 91)

#: name → (system call, error, (argument, value) that it must have, or None).
LACKING: dict[str, tuple[int, int, tuple[int, int] | None]] = {
    "landlock": (_CREATE_RULESET, errno.ENOSYS, None),
    "landlock-at-boot": (_CREATE_RULESET, errno.EOPNOTSUPP, None),
    "landlock-rules": (_ADD_RULE, errno.EINVAL, None),
    "landlock-restrict": (_RESTRICT_SELF, errno.E2BIG, None),
    "namespaces": (_UNSHARE, errno.EPERM, None),
    "namespaces-limit": (_UNSHARE, errno.ENOSPC, None),
    "mounts": (_MOUNT_SETATTR, errno.ENOSYS, None),
    "trees": (_OPEN_TREE, errno.EPERM, None),
    "pivot": (_PIVOT_ROOT, errno.EINVAL, None),
    "seccomp": (_SECCOMP, errno.ENOSYS, None),
    "seccomp-filters": (_SECCOMP, errno.EINVAL, (0, 1)),
    "rlimits": (_PRLIMIT, errno.EPERM, (1, 9)),  # RLIMIT_AS
    "privileges": (_PRCTL, errno.EINVAL, (0, 38)),  # PR_SET_NO_NEW_PRIVS
    "capabilities": (_CAPSET, errno.EPERM, None),
}
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def command(*lacking: str) -> list[str]:
    """What to put before a command line."""
    return [sys.executable, __file__, *lacking, "--"]


def main() -> None:
    end = sys.argv.index("--")
    program = [(_LOAD, 0, 0, 0)]
    for name in sys.argv[1:end]:
        call, error, argument = LACKING[name]
        if argument is None:
            program += [(_JUMP_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ERRNO | error)]
        else:
            number, value = argument
            program += [
                (_JUMP_EQUAL, 0, 4, call),
                (_LOAD, 0, 0, 16 + 8 * number),
                (_JUMP_EQUAL, 0, 1, value),
                (_RETURN, 0, 0, _ERRNO | error),
                (_LOAD, 0, 0, 0),
            ]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", c, t, f, k) for c, t, f, k in program))
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc.prctl(38, 1, 0, 0, 0)
    if libc.prctl(22, 2, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no filter")
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])


if __name__ == "__main__":
    main()
