from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.node.metadata import MetadataService
from tests.accounts.people import House

__all__ = ["house"]


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, services=(MetadataService, *ACCOUNTS, *CATALOGUE))
    yield house
    house.node.stop()
