"""A user of the tests' own: keys, known nodes and sessions in a folder that is empty, and nobody logged in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syft_ext.profile import credentials

__all__ = ["fresh_user", "nobody_logged_in"]


@contextmanager
def fresh_user(folder: Path) -> Iterator[Path]:
    """In this block, the user's folder is ``folder``, and this process knows of no login."""
    with pytest.MonkeyPatch.context() as patch, nobody_logged_in():
        patch.setenv("GRID_USER_HOME", str(folder))
        yield folder


@contextmanager
def nobody_logged_in() -> Iterator[None]:
    """In this block, this process knows only the logins that are in files: as a new process would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "_sessions", {})
        yield
