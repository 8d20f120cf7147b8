"""The list of system calls: right numbers, and a filter that decides as the rules say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syft_ext.confinement.system_calls import ABSENT, CALLS, USES, rules_of

X86_64 = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
GENERIC = Path("/usr/include/asm-generic/unistd.h")


def _numbers(path: Path) -> dict[str, int]:
    if not path.exists():
        pytest.skip(f"{path} is not here")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\n", path.read_text())
    return {name: int(number) for name, number in found}


def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    x86_64, generic = _numbers(X86_64), _numbers(GENERIC)
    generic["newfstatat"] = generic["fstatat"]
    for name, numbers in (CALLS | ABSENT).items():
        assert numbers == (x86_64.get(name, -1), generic.get(name, -1)), name


def test_a_use_adds_its_calls_and_nothing_else() -> None:
    plain = {rule.name for rule in rules_of(4711)}
    for use, names in USES.items():
        assert not plain & set(names)
        assert {rule.name for rule in rules_of(4711, [use])} == plain | set(names)


@pytest.mark.parametrize(
    "name",
    [
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_open",
        "pidfd_getfd",
        "pidfd_send_signal",
        "tkill",
        "rt_sigqueueinfo",
        "flock",
        "socket",
        "connect",
        "bind",
        "listen",
        "execve",
        "execveat",
        "fork",
        "vfork",
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "bpf",
        "io_uring_setup",
        "perf_event_open",
        "keyctl",
        "setpriority",
        "sched_setaffinity",
        "ioprio_set",
        "kcmp",
        "memfd_create",
    ],
)
def test_what_reaches_others_is_not_on_the_list(name: str) -> None:
    assert name not in CALLS
