from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.schemas import ledger_service, statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node.metadata import MetadataService
from grid.node.plan_processes import PlanProcesses
from grid.privacy.budget.service import BudgetService
from syft_ext.confinement.gate import Gate
from syft_ext.plans.sandbox.process import SandboxProcess
from tests.accounts.people import House

__all__ = ["house", "sandbox", "sqlite_house"]

SERVICES = (
    MetadataService,
    AuditService,
    *ACCOUNTS,
    *CATALOGUE,
    *GOVERNANCE,
    PolicyService,
    BudgetService,
    statistics_service,
    ledger_service,
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


class WarmProcesses(PlanProcesses):
    """The real processes, kept from one test to the next: starting one takes longer than most tests."""

    def close(self) -> None:
        pass

    def apart(self, user_id: str) -> AbstractContextManager[SandboxProcess]:
        return self.of(user_id)

    def of(self, user_id: str, *, retire: bool = False) -> AbstractContextManager[SandboxProcess]:
        return super().of("everybody")

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def _warm_processes() -> Iterator[WarmProcesses]:
    processes = WarmProcesses(Gate())
    yield processes
    processes.end()


@pytest.fixture
def sandbox(_warm_processes: WarmProcesses, monkeypatch: pytest.MonkeyPatch) -> WarmProcesses:
    """Nodes that are made after this share one process for plans."""
    monkeypatch.setattr("grid.node.node.PlanProcesses", lambda gate: _warm_processes)
    return _warm_processes
