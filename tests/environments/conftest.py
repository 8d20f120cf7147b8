"""A Domain that makes environments. At the end of each test none of its processes may be left."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.compute.service import ComputeService
from grid.config import DomainSettings
from grid.environments.processes import command_of, processes
from grid.environments.service import EnvironmentService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node import Service
from grid.node.metadata import MetadataService
from tests.accounts.people import House

__all__ = ["house", "no_process_is_left"]

TYPES = [
    "tiny threads=1 memory=268435456 cpu_seconds=3600 seconds=3600",
    "brief threads=1 memory=67108864 cpu_seconds=7 seconds=3600",
]
#: The keeper's rounds come when a test says so: ``node.service(EnvironmentService).keep()``.
SETTINGS = DomainSettings(
    environment_types=TYPES,
    environment_interval=3600.0,
    environment_idle=600.0,
    environment_lease=60.0,
    quarantine=0.0,  # what no row tells of is ended at once
    max_environments=3,
)


@pytest.fixture(autouse=True)
def no_process_is_left(tmp_path: Path) -> Iterator[None]:
    """Ends what a failed test left, and fails a test that left something."""
    yield
    here = str(tmp_path.resolve())
    left = [each for each in processes() if any(here in argument for argument in command_of(each))]
    for process in left:
        process.kill()
    assert not left


@pytest.fixture
def house(tmp_path: Path, sqlite_url: str, no_process_is_left: None) -> Iterator[House]:
    """In this process, on SQLite; ``test_story.py`` has a Domain as deployed, on both engines."""
    services: list[type[Service]] = [MetadataService, AuditService, *ACCOUNTS, *CATALOGUE, *GOVERNANCE]
    services.append(partial(ComputeService, settings=SETTINGS))  # type: ignore[arg-type]
    services.append(partial(EnvironmentService, settings=SETTINGS))  # type: ignore[arg-type]
    house = House(tmp_path / "home", sqlite_url, services=services)
    yield house
    house.node.stop()
