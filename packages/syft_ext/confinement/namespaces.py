"""A process in namespaces of its own: no network, no System V IPC, and a root in which only some code is mounted.

Sources: unshare(2), user_namespaces(7), mount_namespaces(7), pivot_root(2), mount_setattr(2), capabilities(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from syft_ext.confinement.kernel import ProtectionError, architecture, call, libc, system_call, thread_count

__all__ = ["drop_capabilities", "own_namespaces"]

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x40000000
_NEW = _NEWNS | _NEWUTS | _NEWIPC | _NEWNET
_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x4000, 1 << 18, 2, 4, 8
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same numbers on all architectures
_PIVOT_ROOT, _CAPSET = (155, 41), (126, 91)
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_TREE_CLONE = 1
_FROM_EMPTY_PATH = 4
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_MNT_DETACH = 2
_NOT_ALLOWED = (
    "; user namespaces are not allowed here: see kernel.unprivileged_userns_clone, user.max_user_namespaces, "
    "kernel.apparmor_restrict_unprivileged_userns, or what confines the container"
)
_DEVICES = frozenset({"/dev/urandom"})
"""Devices that may be places: what draws keys asks here, and would otherwise have none that are random."""
_STAGE = "/proc"  # any folder that is there: the new root is put together on top of it


def own_namespaces(readable: Sequence[str], places: Mapping[str, str], writable: str = "") -> None:
    """Move to new namespaces, with a root that holds ``readable`` at the same paths, read-only, and nothing else.

    Args:
        places: path in the new root → a file or folder that appears there as well, read-only unless it is
            ``writable``.

    Raises :class:`ProtectionError`. The process must have one thread: others would stay behind.
    """
    if (threads := thread_count()) != 1:
        raise ProtectionError(f"the process has {threads} threads; they can be entered with one only")
    _, index = architecture()
    _unshare()
    try:
        _new_root(readable, places, writable, index)
    except OSError as error:
        raise ProtectionError(f"no file system of its own ({error.strerror})") from error


def _unshare() -> None:
    """With a user namespace wherever there is one: rights that root has outside are gone then, too."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW | _NEWUSER) == 0:
        # Without a map every peer of a socket would look like nobody.
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1\n")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1\n")
        return
    refused = ctypes.get_errno()
    if libc.unshare(_NEW) == 0:  # root, where user namespaces are switched off
        return
    reason = os.strerror(refused)
    if refused in (errno.EPERM, errno.ENOSPC):
        reason += _NOT_ALLOWED
    elif refused in (errno.ENOSYS, errno.EINVAL):
        reason += "; not in this kernel"
    raise ProtectionError(f"unshare: {reason}")


def _new_root(readable: Sequence[str], places: Mapping[str, str], writable: str, index: int) -> None:
    call("mount --make-rprivate /", libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))
    trees = [(path, _tree(path, read_only=True)) for path in readable]
    trees += [(place, _tree(path, read_only=path != writable)) for place, path in places.items()]
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    call(
        "mount tmpfs",
        libc.mount(b"none", _STAGE.encode(), b"tmpfs", ctypes.c_ulong(flags), b"mode=555,size=1m"),
    )
    for link in ("/lib", "/lib64"):
        if Path(link).is_symlink():
            Path(_STAGE + link).symlink_to(Path(link).readlink())
    for path, tree in trees:
        target = Path(_STAGE + path)
        if os.path.isdir(f"{path}") if path not in places else os.path.isdir(places[path]):  # noqa: PTH112
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        system_call(
            f"move_mount {path}", _MOVE_MOUNT, tree, b"", _AT_FDCWD, str(target).encode(), _FROM_EMPTY_PATH
        )
        os.close(tree)
    os.chdir(_STAGE)
    system_call("pivot_root", _PIVOT_ROOT[index], b".", b".")
    call("umount", libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")
    _set_attributes(os.open("/", os.O_PATH | os.O_CLOEXEC), _ATTR_RDONLY, recursive=False)


def _tree(path: str, *, read_only: bool) -> int:
    """A detached copy of the mounts at ``path``."""
    flags = _TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if os.path.isdir(path) else 0)  # noqa: PTH112
    tree = system_call(f"open_tree {path}", _OPEN_TREE, _AT_FDCWD, path.encode(), flags)
    attributes = _ATTR_NOSUID | (0 if path in _DEVICES else _ATTR_NODEV) | (_ATTR_RDONLY if read_only else 0)
    _set_attributes(os.dup(tree), attributes, recursive=True)
    return tree


def _set_attributes(mount: int, attributes: int, *, recursive: bool) -> None:
    """Takes the descriptor ``mount`` over."""
    document = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    try:
        system_call("mount_setattr", _MOUNT_SETATTR, mount, b"", flags, document, len(document))
    finally:
        os.close(mount)


def drop_capabilities() -> None:
    """Give up every capability of this thread, in whatever user namespace it is. Raises :class:`OSError`."""
    header = ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0))
    nothing = ctypes.create_string_buffer(24)
    _, index = architecture()
    system_call("capset", _CAPSET[index], header, nothing)
