from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.plans.desk import PlanDesk
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node.metadata import MetadataService
from grid.privacy.budget.service import BudgetService
from tests.accounts.people import House, cheap_hashes

__all__ = ["cheap_hashes", "desk", "house", "sqlite_house"]

SERVICES = (
    MetadataService,
    AuditService,
    *ACCOUNTS,
    *CATALOGUE,
    *GOVERNANCE,
    PolicyService,
    BudgetService,
    statistics_service,
)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, services=SERVICES)
    yield house
    house.node.stop()


@pytest.fixture
def sqlite_house(tmp_path: Path, sqlite_url: str) -> Iterator[House]:
    """For what does not depend on the engine."""
    house = House(tmp_path / "home", sqlite_url, services=SERVICES)
    yield house
    house.node.stop()


class WarmDesk(PlanDesk):
    """The real sandbox, kept from one test to the next: starting one takes longer than most tests."""

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def _warm_desk() -> Iterator[WarmDesk]:
    desk = WarmDesk()
    yield desk
    desk.end()


@pytest.fixture
def desk(_warm_desk: WarmDesk, monkeypatch: pytest.MonkeyPatch) -> WarmDesk:
    """Nodes that are made after this share one sandbox."""
    monkeypatch.setattr("grid.governance.plans.service.PlanDesk", lambda: _warm_desk)
    return _warm_desk
