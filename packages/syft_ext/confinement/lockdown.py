"""What a process gives up before a stranger's work comes to it: everything but computing, or it does no work.

In order: namespaces (no network, an empty root with some code in it), rlimits, Landlock, capabilities and seccomp.
All four protections are required. One that cannot be had is an error that names it and says why; only a machine
for development may go on without (``permissive``), and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from syft_ext.confinement.kernel import ProtectionError, call, libc, thread_count
from syft_ext.confinement.landlock import restrict_files
from syft_ext.confinement.namespaces import drop_capabilities, own_namespaces
from syft_ext.confinement.readable import readable
from syft_ext.confinement.rlimits import in_use, limit_resources
from syft_ext.confinement.seccomp import allow_only
from syft_ext.errors import Unconfined

__all__ = ["PROTECTIONS", "Confinement", "enter", "in_words"]

PROTECTIONS = ("namespaces", "rlimits", "landlock", "seccomp")
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_TITLES = {"landlock": "Landlock"}


@dataclass(frozen=True, slots=True)
class Confinement:
    """Which protections are in force, and why each of the others is missing; where the places are."""

    in_force: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def enter(
    memory_bytes: int,
    *,
    permissive: bool = False,
    needs: Sequence[str] = (),
    places: Mapping[str, str] | None = None,
    writable: str = "",
    file_size: int = 0,
) -> Confinement:
    """Give up everything but computing. Called once, with one thread, after imports, before any work is taken.

    Args:
        memory_bytes: address space that may be added to what the process has now.
        permissive: go on without what is missing. For development only.
        needs: which uses of :data:`syft_ext.confinement.seccomp.USES` the process has beside computing.
        places: path → a file or folder of now that is found there afterwards (without namespaces, where it was:
            :attr:`Confinement.places` says it).
        writable: one of ``places``: a folder in which unnamed files can be made.
        file_size: bytes that a file may have.

    Raises :class:`Unconfined`: the process must end.
    """
    code, now, threads = readable(), in_use(), thread_count()
    found = dict(places or {})

    def namespaces() -> None:
        own_namespaces(code, found, found.get(writable, ""))
        found.update({place: place for place in found})

    def landlock() -> None:
        if threads != 1:
            raise ProtectionError(f"the process has {threads} threads; it confines one only")
        given = [path for place, path in found.items() if place != writable]
        restrict_files([*code, *given], found.get(writable, ""))

    def seccomp() -> None:
        drop_capabilities()
        allow_only(needs)

    def no_new_privileges() -> None:
        call("prctl(PR_SET_DUMPABLE)", libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))  # no core, no ptrace
        call("prctl(PR_SET_NO_NEW_PRIVS)", libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))

    def rlimits() -> None:
        limit_resources(now, memory_bytes, file_size)
        no_new_privileges()

    steps: list[tuple[str, Callable[[], None]]] = [
        ("namespaces", namespaces),
        ("rlimits", rlimits),
        ("landlock", landlock),
        ("seccomp", seccomp),
    ]
    in_force, missing = [], {}
    for name, step in steps:
        try:
            step()
            in_force.append(name)
        except ProtectionError as error:
            missing[name] = str(error)
        except (OSError, ValueError) as error:
            missing[name] = getattr(error, "strerror", None) or str(error)
    if missing and not permissive:
        raise Unconfined(in_words(missing), missing=", ".join(sorted(missing)))
    return Confinement(tuple(in_force), missing, found)


def in_words(missing: Mapping[str, str]) -> str:
    """What is missing and why, on one line."""
    return "; ".join(f"{_TITLES.get(name, name)}: {reason}" for name, reason in missing.items())
