"""What a child process gives up before it runs a stranger's plan.

In order: network (its own empty network namespace), the right to gain privileges, memory, files and core dumps
(rlimits), the file system (Landlock: read-only, and only the Python installation), and system calls
(seccomp). Every step is taken where the kernel offers it and reported by name; :func:`enter` needs no root.

Sources: unshare(2), setrlimit(2), Documentation/userspace-api/landlock.rst and seccomp_filter.rst of Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterator, Set
from pathlib import Path

from syft_ext.source_roots import SOURCE_ROOT

__all__ = ["cpu_limit", "drop_network", "enter"]

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 4, 38, 22


def drop_network() -> list[str]:
    """Move to an empty network namespace. Must run while the process has one thread, before torch is imported."""
    flags = _CLONE_NEWNET | _CLONE_NEWIPC
    user = os.getuid()
    if _libc.unshare(flags) == 0:
        return ["network"]
    if _libc.unshare(flags | _CLONE_NEWUSER) == 0:
        with contextlib.suppress(OSError):  # without it, every peer of a socket looks like nobody
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1\n")
        return ["network"]
    return []


def enter(memory_bytes: int, *, accept: bool = False) -> list[str]:
    """Give up everything but computing; returns the names of the protections in force.

    ``memory_bytes`` is how much address space may be added to what the process has now. Called after all
    imports and warm-up, with the channel to the parent open. With ``accept`` the process may go on taking
    connections on sockets that listen already.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no core, no ptrace by other processes of this user
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a count of numbers, not of paths
    address_space = pages * resource.getpagesize() + memory_bytes
    for what, limit in (
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, open_files + 16),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    done = ["rlimits"]
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        done += ["landlock"] if _landlock() else []
        done += ["seccomp"] if _seccomp({"accept4"} if accept else set()) else []
    return done


#: Seconds of CPU time beyond the limit: what libraries load at the first use of a kernel is not the user's doing.
_GRACE = 0.5


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Let this process use ``seconds`` of CPU time in the block; past that the kernel ends it (SIGPROF).

    A timer of the process's CPU time, since rlimits know whole seconds only. An rlimit stands behind it (SIGXCPU).
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    before, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + seconds + _GRACE) + 2
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # a kernel would not let a handler of Python's run
    signal.setitimer(signal.ITIMER_PROF, seconds + _GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (before, hard))


# --- Landlock ----------------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all architectures
_FS_V1 = (1 << 13) - 1
_FS_READ = 0b1101  # execute (shared libraries are mapped so), read file, read directory


def _readable() -> list[str]:
    """What torch and Python may still load lazily."""
    roots = {sys.prefix, sys.base_prefix, str(SOURCE_ROOT)}
    roots.update(path for path in sys.path if path)
    return [*sorted(roots), "/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/sys/devices/system/cpu"]


def _landlock() -> bool:
    attributes = struct.pack("Q", _FS_V1)
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    try:
        for path in _readable():
            try:
                directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                # Directory rights on a plain file are refused; those are not needed here.
                access = _FS_READ if Path(path).is_dir() else 0b101
                _libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", access, directory), 0)
            finally:
                os.close(directory)
        return bool(_libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


# --- seccomp -----------------------------------------------------------------------------------------------

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# name: (x86_64, aarch64); -1 where the architecture has no such call.
_DENIED: dict[str, tuple[int, int]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242), "bind": (49, 200),
    "listen": (50, 201), "socketpair": (53, 199), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142), "link": (86, -1),
    "linkat": (265, 37), "symlink": (88, -1), "symlinkat": (266, 36), "rename": (82, -1),
    "renameat": (264, 38), "renameat2": (316, 276), "unlink": (87, -1), "unlinkat": (263, 35),
    "mkdir": (83, -1), "mkdirat": (258, 34), "rmdir": (84, -1), "creat": (85, -1), "mknod": (133, -1),
    "mknodat": (259, 33), "truncate": (76, 45), "chmod": (90, -1), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, -1), "fchownat": (260, 54), "setxattr": (188, 5),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "memfd_create": (319, 279),
}  # fmt: skip
_CLONE, _CLONE3, _OPEN, _OPENAT, _OPENAT2 = (56, 220), (435, 435), (2, -1), (257, 56), (437, 437)
_CLONE_THREAD = 0x00010000
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def _statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _denied(call: int, error: int = errno.EPERM) -> list[bytes]:
    return [_statement(_JUMP_EQUAL, call, 0, 1), _statement(_RETURN, _ERRNO | error)] if call >= 0 else []


def _flag_rule(call: int, argument: int, mask: int, *, deny_if_set: bool) -> list[bytes]:
    """Decide on ``call`` by the low word of one of its arguments; the accumulator holds the call's number."""
    if call < 0:
        return []
    verdicts = [_ALLOW, _ERRNO | errno.EPERM]
    first, second = verdicts if deny_if_set else verdicts[::-1]
    return [
        _statement(_JUMP_EQUAL, call, 0, 4),
        _statement(_LOAD, 16 + 8 * argument),
        _statement(_JUMP_SET, mask, 1, 0),
        _statement(_RETURN, first),
        _statement(_RETURN, second),
    ]


def _seccomp(needed: Set[str]) -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES or sys.byteorder != "little":
        return False
    index = 0 if machine == "x86_64" else 1
    program = [
        _statement(_LOAD, 4),
        _statement(_JUMP_EQUAL, _ARCHITECTURES[machine], 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, 0),
        _statement(_JUMP_GREATER_EQUAL, 0x40000000, 0, 1),  # the x32 numbers of x86_64
        _statement(_RETURN, _KILL),
    ]
    for name, numbers in _DENIED.items():
        if name not in needed:
            program += _denied(numbers[index])
    # glibc asks for clone3 and openat2 first and takes the older call when they do not exist.
    program += _denied(_CLONE3[index], errno.ENOSYS) + _denied(_OPENAT2[index], errno.ENOSYS)
    program += _flag_rule(_CLONE[index], 0, _CLONE_THREAD, deny_if_set=False)
    program += _flag_rule(_OPEN[index], 1, _WRITE_FLAGS, deny_if_set=True)
    program += _flag_rule(_OPENAT[index], 2, _WRITE_FLAGS, deny_if_set=True)
    program.append(_statement(_RETURN, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0) == 0)
