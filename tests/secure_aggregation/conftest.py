"""A Domain on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.secure_aggregation.home import Home
from tests.user_folder import fresh_user


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with fresh_user(tmp_path / "user"):
        home = Home(tmp_path / "home", database_url, monkeypatch)
        yield home
        home.close()
