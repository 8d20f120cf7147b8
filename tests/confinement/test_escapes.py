"""Code that got hold of a confined process: what it tries, by system call, on processes and files around it."""

from __future__ import annotations

import fcntl
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syft_ext.source_roots import SOURCE_ROOT

PRELUDE = """
import ctypes, json, mmap, os, resource, signal, socket, struct, sys
sys.path.insert(0, sys.argv[1])
victim, home, uses = int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
import fractions, threading
from syft_ext.confinement.lockdown import enter
from syft_ext.confinement.readable import readable
inherited = os.open(home + "/node.lock", os.O_RDONLY)
library = os.path.realpath(os.__file__)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
AARCH64 = os.uname().machine == "aarch64"
def word(value):
    return ctypes.c_long(value) if isinstance(value, int) else value
def call(x86_64, aarch64, *arguments):
    number = aarch64 if AARCH64 else x86_64
    if number < 0:
        raise PermissionError(1, "no such call here")
    result = libc.syscall(ctypes.c_long(number), *map(word, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def attempt(action):
    try:
        action()
        return "done"
    except BaseException as error:
        return type(error).__name__
found = enter(1 << 28, needs=uses)
"""

ATTEMPTS = (
    PRELUDE
    + """
nothing = struct.pack("QQ", 0, 0)
info = bytearray(struct.pack("iii", 9, 0, -1) + bytes(116))
flock = struct.pack("hhqqi", 1, 0, 0, 0, 0)
buffer = ctypes.create_string_buffer(64)
vector = struct.pack("PQ", ctypes.addressof(buffer), 8)
attempts = {
    "kill": lambda: os.kill(victim, 0),
    "kill its group": lambda: os.kill(0, 0),
    "kill everybody": lambda: os.kill(-1, 0),
    "tkill": lambda: call(200, 130, victim, 0),
    "tgkill": lambda: call(234, 131, victim, victim, 0),
    "queue a signal": lambda: call(129, 138, victim, 9, bytes(info)),
    "queue a signal to a thread": lambda: call(297, 240, victim, victim, 9, bytes(info)),
    "pidfd": lambda: call(434, 434, victim, 0),
    "signal through a pidfd": lambda: call(424, 424, 3, 9, None, 0),
    "have the kernel signal": lambda: call(72, 25, inherited, 8, victim),
    "limit another": lambda: call(302, 261, victim, 7, nothing, None),
    "read the limits of another": lambda: call(302, 261, victim, 7, None, buffer),
    "priority of another": lambda: call(141, 140, 0, victim, 19),
    "priority of all": lambda: call(141, 140, 2, 0, 19),
    "affinity of another": lambda: call(203, 122, victim, 8, struct.pack("Q", 1)),
    "read the affinity of another": lambda: call(204, 123, victim, 64, buffer),
    "scheduler of another": lambda: call(144, 119, victim, 0, struct.pack("i", 0)),
    "io priority of another": lambda: call(251, 30, 1, victim, 0),
    "ptrace": lambda: call(101, 117, 16, victim, 0, 0),
    "read memory": lambda: call(310, 270, victim, vector, 1, vector, 1, 0),
    "write memory": lambda: call(311, 271, victim, vector, 1, vector, 1, 0),
    "compare processes": lambda: call(312, 272, victim, os.getpid(), 0, 0, 0),
    "advise memory": lambda: call(440, 440, 3, vector, 1, 4, 0),
    "perf": lambda: call(298, 241, bytes(128), victim, -1, -1, 0),
    "CPU clock of another": lambda: call(228, 113, ((~victim) << 3) | 2, buffer),
    "session of another": lambda: call(124, 156, victim),
    "group of another": lambda: call(109, 154, victim, 0),
    "proc": lambda: open(f"/proc/{victim}/cmdline").read(),
    "memory through proc": lambda: open(f"/proc/{victim}/mem", "rb").read(1),
    "its own environment through proc": lambda: open("/proc/self/environ").read(),
    "read the key": lambda: open(home + "/node.key").read(),
    "size of the key": lambda: os.stat(home + "/node.key"),
    "list the home": lambda: os.listdir(home),
    "list the root": lambda: os.listdir("/"),
    "passwords": lambda: open("/etc/passwd").read(),
    "write": lambda: open(home + "/new", "w"),
    "write to code": lambda: open(library, "a"),
    "chmod code": lambda: os.chmod(library, 0o777),
    "touch code": lambda: os.utime(library),
    "chmod by descriptor": lambda: os.fchmod(inherited, 0o777),
    "attribute by descriptor": lambda: os.setxattr(inherited, "user.x", b"x"),
    "lock a file": lambda: __import__("fcntl").flock(inherited, 6),
    "lock code": lambda: __import__("fcntl").flock(os.open(library, os.O_RDONLY), 6),
    "lock a range": lambda: call(72, 25, inherited, 6, flock),
    "lock a range for the open file": lambda: call(72, 25, inherited, 37, flock),
    "lease": lambda: call(72, 25, inherited, 1024, 0),
    "notify": lambda: call(72, 25, inherited, 1026, 1),
    "watch": lambda: call(294, 26, 0),
    "handle of a file": lambda: call(303, 264, -100, library.encode(), buffer, buffer, 0),
    "truncate": lambda: os.ftruncate(inherited, 0),
    "mkdir": lambda: os.mkdir("/x"),
    "unlink": lambda: os.unlink(home + "/node.lock"),
    "mount": lambda: call(165, 40, b"none", b"/", b"tmpfs", 0, None),
    "new mount": lambda: call(430, 430, b"tmpfs", 0),
    "tree of mounts": lambda: call(428, 428, -100, b"/", 1),
    "chroot": lambda: os.chroot("/"),
    "pivot": lambda: call(155, 41, b".", b"."),
    "namespaces": lambda: call(272, 97, 0x10000000),
    "enter namespaces": lambda: call(308, 268, inherited, 0),
    "socket": lambda: socket.socket(),
    "socket pair": lambda: socket.socketpair(),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "netlink": lambda: socket.socket(16, 3, 0),
    "fork": os.fork,
    "clone into namespaces": lambda: call(56, 220, 0x10010000 | 0x900, 0, 0, 0, 0),
    "clone3": lambda: call(435, 435, bytes(88), 88),
    "exec": lambda: os.execv(sys.executable, [sys.executable]),
    "exec by descriptor": lambda: call(322, 281, inherited, b"", None, None, 0x1000),
    "shared memory": lambda: call(29, 194, 0, 4096, 0o1600),
    "message queue": lambda: call(240, 180, b"queue", 0o102, 0o600, None),
    "semaphores": lambda: call(64, 190, 0, 1, 0o1600),
    "memfd": lambda: os.memfd_create("x"),
    "secret memory": lambda: call(447, 447, 0),
    "io_uring": lambda: call(425, 425, 8, bytes(120)),
    "bpf": lambda: call(321, 280, 0, bytes(64), 64),
    "keys": lambda: call(250, 219, 0, -3, 1, 0, 0),
    "userfaultfd": lambda: call(323, 282, 0),
    "core dumps again": lambda: call(157, 167, 4, 1, 0, 0, 0),
    "end with the parent": lambda: call(157, 167, 1, 9, 0, 0, 0),
    "let others trace": lambda: call(157, 167, 0x59616D61, -1, 0, 0, 0),
    "more memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2),
    "use much memory": lambda: bytearray(1 << 30),
    "write and run": lambda: mmap.mmap(-1, 4096, prot=7),
    "terminal": lambda: __import__("fcntl").ioctl(0, 0x5412, b"x"),
    "time": lambda: call(227, 112, 0, bytes(16)),
    "host name": lambda: call(170, 161, b"x", 1),
    "reboot": lambda: call(169, 142, 0xfee1dead, 0, 0, 0),
    "capability": lambda: call(126, 91, struct.pack("Ii", 0x20080522, 0), b"\\xff" * 24),
    "become root": lambda: call(105, 146, 0),
    "send to an address": lambda: call(44, 206, 0, b"x", 1, 0, bytes(16), 16),
}
works = {
    "import": lambda: __import__("colorsys"),
    "thread": lambda: (t := threading.Thread(target=int)).start() or t.join(),
    "sleep": lambda: __import__("time").sleep(0.001),
    "its own limits": lambda: resource.getrlimit(resource.RLIMIT_AS),
    "signal itself": lambda: os.kill(os.getpid(), 0),
    "CPU time": lambda: __import__("time").process_time(),
    "read code": lambda: open(library).read(10),
}
print(json.dumps({
    "in_force": found.in_force,
    "refused": {name: attempt(action) for name, action in attempts.items()},
    "works": {name: attempt(action) for name, action in works.items()},
}))
"""
)


