"""The system calls that a confined process may make, and with which arguments. What is not here is refused.

Found by tracing what Python and torch do (imports made late, kernels, threads, ways of ending) in the processes
that are confined; one that has a further use names it (:data:`USES`). Memory can be made executable while it is
writable: oneDNN, with which torch convolves, writes its kernels so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ABSENT", "CALLS", "USES", "Equal", "Masked", "Rule", "rules_of"]

#: name: (its number on x86_64, on aarch64); -1 where the architecture has no such call.
CALLS: dict[str, tuple[int, int]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "close": (3, 57), "fstat": (5, 80), "stat": (4, -1), "lstat": (6, -1),
    "newfstatat": (262, 79), "statx": (332, 291), "lseek": (8, 62), "access": (21, -1),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, -1), "readlinkat": (267, 78),
    "getdents64": (217, 61), "getcwd": (79, 17), "dup": (32, 23), "dup2": (33, -1), "dup3": (292, 24),
    "poll": (7, -1), "ppoll": (271, 73), "select": (23, -1), "pselect6": (270, 72), "munmap": (11, 215),
    "mremap": (25, 216), "madvise": (28, 233), "brk": (12, 214), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "futex": (202, 98),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293),
    "membarrier": (324, 283), "exit": (60, 93), "exit_group": (231, 94), "restart_syscall": (219, 128),
    "sched_yield": (24, 124), "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173),
    "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "uname": (63, 160), "sysinfo": (99, 179), "getrusage": (98, 165), "times": (100, 153),
    "getrandom": (318, 278), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, -1), "getcpu": (309, 168),
    "setitimer": (38, 103), "getitimer": (36, 102), "getrlimit": (97, 163), "recvfrom": (45, 207),
    "fadvise64": (221, 223),
    # By their arguments:
    "clone": (56, 220), "open": (2, -1), "openat": (257, 56), "mmap": (9, 222), "mprotect": (10, 226),
    "fcntl": (72, 25), "ioctl": (16, 29), "prctl": (157, 167), "prlimit64": (302, 261),
    "setrlimit": (160, 164), "kill": (62, 129), "tgkill": (234, 131), "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113), "sendto": (44, 206), "arch_prctl": (158, -1),
    # Of single uses:
    "accept4": (288, 242), "getsockopt": (55, 209), "getsockname": (51, 204), "shutdown": (48, 210),
    "ftruncate": (77, 46), "fallocate": (285, 47), "eventfd2": (290, 19), "pipe2": (293, 59),
}  # fmt: skip

#: Asked for first and done without: to the C library these do not exist.
ABSENT: dict[str, tuple[int, int]] = {
    "clone3": (435, 435), "openat2": (437, 437), "close_range": (436, 436), "set_mempolicy_home_node": (450, 450),
}  # fmt: skip

#: What a process may do beside computing, and the calls that it needs for that.
USES: dict[str, tuple[str, ...]] = {
    "listen": ("accept4", "getsockopt", "getsockname", "shutdown"),
    "convert": ("ftruncate", "fallocate", "eventfd2", "pipe2"),
}

_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020080  # every namespace: mount, cgroup, uts, ipc, user, pid, net; and time
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TMPFILE = 0x400000  # O_TMPFILE without the O_DIRECTORY that is part of it
_PROT_WRITE, _PROT_EXEC = 2, 4
_FCNTL = (0, 1, 2, 3, 4, 1030, 1034)  # F_DUPFD, F_GETFD … F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS: no lock
_IOCTL = (
    0x5401,
    0x5421,
    0x5450,
    0x5451,
    0x541B,
)  # TCGETS (a terminal?), FIONBIO, FIONCLEX, FIOCLEX, FIONREAD
_PRCTL = (3, 15, 16, 23, 0x53564D41)  # read DUMPABLE, NAME, CAPBSET; set NAME, VMA (the name of memory)
_ARCH = (0x1021, 0x1022, 0x1023)  # ARCH_GET_XCOMP_SUPP, ARCH_GET_XCOMP_PERM, ARCH_REQ_XCOMP_PERM: AMX tiles
_CLOCKS = tuple(range(12))  # the others carry a process's id


@dataclass(frozen=True, slots=True)
class Equal:
    """Argument ``number`` is one of ``values``. The kernel reads these as 32 bits; so does the comparison."""

    number: int
    values: tuple[int, ...]
    whole: bool = False  # pointers: all 64 bits


@dataclass(frozen=True, slots=True)
class Masked:
    """Argument ``number``, of the bits ``mask``, has none (``none``), all, or not all at once."""

    number: int
    mask: int
    kind: str  # "none", "all" or "not all"


Condition = Equal | Masked


@dataclass(frozen=True, slots=True)
class Rule:
    """``name`` is allowed where every condition of one of the ``alternatives`` holds; without any: always."""

    name: str
    alternatives: tuple[tuple[Condition, ...], ...] = ()


def rules_of(process: int, uses: Sequence[str] = ()) -> list[Rule]:
    """All that the process of this id may call, the frequent and simple ones first."""
    own = Equal(0, (process,))
    own_or_zero = Equal(0, (0, process))
    ruled: dict[str, tuple[tuple[Condition, ...], ...]] = {
        "clone": ((Masked(0, _CLONE_THREAD, "all"), Masked(0, _CLONE_NEW, "none")),),
        "open": ((Masked(1, _WRITE, "none"),),),
        "openat": ((Masked(2, _WRITE, "none"),),),
        "mmap": ((Masked(2, _PROT_WRITE | _PROT_EXEC, "not all"),),),
        "fcntl": ((Equal(1, _FCNTL),),),
        "ioctl": ((Equal(1, _IOCTL),),),
        "prctl": ((Equal(0, _PRCTL),),),
        "prlimit64": ((own_or_zero,),),
        "kill": ((own,),),
        "tgkill": ((own,),),
        "sched_getaffinity": ((own_or_zero,),),
        "clock_gettime": ((Equal(0, _CLOCKS),),),
        "sendto": ((Equal(4, (0,), whole=True),),),  # to the other end only: no address
        "arch_prctl": ((Equal(0, _ARCH),),),
    }
    if "convert" in uses:
        ruled["openat"] += ((Masked(2, _TMPFILE, "all"),),)
        ruled["open"] += ((Masked(1, _TMPFILE, "all"),),)
    special = {name for names in USES.values() for name in names}
    wanted = {name for use in uses for name in USES[use]}
    plain = [Rule(name) for name in CALLS if name not in ruled and (name not in special or name in wanted)]
    return plain + [Rule(name, alternatives) for name, alternatives in ruled.items()]
