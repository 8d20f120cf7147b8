"""STUN and TURN servers as the node's owner names them, and credentials that end soon."""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Literal

from grid.config import PeerSettings
from syft_ext.clock import Clock
from syft_ext.errors import InvalidConfig
from syft_ext.messages.peers import IceServer, IceServers

__all__ = ["IceUrl", "OwnServers", "mint"]

_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?"
)


@dataclass(frozen=True, slots=True)
class IceUrl:
    """One server (RFC 7064, RFC 7065).

    Attributes:
        host: a name or an address, an IPv6 one without brackets.
        secure: TLS, over TCP.
    """

    kind: Literal["stun", "turn"]
    host: str
    port: int
    transport: Literal["udp", "tcp"] = "udp"
    secure: bool = False

    @classmethod
    def parse(cls, text: str, setting: str) -> IceUrl:
        """Read ``stun:HOST:PORT``, ``turn:HOST:PORT?transport=tcp``, ``turns:HOST``.

        Raises :class:`InvalidConfig` naming ``setting``, whose name says which kind it takes.
        """
        kind: Literal["stun", "turn"] = "stun" if setting == "stun_servers" else "turn"
        found = _URL.fullmatch(text.strip())
        if not found or found["scheme"].removesuffix("s") != kind or (kind == "stun" and found["transport"]):
            form = "stun:HOST:PORT" if kind == "stun" else "turn:HOST:PORT or turn:HOST:PORT?transport=tcp"
            raise InvalidConfig(f"{setting}: {text[:200]!r} is not of the form {form}", key=setting)
        secure = found["scheme"].endswith("s")
        if secure and found["transport"] == "udp":
            raise InvalidConfig(f"{setting}: {text[:200]!r}: TLS goes over TCP here, not UDP", key=setting)
        port = int(found["port"] or (5349 if secure else 3478))
        if not 0 < port < 1 << 16:
            raise InvalidConfig(f"{setting}: {text[:200]!r} names no port", key=setting)
        transport: Literal["udp", "tcp"] = "tcp" if secure or found["transport"] == "tcp" else "udp"
        return cls(kind, found["host"].strip("[]"), port, transport, secure)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        suffix = "?transport=tcp" if self.kind == "turn" and self.transport == "tcp" else ""
        return f"{self.kind}{'s' if self.secure else ''}:{host}:{self.port}{suffix}"


def mint(secret: str, name: str, expires: int) -> tuple[str, str]:
    """Username and credential for TURN that end at ``expires`` (seconds since the epoch).

    draft-uberti-behave-turn-rest-00, as coturn's ``use-auth-secret`` has it: HMAC-SHA-1 of the username. coturn
    counts quotas by ``name``.
    """
    username = f"{expires}:{name}"
    digest = hmac.digest(secret.encode(), username.encode(), "sha1")
    return username, base64.b64encode(digest).decode("ascii")


class OwnServers:
    """The servers that a node's settings name.

    Raises :class:`InvalidConfig` for what is none, and for TURN servers without the secret that they check by.
    """

    def __init__(self, settings: PeerSettings, clock: Clock) -> None:
        self._clock, self._secret, self._lifetime = clock, settings.turn_secret, settings.turn_lifetime
        self.stun = [IceUrl.parse(text, "stun_servers") for text in settings.stun_servers]
        self.turn = [IceUrl.parse(text, "turn_servers") for text in settings.turn_servers]
        if self.turn and not settings.turn_secret:
            raise InvalidConfig(
                "turn_servers need turn_secret: what coturn has as static-auth-secret", key="turn_secret"
            )
        if settings.turn_secret and not self.turn:
            raise InvalidConfig("turn_secret is of no use without turn_servers", key="turn_servers")

    def __bool__(self) -> bool:
        return bool(self.stun or self.turn)

    def credentials(self, name: str) -> IceServers:
        """The servers, with credentials in the name of ``name``."""
        servers = [IceServer(urls=list(map(str, self.stun)))] if self.stun else []
        if not self.turn:
            return IceServers(servers=servers)
        expires = int(self._clock.now()) + self._lifetime
        username, credential = mint(self._secret, name, expires)
        servers.append(IceServer(urls=list(map(str, self.turn)), username=username, credential=credential))
        return IceServers(servers=servers, expires_at=float(expires))
