"""A node's settings: typed, from four places (defaults < TOML file < environment < flags), each traceable.

Knows names, types and where each value came from; must not know what a setting does.
"""

from grid.config.load import Resolved, environment_name, resolve
from grid.config.settings import (
    DomainSettings,
    NetworkSettings,
    NodeSettings,
    WorkerSettings,
    setting_fields,
)

__all__ = [
    "DomainSettings",
    "NetworkSettings",
    "NodeSettings",
    "Resolved",
    "WorkerSettings",
    "environment_name",
    "resolve",
    "setting_fields",
]
