"""A provider of environments: processes as the local provider makes them, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from grid.environments.local import LocalProvider

__all__ = ["FolderProvider", "make"]


class FolderProvider(LocalProvider):
    name = "example-folder"


def make(home: Path, lease: float) -> FolderProvider:
    return FolderProvider(home / "example-environments", lease)
