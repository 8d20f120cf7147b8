"""kill -9 of whole nodes in the middle of rounds; ``python -m tests.confidential_training.kills`` takes more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.confidential_training.kills import survive

pytestmark = pytest.mark.slow


def test_rounds_survive_the_death_of_any_node(tmp_path: Path) -> None:
    assert survive(tmp_path, seed=5, kills=3, rounds=1)
