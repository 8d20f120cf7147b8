"""What a root file system is put together from, and what is refused."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from apps.images.parts import Lock, Part, fetch, read_lock, write_lock
from apps.images.tree import Tree
from syft_ext.errors import BadRequest, ContentCorrupt, InvalidConfig


def deb(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for header, content in members:
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    found = b"!<arch>\n"
    for name, content in (
        (b"debian-binary", b"2.0\n"),
        (b"control.tar.xz", b"odd"),
        (b"data.tar.xz", lzma.compress(data.getvalue())),
    ):
        found += name.ljust(16) + b"0".ljust(32) + str(len(content)).encode().ljust(10) + b"`\n" + content
        found += b"\n" * (len(content) % 2)
    return found


def member(name: str, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.mode, header.type, header.linkname, header.uid, header.mtime = mode, kind, link, 1000, 77
    return header


def entries(tree: Tree) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tree.tar(5))) as archive:
        return {each.name: each for each in archive}


def everything() -> Tree:
    return Tree(lambda path: True)


def test_a_package_is_unpacked_without_its_owner_time_and_set_user_id() -> None:
    tree = everything()
    tree.add_deb(
        deb(
            (member("./usr/bin/", kind=tarfile.DIRTYPE), b""),
            (member("./usr/bin/program", 0o4755), b"x"),
            (member("./usr/bin/other", kind=tarfile.SYMTYPE, link="program"), b""),
            (member("./usr/share/text"), b"y"),
        )
    )
    found = entries(tree)
    assert list(found) == [
        "usr",
        "usr/bin",
        "usr/bin/other",
        "usr/bin/program",
        "usr/share",
        "usr/share/text",
    ]
    assert found["usr/bin/program"].mode == 0o755 and found["usr/share/text"].mode == 0o644
    assert found["usr/bin/other"].linkname == "program"
    assert {(each.uid, each.mtime, each.uname) for each in found.values()} == {(0, 5, "")}


def test_the_order_of_adding_makes_no_difference() -> None:
    one, other = everything(), everything()
    files = [(f"a/{n}", bytes([n])) for n in range(9)]
    for name, data in files:
        one.add_file(name, data)
    for name, data in reversed(files):
        other.add_file(name, data)
    assert one.tar(1) == other.tar(1) and one.tar(2) != one.tar(1)


def test_a_wheel_goes_into_its_place_and_only_what_is_kept() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("p/__init__.py", "1")
        archive.writestr("p/tests/test.py", "2")
    tree = Tree(lambda path: "/tests/" not in path)
    tree.add_wheel(data.getvalue(), "lib")
    assert tree.paths() == ["lib/p/__init__.py"]


def test_what_leads_out_or_differs_or_is_no_package_is_refused() -> None:
    tree = everything()
    with pytest.raises(BadRequest, match="leads out"):
        tree.add_deb(deb((member("../etc/passwd"), b"")))
    with pytest.raises(BadRequest, match="no file, folder or link"):
        tree.add_deb(deb((member("./dev/sda", kind=tarfile.BLKTYPE), b"")))
    with pytest.raises(BadRequest, match="no Debian package"):
        tree.add_deb(b"PK")
    with pytest.raises(BadRequest, match=r"without data\.tar\.xz"):
        tree.add_deb(b"!<arch>\n")
    tree.add_file("same", b"1")
    tree.add_file("same", b"1")
    with pytest.raises(BadRequest, match="another /same each"):
        tree.add_file("same", b"2")


def test_a_part_is_what_its_digest_says(tmp_path: Path) -> None:
    part = Part("wheel", "p", "1", hashlib.sha256(b"right").hexdigest())
    (tmp_path / part.sha256).write_bytes(b"right")
    assert fetch([part], tmp_path) == [b"right"]
    (tmp_path / part.sha256).write_bytes(b"wrong")
    with pytest.raises(ContentCorrupt):
        fetch([part], tmp_path)


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock = Lock(7, (Part("debian", "a", "1:2", "0" * 64), Part("wheel", "b", "3", "1" * 64)))
    write_lock(tmp_path / "lock", lock)
    assert read_lock(tmp_path / "lock") == lock
    for bad in ("", "epoch = 1", "epoch = [", 'epoch = 1\nwheel = []\n[[debian]]\nname = "a"'):
        (tmp_path / "lock").write_text(bad)
        with pytest.raises(InvalidConfig):
            read_lock(tmp_path / "lock")
