"""The folders of sandboxes: what a killed process left is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from syft_ext.confinement import folders

MAKE = """
import os, sys, time
from pathlib import Path
from syft_ext.confinement.folders import claim_folders, own_folder
claim_folders(Path(sys.argv[1]))
print(own_folder()[0], flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(folders, "_tag", "")
    return place


def start(home: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", MAKE, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_next_start_of_a_home_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    killed, left = start(tmp_path / "north")
    alive, held = start(tmp_path / "north")
    other, foreign = start(tmp_path / "south")
    killed.kill()
    other.kill()
    for process in (killed, other):
        process.communicate()
    (left / "file").write_text("what a plan wrote")
    assert folders.claim_folders(tmp_path / "north") == 1
    assert not left.exists()
    assert held.exists(), "its process lives"
    assert foreign.exists(), "it is another home's"
    alive.kill()
    alive.communicate()
    assert folders.claim_folders(tmp_path / "north") == 1


def test_what_is_not_provably_ours_stays(own_temporary: Path, tmp_path: Path) -> None:
    folders.claim_folders(tmp_path)
    place, held = folders.own_folder()
    prefix = Path(place).name.rpartition("-")[0]
    os.close(held)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = [own_temporary / "sandbox-abc", own_temporary / f"{prefix}-open", own_temporary / f"{prefix}-link"]
    kept[0].mkdir(mode=0o700)
    kept[1].mkdir(mode=0o755)
    kept[2].symlink_to(elsewhere)
    (own_temporary / f"{prefix}-file").write_text("")
    assert folders.claim_folders(tmp_path) == 1
    assert not Path(place).exists() and elsewhere.exists() and all(os.path.lexists(each) for each in kept)
    assert (own_temporary / f"{prefix}-file").exists()


def test_a_user_s_own_folders_have_one_name() -> None:
    place, held = folders.own_folder()
    assert f"-user{os.getuid()}-" in place and Path(place).stat().st_mode & 0o777 == 0o700
    os.close(held)
