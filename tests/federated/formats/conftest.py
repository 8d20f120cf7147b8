"""Formats as installed packages bring them, and a Domain that has them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.federated.formats.home import Home
from tests.federated.formats.key_host import KEY_HOSTS, KeyHost
from tests.user_folder import fresh_user

COHORT = 3

ENTRY_POINTS = """
[grid.report_formats]
locked = tests.federated.formats.sealed:SealedFormat
masked = tests.federated.formats.masked:MaskedFormat
[syft_ext.report_encoders]
locked = tests.federated.formats.sealed:SealedEncoder
masked = tests.federated.formats.masked:MaskedEncoder
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of this name with these entry points, as pip leaves it: its metadata on the path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(package: str, points: str) -> None:
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(points)
        importlib.invalidate_caches()

    return put


@pytest.fixture(autouse=True)
def installed(install: Install) -> None:
    install("grid_test_formats", ENTRY_POINTS)


@pytest.fixture(autouse=True)
def key_host() -> Iterator[KeyHost]:
    KEY_HOSTS["host"] = KeyHost(COHORT)
    yield KEY_HOSTS["host"]
    KEY_HOSTS.clear()


@pytest.fixture
def home(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A Domain over sockets, which can be stopped and started again."""
    with fresh_user(tmp_path / "user"):
        home = Home(tmp_path / "home", sqlite_url, monkeypatch)
        yield home
        home.stop()
