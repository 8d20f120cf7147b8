"""What ``grid doctor`` finds of the STUN and TURN servers in a node's settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grid.config import NodeSettings

__all__ = ["ice_checks"]

Check = Callable[[], tuple[str, str]]


def ice_checks(settings: NodeSettings) -> list[tuple[str, Check]]:
    """Each check of such a server with its name; none for a node that has no such settings.

    Raises :class:`~syft_ext.errors.InvalidConfig` for a server that is none.
    """
    from grid.config import PeerSettings

    if not isinstance(settings, PeerSettings):
        return []
    from grid.peers.ice_servers import OwnServers
    from syft_ext.clock import SystemClock

    own = OwnServers(settings, SystemClock())
    if not own:
        return [("ice servers", lambda: ("ok", "none are set: a Domain takes its Network's"))]
    try:
        from grid.peers.probing import probe_stun, probe_turn
    except ImportError:
        said = "they cannot be asked without the extra `webrtc` (pip install 'grid-platform[webrtc]')"
        return [("ice servers", lambda: ("warning", said))]
    turn = partial(probe_turn, secret=settings.turn_secret, lifetime=settings.turn_lifetime)
    checks: list[tuple[str, Check]] = [("stun", partial(probe_stun, url)) for url in own.stun]
    return checks + [("turn", partial(turn, url)) for url in own.turn]
