"""Domains with tables, served over sockets by threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user_folder import fresh_user


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's folder is the module's own, and nobody is logged in."""
    folder = tmp_path_factory.mktemp("user")
    with fresh_user(folder):
        yield folder
