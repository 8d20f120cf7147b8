"""A Domain with its defaults, on each database engine, and the people of :mod:`tests.federated.consent.story`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.federated.consent.story import Story
from tests.governance.conftest import _warm_processes, sandbox

__all__ = ["_warm_processes", "sandbox"]


@pytest.fixture
def story(tmp_path: Path, database_url: str, sandbox: object) -> Iterator[Story]:
    story = Story(tmp_path / "home", database_url)
    yield story
    story.house.node.stop()


@pytest.fixture
def sqlite_story(tmp_path: Path, sqlite_url: str, sandbox: object) -> Iterator[Story]:
    """For what does not depend on the engine."""
    story = Story(tmp_path / "home", sqlite_url)
    yield story
    story.house.node.stop()
