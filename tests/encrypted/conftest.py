"""Keys take a while: one pair of each for all tests."""

from __future__ import annotations

import pytest

from syft_ext.encrypted.context import EncryptionKeys


@pytest.fixture(scope="session")
def keys() -> EncryptionKeys:
    return EncryptionKeys.generate("add4096")


@pytest.fixture(scope="session")
def other_keys() -> EncryptionKeys:
    return EncryptionKeys.generate("add4096")
