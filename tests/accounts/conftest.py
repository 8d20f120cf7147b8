from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from accounts.people import House
from grid.accounts.service import PASSWORDS


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real parameters take 64 MiB and a good part of a second; test_passwords.py tests those."""
    monkeypatch.setattr(PASSWORDS, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url)
    yield house
    house.node.stop()
