"""Material that lies beside a checkout and is no part of it: recorded evidence, published vectors, prototypes.

Nothing of it is copied here. A test that uses it is skipped where it is not, and says so.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["shared"]

_ROOT = Path(os.environ.get("GRID_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def shared(*names: str) -> Path:
    """The file or folder of this name; skips the test where there is none (``GRID_SHARED`` says where to look)."""
    path = _ROOT.joinpath(*names)
    if not path.exists():
        pytest.skip(f"{'/'.join(names)} is not beside this checkout (GRID_SHARED)")
    return path
