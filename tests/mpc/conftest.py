"""Every protocol runs the same suite: ``run`` is each of them in turn."""

from __future__ import annotations

from functools import partial

import pytest

from syft_ext.messages.shared_terms import PROTOCOLS
from tests.mpc import parties


@pytest.fixture(scope="module", params=parties.EVERY, ids="-".join)
def run(request: pytest.FixtureRequest) -> parties.Runner:
    return partial(parties.run, protocol=request.param)


@pytest.fixture(params=sorted(PROTOCOLS))
def passive(request: pytest.FixtureRequest) -> parties.Runner:
    """Against parties that follow the protocol."""
    return partial(parties.run, protocol=(request.param, "semi-honest"))
