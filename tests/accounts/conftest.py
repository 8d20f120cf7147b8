from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.accounts.people import House

__all__ = ["house"]


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url)
    yield house
    house.node.stop()
