"""Each test that asks for ``carrier`` runs once for every transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grid.web.testing import ServedNode
from syft_ext.transport import Connection
from tests.transport.suite.carriers import CARRIERS, Carrier
from tests.web.fixtures import running, served  # noqa: F401
from tests.web.probe import token_of


@pytest.fixture(scope="session", params=CARRIERS)
def carrier(request: pytest.FixtureRequest, served: ServedNode) -> Iterator[Carrier]:  # noqa: F811 - a fixture
    with CARRIERS[request.param](served) as made:
        yield made


@pytest.fixture
def connection(carrier: Carrier) -> Iterator[Connection]:
    """A user's connection."""
    made = carrier.connect(token=token_of(carrier.served.node))
    yield made
    made.close()
