from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node.metadata import MetadataService
from grid.statistics.service import StatisticsService
from tests.accounts.people import House, cheap_hashes

__all__ = ["cheap_hashes", "house"]


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    services = (MetadataService, *ACCOUNTS, *CATALOGUE, *GOVERNANCE, PolicyService, StatisticsService)
    house = House(tmp_path / "home", database_url, services=services)
    yield house
    house.node.stop()
