"""``./grid-demo --peers`` in two rounds: what its last line tells is so."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

import demo.peers
from demo.browser import CHROMIUM
from tests import nodes


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("browser", [True, False], ids=["browser", "without"])
def test_a_browser_and_python_learn_what_python_alone_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: bool
) -> None:
    if browser and shutil.which(CHROMIUM) is None:
        pytest.skip(f"no {CHROMIUM} on this machine")
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(demo.peers, "NodeProcess", nodes.NodeProcess)
    if not browser:
        monkeypatch.setattr(demo.peers, "CHROMIUM", "no-such-browser")
    torch.set_num_threads(1)
    told = io.StringIO()
    found = demo.peers.run_peers(Console(file=told), tmp_path, 2)["peers"]
    assert set(found) == {
        "python",
        "browser",
        "path",
        "rounds",
        "accuracy",
        "largest_difference_to_python",
    }
    assert (found["python"], found["browser"]) == ((1, 1) if browser else (2, 0))
    assert found["rounds"] == 2 and found["path"] in ("direct", "webrtc", "turn", "relay")
    assert 0.5 < found["accuracy"] <= 1
    if browser:
        assert found["largest_difference_to_python"] <= 1e-5
    else:
        assert found["largest_difference_to_python"] is None
        assert "apt install chromium" in " ".join(told.getvalue().split())  # the console breaks lines
