"""One Domain for each engine: its nursery takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from grid.compute.hosts import ChildHosts
from syft_ext.messages.policy import SitePolicy
from tests.conftest import throw_away_database
from tests.warm_hosts import OWN, own_nursery

from .lab import Lab


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with throw_away_database() if request.param == "postgresql" else nullcontext("") as url:
        lab = Lab(tmp_path_factory.mktemp("lab"), url, compute_memory=64 << 20, compute_sessions_per_user=8)
        yield lab
        lab.close()


@pytest.fixture(autouse=True)
def nursery_as_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node of this room has its own (not so elsewhere: :mod:`tests.warm_hosts`)."""
    monkeypatch.setattr(ChildHosts, "_ready", own_nursery)
    monkeypatch.setenv(OWN, "1")


@pytest.fixture(autouse=True)
def no_policy(request: pytest.FixtureRequest) -> Iterator[None]:
    """A policy that a test set does not outlive it."""
    yield
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").policy(SitePolicy())
