"""A Domain with its audit log, on each engine, and people who use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.node.metadata import MetadataService
from tests.accounts.people import House

__all__ = ["house"]

SERVICES = (MetadataService, AuditService, *ACCOUNTS, *CATALOGUE)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, services=SERVICES)
    yield house
    house.node.stop()
