from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.coturn import Coturn
from tests.nat.bed import Bed, why_not
from tests.nat.site import coturn_in


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.parent.name == "nat"]
    reason = why_not() if here else ""
    for item in here:
        item.add_marker(pytest.mark.nat)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    bed = Bed()
    yield bed
    bed.close()


@pytest.fixture(scope="module")
def coturn(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn_in(bed, tmp_path_factory.mktemp("coturn")) as server:
        yield server
