"""A real coturn, for tests: on a loopback address of its own, or in a network namespace."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

__all__ = ["MISSING", "SECRET", "Coturn", "needs_coturn"]

SECRET = "a secret that coturn and a node share"
MISSING = "coturn is not installed here (Debian: apt-get install coturn): TURN is NOT tested"
needs_coturn = pytest.mark.skipif(shutil.which("turnserver") is None, reason=MISSING)
#: Where peers of a TURN server on the internet are not.
PRIVATE = (
    "10.0.0.0-10.255.255.255", "172.16.0.0-172.31.255.255", "192.168.0.0-192.168.255.255",
    "169.254.0.0-169.254.255.255", "127.0.0.1",
)  # fmt: skip


class Coturn:
    """A running ``turnserver``.

    Args:
        address: it listens on, and relays at. folder: of its database and log.
        options: beside those that every one has.
        within: the command that runs it elsewhere: ``("ip", "netns", "exec", name)``.
    """

    def __init__(
        self,
        address: str,
        folder: Path,
        *options: str,
        secret: str = SECRET,
        denied: Sequence[str] = PRIVATE,
        within: Sequence[str] = (),
    ) -> None:
        self.address, self.port = address, 3478
        auth = ["--use-auth-secret", f"--static-auth-secret={secret}"] if secret else ["--no-auth"]
        self._start(
            folder, within, "-n", f"--listening-ip={address}", f"--relay-ip={address}",
            f"--listening-port={self.port}", "--realm=grid.example", *auth, "--no-cli", "--no-tls", "--no-dtls",
            "--no-multicast-peers", "--no-tcp-relay", "--fingerprint",
            *[f"--denied-peer-ip={each}" for each in denied], *options,
        )  # fmt: skip

    @classmethod
    def of_file(cls, config: Path, address: str, folder: Path) -> Coturn:
        """One with the configuration in ``config``, which makes it listen on ``address``."""
        server = cls.__new__(cls)
        server.address, server.port = address, 3478
        server._start(folder, (), "-c", str(config))
        return server

    def _start(self, folder: Path, within: Sequence[str], *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "turn.log"
        own = ["--simple-log", f"--log-file={self.log}", f"--pidfile={folder / 'turn.pid'}"]
        self.process = subprocess.Popen(
            [*within, "turnserver", *options, *own, f"--db={folder / 'turn.db'}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self, seconds: float = 60.0) -> None:
        """Until it answers over UDP, asked from where this process is."""
        request = struct.pack("!HHI12s", 1, 0, 0x2112A442, b"twelve bytes")  # a binding request (RFC 8489)
        deadline = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.2)
            asking.connect((self.address, self.port))
            while True:
                assert self.process.poll() is None, self.said()
                assert time.monotonic() < deadline, self.said()
                try:
                    asking.send(request)
                    asking.recv(2048)
                    return
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(0.05)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else "it wrote no log"

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
