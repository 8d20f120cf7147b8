"""How a transport opens its sockets, where somebody else decides whereto it may."""

from __future__ import annotations

import socket
from typing import Protocol

__all__ = ["Dial"]


class Dial(Protocol):
    """Connects over TCP to ``host`` at ``port`` within ``timeout`` seconds.

    A node hands its own in where a stranger named the address: it resolves the name, checks what that led to,
    and connects to just that. The transport does TLS on what it is given, for the name as it was written, and
    opens no other socket: it follows no redirect and uses no proxy of the environment.

    Raises OSError when nobody is there, and a :class:`~syft_ext.errors.GridError` where it may not.
    """

    def __call__(self, host: str, port: int, timeout: float) -> socket.socket: ...
