from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.nodes import World


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[World]:
    world = World(tmp_path, sqlite_template)
    yield world
    world.close()
