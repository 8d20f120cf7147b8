"""``python -m grid.peers.gateway SOCKET LIMITS``: started by the node, and by nobody else."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import msgspec

from grid.peers.gateway.process import Gateway
from grid.peers.gateway.wire import GatewayLimits


def main() -> None:
    """Run one gateway until its node ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="gateway: %(message)s")
    logging.getLogger("grid.peers").setLevel(logging.INFO)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the node, which then ends this one in order
    gateway = Gateway(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=GatewayLimits))
    asyncio.run(gateway.run())


main()
