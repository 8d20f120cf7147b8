"""One site per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture
def unchanged(site: Site) -> Iterator[None]:
    """Fails the test when anything at the Domain is another than before."""
    before = site.state()
    yield
    assert site.state() == before
