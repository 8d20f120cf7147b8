"""One Domain for each engine: its nursery takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from argon2 import PasswordHasher

from grid.accounts.service import PASSWORDS
from syft_ext.messages.policy import SitePolicy
from tests.conftest import throw_away_database

from .lab import Lab


@pytest.fixture(autouse=True, scope="session")
def cheap_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PASSWORDS, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cheap_hashes: None
) -> Iterator[Lab]:
    with throw_away_database() if request.param == "postgresql" else nullcontext("") as url:
        lab = Lab(tmp_path_factory.mktemp("lab"), url, compute_memory=64 << 20, compute_sessions_per_user=8)
        yield lab
        lab.close()


@pytest.fixture(autouse=True)
def no_policy(request: pytest.FixtureRequest) -> Iterator[None]:
    """A policy that a test set does not outlive it."""
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").policy(SitePolicy())
