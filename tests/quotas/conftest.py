from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.federated.service import FederatedService
from grid.quotas.service import QuotaService
from tests.accounts.people import House
from tests.governance.conftest import SERVICES, WarmProcesses, _warm_processes, sandbox

__all__ = ["WarmProcesses", "_warm_processes", "house", "sandbox"]


@pytest.fixture
def house(tmp_path: Path, database_url: str, sandbox: WarmProcesses) -> Iterator[House]:
    services = (*SERVICES, QuotaService, FederatedService)
    house = House(tmp_path / "home", database_url, services=services)
    yield house
    house.node.stop()
