"""Node and the packages of packages/grid_js, where this machine has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["GRID_JS", "ROOT", "SERVED", "needs_node"]

ROOT = Path(__file__).resolve().parents[2]
GRID_JS = ROOT / "packages" / "grid_js"
SERVED = ROOT / "packages" / "grid" / "web" / "pages" / "static" / "peer"


def needs_node() -> None:
    """Skip where there is no Node; else have installed what packages/grid_js uses."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed; the browser's side is not tested from its sources")
    done = subprocess.run([ROOT / "scripts" / "bundle", "--install"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
