"""What notebook 06 talks about, where it is so: the Domain stands behind one NAT, the notebook behind another."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import syft_ext as sy
from demo.peers import PeerScene
from tests.sdk.live import EMAIL, PASSWORD

__all__ = ["THROUGH", "FarScene"]

THROUGH = "GRID_TEST_THROUGH"
"""Variable with the Domain's address at its Network."""


class FarScene(PeerScene):
    """Nodes that run already, and that only their Network leads to."""

    def __init__(self, folder: Path) -> None:
        self.through = os.environ[THROUGH]
        self.owner: Any = sy.login(self.through, EMAIL, PASSWORD, save=True)
        self.domain: Any = SimpleNamespace(url=self.through)

    def close(self) -> None:
        self.owner.close()
