"""Remote objects in a compute environment, as on a Domain."""

from __future__ import annotations

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import GridError
from tests.pointers.site import SUE, Site, seeded


def test_values_live_in_an_environment(north: Site) -> None:
    made = north.owner.workers.create(north.owner.users[SUE].id)
    environment = north.sue.workers[made.id]
    x = seeded(4)
    stored = north.share(x, read=True)
    there = environment.pointer(stored.id)
    mine = seeded(4, seed=1).send(environment)
    assert there.location.id == made.id and there.location == environment.location
    assert isinstance(there, sy.RemoteTensor)
    assert torch.equal((there + mine).get(), x + seeded(4, seed=1))
    with pytest.raises(GridError, match="two sessions at north"):
        there + north.sue.pointer(stored.id)
    environment.location.close()
    made.destroy()
