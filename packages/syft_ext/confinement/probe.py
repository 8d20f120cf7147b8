"""Trying the protections out: a throw-away process confines itself, tries to break out, and says what held.

python -I -c BOOTSTRAP … syft_ext.confinement.probe SOCKET
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from syft_ext.confinement.child import CHILD_SOCKET, ChildProcess
from syft_ext.confinement.lockdown import PROTECTIONS, Confinement, enter

__all__ = ["main", "probe"]

_SECONDS = 60.0
_MEMORY = 1 << 28
_whole: Confinement | None = None  # what a machine can do it does not unlearn


def probe() -> Confinement:
    """What confines children of this process. Where something is missing, each call looks again."""
    global _whole
    if _whole is not None:
        return _whole
    found = _ask()
    if not found.missing:
        _whole = found
    return found


def _ask() -> Confinement:
    try:
        child = ChildProcess("syft_ext.confinement.probe", [str(CHILD_SOCKET)])
    except OSError as error:
        return _nothing(f"no process could be started to try it ({error.strerror})")
    try:
        child.socket.settimeout(_SECONDS)
        answer = b""
        while piece := child.socket.recv(1 << 16):
            answer += piece
        if not answer:
            return _nothing("the process that tried it ended without an answer")
        return msgspec.json.decode(answer, type=Confinement)
    except (OSError, msgspec.MsgspecError) as error:
        return _nothing(f"the process that tried it did not answer ({type(error).__name__})")
    finally:
        child.kill()


def _nothing(reason: str) -> Confinement:
    return Confinement((), dict.fromkeys(PROTECTIONS, reason))


def main(arguments: list[str]) -> None:
    """In the child: enter, try, answer."""
    channel = socket.socket(fileno=int(arguments[0]))
    channel.setblocking(True)
    try:
        found = enter(_MEMORY, permissive=True)
        broken = {
            name: "accepted by the kernel, and not enforced" for name in found.in_force if not _holds(name)
        }
    except Exception as error:
        found, broken = _nothing(f"{type(error).__name__}: {error}"), {}
    in_force = tuple(name for name in found.in_force if name not in broken)
    channel.sendall(msgspec.json.encode(Confinement(in_force, found.missing | broken)))
    os._exit(0)


def _holds(protection: str) -> bool:
    attempts: dict[str, Callable[[], object]] = {
        "namespaces": Path("/etc").stat,
        "rlimits": lambda: bytearray(4 * _MEMORY),
        "landlock": lambda: list(Path("/").iterdir()),
        "seccomp": socket.socket,
    }
    try:
        attempts[protection]()
    except (OSError, MemoryError):
        return True
    return False
