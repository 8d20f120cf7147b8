"""A node's settings: typed, from four places (defaults < TOML file < environment < flags), each traceable.

Knows names, types and where each value came from; must not know what a setting does.
"""

from grid.config.domain_settings import DomainSettings
from grid.config.fields import setting_fields
from grid.config.key_host_settings import KeyHostSettings
from grid.config.load import Resolved, environment_name, resolve
from grid.config.network_settings import NetworkSettings
from grid.config.peer_settings import PeerSettings
from grid.config.plans import plan_limits
from grid.config.settings import NodeSettings, WorkerSettings

__all__ = [
    "DomainSettings",
    "KeyHostSettings",
    "NetworkSettings",
    "NodeSettings",
    "PeerSettings",
    "Resolved",
    "WorkerSettings",
    "environment_name",
    "plan_limits",
    "resolve",
    "setting_fields",
]
