"""A root file system in memory, and the one tar archive that it is."""

from __future__ import annotations

import io
import lzma
import posixpath
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from syft_ext.errors import BadRequest

__all__ = ["Tree"]


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: int
    data: bytes = b""
    link: str = ""


class Tree:
    """Files, folders and links by their absolute path; everything belongs to root, at one time.

    Args:
        keep: whether a path (without the first slash) goes in.
    """

    def __init__(self, keep: Callable[[str], bool]) -> None:
        self._keep, self._entries = keep, dict[str, _Entry]()

    def add_deb(self, package: bytes) -> None:
        """The files of a Debian package; none of its scripts is run.

        Raises :class:`BadRequest` for what is none.
        """
        data = _member(package, b"data.tar.xz")
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(data))) as archive:
            for member in archive:
                path = _clean(member.name)
                if member.isfile() or member.islnk():
                    file = archive.extractfile(member)
                    assert file is not None  # not of a file, or a link to one in this archive
                    self._add(path, _Entry(0o755 if member.mode & 0o100 else 0o644, file.read()))
                elif member.issym():
                    self._add(path, _Entry(0o777, link=member.linkname))
                elif not member.isdir():
                    raise BadRequest(f"{member.name} in a package is no file, folder or link")

    def add_wheel(self, wheel: bytes, place: str) -> None:
        """The files of a wheel, in the folder ``place``; its record of them comes along."""
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    self._add(_clean(f"{place}/{name}"), _Entry(0o644, archive.read(name)))

    def add_file(self, path: str, data: bytes) -> None:
        """One file that can be read by all."""
        self._add(_clean(path), _Entry(0o644, data))

    def _add(self, path: str, entry: _Entry) -> None:
        if not path or not self._keep(path):
            return
        there = self._entries.get(path)
        if there is not None and there != entry:
            raise BadRequest(f"two packages have another /{path} each")
        self._entries[path] = entry

    def tar(self, epoch: int) -> bytes:
        """The archive: paths in order, folders before what is in them, all at ``epoch`` (seconds), no names of
        owners, in the format of POSIX 1003.1-1988."""
        folders = {
            parent for path in self._entries for parent in _parents(path) if parent not in self._entries
        }
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path in sorted([*folders, *self._entries]):
                header = tarfile.TarInfo(path)
                header.mtime = epoch
                if path in folders:
                    header.type, header.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(header)
                    continue
                entry = self._entries[path]
                header.mode = entry.mode
                if entry.link:
                    header.type, header.linkname = tarfile.SYMTYPE, entry.link
                    archive.addfile(header)
                else:
                    header.size = len(entry.data)
                    archive.addfile(header, io.BytesIO(entry.data))
        return stream.getvalue()

    def paths(self) -> list[str]:
        """All files and links, in order."""
        return sorted(self._entries)


def _clean(name: str) -> str:
    path = posixpath.normpath("/" + name).lstrip("/")
    if ".." in name.split("/"):
        raise BadRequest(f"{name} leads out of the image")
    return path


def _parents(path: str) -> list[str]:
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found


def _member(package: bytes, wanted: bytes) -> bytes:
    """A member of an ar archive (deb(5))."""
    if not package.startswith(b"!<arch>\n"):
        raise BadRequest("this is no Debian package")
    start = 8
    while start + 60 <= len(package):
        name, size = package[start : start + 16].rstrip(b" /"), int(package[start + 48 : start + 58])
        start += 60
        if name == wanted:
            return package[start : start + size]
        start += size + size % 2
    raise BadRequest(f"a Debian package without {wanted.decode()}")
