"""What is in the confidential worker's image, and how it is started there."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

from apps.images.oci import Image, image_of
from apps.images.parts import Lock, fetch
from apps.images.tree import Tree

__all__ = ["ARGUMENTS", "DEBIAN", "ENTRYPOINT", "LABELS", "LOCK", "WHEELS", "image", "root_file_system"]

LOCK = Path(__file__).with_name("confidential-worker.toml")
#: An interpreter and what it and the wheels are linked against: no shell, no package manager, no init.
DEBIAN = (
    *(
        "libc6",
        "libgcc-s1",
        "libstdc++6",
        "zlib1g",
        "libexpat1",
        "libffi8",
        "libssl3",
        "libbz2-1.0",
        "liblzma5",
    ),
    *("libcrypt1", "libuuid1", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal"),
)
WHEELS = ("blake3", "cffi", "cryptography", "msgspec", "numpy", "pycparser", "pynacl", "typing-extensions")
#: Isolated: no environment, no folder of a user or of now, no compiled copies.
ENTRYPOINT = ("/usr/bin/python3.11", "-I", "-B", "-m", "apps.confidential_worker")
ARGUMENTS = ("--listen", "tcp:9443", "--evidence", "confidential-space")
#: Confidential Space: whoever starts it cannot add an environment or arguments, or read what it prints.
LABELS = {
    "tee.launch_policy.allow_cmd_override": "false",
    "tee.launch_policy.allow_env_override": "",
    "tee.launch_policy.log_redirect": "never",
    "tee.launch_policy.monitoring_memory_allow": "never",
}
_PLACE = "usr/lib/python3/dist-packages"
#: Of our own code, what the worker loads (tests/confidential/worker says so of the running process), and no more.
_SOURCES = (
    "apps/__init__.py",
    "apps/confidential_worker",
    "packages/grid/__init__.py",
    "packages/grid/confidential_worker",
    "packages/syft_ext/__init__.py",
    "packages/syft_ext/_version.py",
    "packages/syft_ext/attestation",
    "packages/syft_ext/confidential",
    "packages/syft_ext/errors.py",
    "packages/syft_ext/identity.py",
    "packages/syft_ext/plans/__init__.py",
    "packages/syft_ext/plans/tracing/__init__.py",
    "packages/syft_ext/plans/tracing/sender.py",
    "packages/syft_ext/pointers/__init__.py",
    "packages/syft_ext/pointers/install.py",
    "packages/syft_ext/privacy",
    "packages/syft_ext/readable.py",
)
_DROPPED = re.compile(
    r"usr/share/(man|locale|lintian|doc/(?!.*copyright)|python3|applications|pixmaps)"
    r"|.*/(tests?|__pycache__|idlelib|lib2to3|ensurepip|distutils|turtledemo|tkinter|pydoc_data)/"
    r"|.*\.(pyc|pyi|a|h|pxd)$"
    r"|etc/|usr/share/binfmts|.*/gconv/|.*/lib-dynload/_(ssl|sqlite3|curses|dbm|tkinter|test)"
)


def root_file_system(lock: Lock, store: Path, checkout: Path) -> bytes:
    """The root file system as one tar archive: locked packages and this checkout's code, and nothing of this
    machine.

    Args:
        store: where fetched packages are kept. checkout: whose code goes in.
    """
    tree = Tree(lambda path: not _DROPPED.match(path))
    for part, data in zip(lock.parts, fetch(lock.parts, store), strict=True):
        if part.kind == "debian":
            tree.add_deb(data)
        else:
            tree.add_wheel(data, _PLACE)
    for each in _SOURCES:
        path = checkout / each
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = file.relative_to(checkout).as_posix().removeprefix("packages/")
            tree.add_file(f"{_PLACE}/{name}", file.read_bytes())
    # What an installation would write, so that the version is known there.
    config = ConfigParser()
    config.read_string((checkout / "setup.cfg").read_text())
    name, version = config["metadata"]["name"], config["metadata"]["version"]
    said = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    tree.add_file(f"{_PLACE}/{name.replace('-', '_')}-{version}.dist-info/METADATA", said.encode())
    return tree.tar(lock.epoch)


def image(layer: bytes, lock: Lock) -> Image:
    """The OCI image around a root file system, for Confidential Space; its digest is the reference value."""
    return image_of(layer, entrypoint=ENTRYPOINT, arguments=ARGUMENTS, labels=LABELS, epoch=lock.epoch)
