"""A node's home on this machine: where it is, and the settings of the node that runs in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["REMEMBERED", "URL_FILE", "home_of", "remember", "remembered", "resolve_settings"]

#: Where a running node writes its address, inside its home.
URL_FILE = "node.url"
#: Where a home keeps the flags that its node was started with.
REMEMBERED = "remembered.json"
_CONFIG = "config"


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
    """Settings from the file, the environment, ``flags``, and the flags of earlier starts in this home
    (:func:`grid.config.resolve`)."""
    from apps.kinds import app_of, apps
    from grid.config import resolve
    from grid.config.load import FILE_NAME

    before = remembered(home)
    named = before.pop(_CONFIG, None)
    file = config or (Path(named) if named else None)
    if file is None and (home / FILE_NAME).exists():
        file = home / FILE_NAME
    return resolve(
        kind,
        app_of(kind).settings_class(),
        others=[app.settings_class() for app in apps()],
        file=file,
        env=os.environ,
        flags=flags,
        remembered=before,
    )


def remembered(home: Path) -> dict[str, Any]:
    """The flags of earlier starts. Raises :class:`~syft_ext.errors.InvalidConfig` where they cannot be read."""
    from syft_ext.errors import InvalidConfig

    try:
        found = json.loads((home / REMEMBERED).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidConfig(f"{home / REMEMBERED} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidConfig(f"{home / REMEMBERED} holds no settings: remove it and give them again")
    return found


def remember(home: Path, resolved: Any, config: Path | None = None) -> None:
    """Keep the flags of this start, so that the next one needs ``--home`` only; paths as they were meant here."""
    from grid.config import setting_fields
    from syft_ext.profile.home import write_private

    fields = setting_fields(type(resolved.settings))
    given = {
        name: str(Path(value).expanduser().absolute()) if fields[name].path and value else value
        for name, value in resolved.flags.items()
    }
    if config is not None:
        given[_CONFIG] = str(config.absolute())
    before = remembered(home)
    if {**before, **given} != before:
        write_private(home / REMEMBERED, json.dumps({**before, **given}, indent=2).encode())