#: How what is not simply forbidden fails.
OTHERWISE = {
    "more memory": "ValueError",
    "use much memory": "MemoryError",
    "clone3": "OSError",  # to the C library there is none
    **dict.fromkeys(
        [
            "proc",
            "memory through proc",
            "its own environment through proc",
            "read the key",
            "size of the key",
            "list the home",
            "passwords",
        ],
        "FileNotFoundError",
    ),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "node.key").write_text("secret")
    (tmp_path / "node.lock").write_text("")
    return tmp_path


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("uses", [[], ["listen"], ["convert"]], ids=["plans", "environments", "conversions"])
def test_nothing_outside_can_be_reached(uses: list[str], home: Path, victim: subprocess.Popen[bytes]) -> None:
    limits = Path(f"/proc/{victim.pid}/limits").read_text()
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(SOURCE_ROOT), str(victim.pid), str(home), json.dumps(uses)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["in_force"] == ["namespaces", "rlimits", "landlock", "seccomp"]
    otherwise = OTHERWISE | (
        {"truncate": "OSError"} if "convert" in uses else {}
    )  # this one may not be written
    refusals = {name: otherwise.get(name, "PermissionError") for name in found["refused"]}
    assert found["refused"] == refusals
    assert set(found["works"].values()) == {"done"}, found["works"]
    assert victim.poll() is None and Path(f"/proc/{victim.pid}/limits").read_text() == limits
    with (home / "node.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it


def test_a_child_has_its_channel_and_no_other_descriptor() -> None:
    from syft_ext.plans import PlanSandbox

    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    with PlanSandbox() as sandbox, ours, theirs:
        folder = Path(f"/proc/{sandbox.pid}/fd")
        opened = {int(each.name): str(each.readlink()) for each in folder.iterdir()}
    assert set(opened) == {0, 1, 2, 3, 4}
    assert [opened[n] for n in (0, 1, 2)] == ["/dev/null"] * 3
    assert opened[3].startswith("socket:") and opened[4].startswith("/memfd:plan")
