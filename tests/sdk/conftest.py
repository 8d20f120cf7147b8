"""A Domain in this process, and a user whose folder is empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syft_ext.clock import SystemClock
from tests.accounts.people import House


@pytest.fixture(autouse=True)
def own_folder(own_folder: Path) -> Path:
    """Every test here has a user of its own."""
    return own_folder


@pytest.fixture
def house(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A Domain with accounts; its owner is not set up yet."""
    house = House(tmp_path / "home", sqlite_url, clock=SystemClock())
    yield house
    house.node.stop()
