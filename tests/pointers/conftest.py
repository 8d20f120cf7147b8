"""Two Domains for the whole folder: a host process takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pointers.site import Site
from tests.user_folder import fresh_user


@pytest.fixture(autouse=True, scope="package")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's folder is the tests' own, and nobody is logged in."""
    folder = tmp_path_factory.mktemp("user")
    with fresh_user(folder):
        yield folder


@pytest.fixture(scope="package")
def north(tmp_path_factory: pytest.TempPathFactory, own_folder: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("north"), "north", compute_sessions_per_user=8)
    yield site
    site.close()


@pytest.fixture(scope="package")
def south(tmp_path_factory: pytest.TempPathFactory, own_folder: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("south"), "south")
    yield site
    site.close()
