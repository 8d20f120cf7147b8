"""A Domain with a sandbox for remote computation, an owner of data, and two scientists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import syft_ext as sy
from apps.domain.app import build
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings
from grid.web.testing import ServedNode
from syft_ext.client.objects import RemoteObject

__all__ = ["OWNER", "PASSWORD", "SUE", "TOM", "Site", "seeded"]

OWNER, SUE, TOM = "owner@site.example", "sue@site.example", "tom@site.example"
PASSWORD = "correct horse"


class Site:
    """A Domain over a socket. ``sue`` is a scientist's client, ``tom`` another's, ``owner`` the data owner's."""

    def __init__(self, home: Path, name: str, **settings: Any) -> None:
        node = build(home, DomainSettings(name=name, **settings))
        assert bootstrap_owner(node, OWNER, PASSWORD)
        self.served = ServedNode(node)
        self.url = self.served.url
        self.owner = self.log_in(OWNER)
        for email in (SUE, TOM):
            self.owner.users.create(email=email, password=PASSWORD)
        self.sue, self.tom = self.log_in(SUE), self.log_in(TOM)

    def log_in(self, email: str) -> sy.DomainClient:
        client = sy.login(self.url, email, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        return client

    def share(self, data: Any, *, read: bool = False, **fields: Any) -> RemoteObject:
        """Data of the owner that Sue may compute on, and with ``read`` see."""
        assert self.sue.session is not None
        user = self.sue.session.user_id
        stored = self.owner.store.put(data, finders=[user], readers=[user] if read else [], **fields)
        return stored.update(programmers=[user])

    def lend(self, data: Any, *, read: bool = False) -> Any:
        """Sue's pointer to such data."""
        return self.sue.pointer(self.share(data, read=read).id)

    def values(self) -> int:
        """How many values Sue's session holds, after everything Sue recorded has run."""
        self.sue.location.barrier()
        return self.sue.location.session.current().values

    def close(self) -> None:
        self.served.close()


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
