"""Where our code lies decides what a plan's process may read: right to the folder, and no further."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import syft_ext
from syft_ext.confinement.child import python_command
from syft_ext.confinement.readable import readable
from syft_ext.source_roots import PACKAGE, SOURCE_ROOT

_READ = """
import sys
sys.path.insert(0, sys.argv[1])
from syft_ext.confinement.lockdown import enter
enter(1 << 30)
for path in sys.argv[2:]:
    try:
        open(path).close()
        print("read")
    except FileNotFoundError:
        print("not there")
"""


def test_the_roots_are_those_of_the_imported_package() -> None:
    assert Path(syft_ext.__file__).resolve().parent == PACKAGE
    assert PACKAGE.parent == SOURCE_ROOT
    assert (SOURCE_ROOT / "grid" / "__init__.py").is_file(), "the node's package lies beside it"


def test_a_child_has_no_other_path_than_the_source_root() -> None:
    command = python_command("module", ["argument"], descriptors=5)
    assert command[-4:] == ["5", str(SOURCE_ROOT), "module", "argument"]
    assert command[:2] == [sys.executable, "-I"]


def test_what_a_plan_may_read_is_our_packages_and_not_what_lies_around_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor what a .pth file put on the path: of a checkout that would be everything in it."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(SOURCE_ROOT.parent), str(tmp_path)])
    found = {Path(path) for path in readable()}
    assert PACKAGE in found or any(
        PACKAGE.is_relative_to(path) for path in found if path.name == "site-packages"
    )
    ours = {path for path in found if path in PACKAGE.parents and path.name != "site-packages"}
    assert not ours, "a folder that is too high"
    assert not any(tmp_path.is_relative_to(path) for path in found)


def test_a_locked_down_process_reads_our_code_and_nothing_beside_it(tmp_path: Path) -> None:
    """Of a copy of the packages: the checkout's own parent may hold the interpreter, which it may read."""
    root = tmp_path / "packages"
    shutil.copytree(PACKAGE, root / "syft_ext", ignore=shutil.ignore_patterns("__pycache__"))
    beside = tmp_path / "secret.txt"
    beside.write_text("not the plan's")
    command = [
        sys.executable,
        "-I",
        "-c",
        _READ,
        str(root),
        str(root / "syft_ext" / "errors.py"),
        str(beside),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["read", "not there"]
