"""Domains with tables, served over sockets by threads of this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from grid.accounts.service import PASSWORDS
from tests.user_folder import fresh_user


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's folder is the module's own, nobody is logged in, and passwords cost little."""
    folder = tmp_path_factory.mktemp("user")
    with fresh_user(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(PASSWORDS, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield folder
