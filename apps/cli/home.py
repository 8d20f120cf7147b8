"""A node's home on this machine: where it is, and the settings of the node that runs in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["URL_FILE", "home_of", "resolve_settings"]

#: Where a running node writes its address, inside its home.
URL_FILE = "node.url"


def home_of(kind: str, home: Path | None) -> Path:
    """The home that was named, or the default one of this kind of node, as an absolute path."""
    return (home or _default_home(kind)).expanduser().absolute()


def _default_home(kind: str) -> Path:
    """``$GRID_HOME``, or a folder for this kind of node among the user's data."""
    if os.environ.get("GRID_HOME"):
        return Path(os.environ["GRID_HOME"])
    import platformdirs

    return Path(platformdirs.user_data_dir("grid")) / kind


def resolve_settings(kind: str, home: Path, config: Path | None, flags: dict[str, Any]) -> Any:
    """Settings from the file, the environment and ``flags`` (:func:`grid.config.resolve`)."""
    from apps.kinds import app_of, apps
    from grid.config import resolve
    from grid.config.load import FILE_NAME

    file = config or (home / FILE_NAME if (home / FILE_NAME).exists() else None)
    others = [app.settings_class() for app in apps()]
    return resolve(kind, app_of(kind).settings_class(), others=others, file=file, env=os.environ, flags=flags)
