from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.plans.review_sandbox import ReviewSandbox
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node.metadata import MetadataService
from grid.privacy.budget.service import BudgetService
from tests.accounts.people import House, cheap_hashes

__all__ = ["cheap_hashes", "house", "sandbox", "sqlite_house"]

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


class WarmSandbox(ReviewSandbox):
    """The real sandbox, kept from one test to the next: starting one takes longer than most tests."""

    def close(self) -> None:
        pass

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def _warm_sandbox() -> Iterator[WarmSandbox]:
    sandbox = WarmSandbox()
    yield sandbox
    sandbox.end()


@pytest.fixture
def sandbox(_warm_sandbox: WarmSandbox, monkeypatch: pytest.MonkeyPatch) -> WarmSandbox:
    """Nodes that are made after this share one sandbox."""
    monkeypatch.setattr("grid.governance.plans.service.ReviewSandbox", lambda: _warm_sandbox)
    return _warm_sandbox
