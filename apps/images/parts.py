"""The packages that an image is made of: which, by digest, and how they are had."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from syft_ext.errors import ContentCorrupt, InvalidConfig, Unavailable

__all__ = ["Lock", "Part", "fetch", "latest", "read_lock", "write_lock"]

Kind = Literal["debian", "wheel"]
_PIP = (
    *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
    *("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"),
    *(
        f"--platform={each}"
        for each in ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
    ),
    *("--platform=manylinux_2_34_x86_64", "--platform=any"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A Debian package (x86_64) or a wheel (CPython 3.11, x86_64).

    Attributes:
        sha256: of its file, in hex digits: whatever the file is called, this is the part.
    """

    kind: Kind
    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """All parts of an image, in the order in which they go in; ``epoch`` is the time of all its files."""

    epoch: int
    parts: tuple[Part, ...]


def read_lock(path: Path) -> Lock:
    """Raises :class:`InvalidConfig` for a file that is no lock."""
    try:
        found = tomllib.loads(path.read_text())
        kinds: tuple[Kind, ...] = ("debian", "wheel")
        parts = tuple(Part(kind, **each) for kind in kinds for each in found[kind])
        return Lock(int(found["epoch"]), parts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidConfig(f"{path.name} is no lock of an image") from error


def write_lock(path: Path, lock: Lock) -> None:
    """The file that :func:`read_lock` reads."""
    lines = [
        "# What an image is made of. Written by `python -m apps.images lock`; checked by every build.",
        f"epoch = {lock.epoch}",
    ]
    for part in lock.parts:
        lines += ["", f"[[{part.kind}]]"]
        lines += [f'{name} = "{getattr(part, name)}"' for name in ("name", "version", "sha256")]
    path.write_text("\n".join(lines) + "\n")


def fetch(parts: Sequence[Part], store: Path) -> list[bytes]:
    """The files of the parts: from the folder ``store`` where they are there, else from Debian and the index of
    wheels, and then they are there.

    Raises :class:`Unavailable` where one cannot be had, :class:`ContentCorrupt` where one is another file.
    """
    store.mkdir(parents=True, exist_ok=True)
    missing = [part for part in parts if not (store / part.sha256).exists()]
    for kind in ("debian", "wheel"):
        wanted = [part for part in missing if part.kind == kind]
        if wanted:
            with tempfile.TemporaryDirectory(dir=store) as folder:
                for file in _download(wanted, Path(folder)):
                    file.rename(store / hashlib.sha256(file.read_bytes()).hexdigest())
    return [_kept(part, store) for part in parts]


def latest(debian: Sequence[str], wheels: Sequence[tuple[str, str]], store: Path) -> list[Part]:
    """Debian's packages of today, and wheels of these names and versions; their files are in ``store`` then.

    Raises :class:`Unavailable` where one cannot be had.
    """
    store.mkdir(parents=True, exist_ok=True)
    found: dict[str, Part] = {}
    with tempfile.TemporaryDirectory(dir=store) as folder:
        _run(["apt-get", "download", *debian], Path(folder))
        _run([*_PIP, *(f"{name}=={version}" for name, version in wheels)], Path(folder))
        for file in _packages(Path(folder)):
            name, version = file.name.split("-" if file.suffix == ".whl" else "_")[:2]
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            kind: Kind = "wheel" if file.suffix == ".whl" else "debian"
            part = Part(kind, name.replace("_", "-"), unquote(version), digest)
            found[part.name] = part
            file.rename(store / digest)
    return [found[name] for name in (*debian, *(name for name, _ in wheels))]


def _kept(part: Part, store: Path) -> bytes:
    try:
        data = (store / part.sha256).read_bytes()
    except FileNotFoundError as error:
        raise ContentCorrupt(
            f"{part.name} {part.version} is another file than the one that is locked"
        ) from error
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise ContentCorrupt(f"{part.name} {part.version} was changed in {store}")
    return data


def _download(parts: Sequence[Part], folder: Path) -> list[Path]:
    if parts[0].kind == "debian":
        _run(["apt-get", "download", *(f"{part.name}={part.version}" for part in parts)], folder)
    else:
        wanted = folder / "wanted.txt"
        wanted.write_text("".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in parts))
        _run([*_PIP, "--require-hashes", "--requirement", str(wanted)], folder)
    return _packages(folder)


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"{' '.join(command[:3])} failed: {''.join(last)[:200]}") from error


def _packages(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.suffix in (".deb", ".whl")]
