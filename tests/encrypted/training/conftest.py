"""A Domain over sockets, on either database, and a host who has the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syft_ext.encrypted.context import EncryptionKeys
from tests.encrypted.training.site import Site
from tests.user_folder import fresh_user


@pytest.fixture
def site(
    tmp_path: Path, sqlite_url: str, keys: EncryptionKeys, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    with fresh_user(tmp_path / "user"):
        found = Site(tmp_path / "home", sqlite_url, monkeypatch, keys)
        yield found
        found.stop()
