"""A few cells of the matrix; all of them: ``python -m tests.nat.matrix``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.coturn import Coturn
from tests.nat.bed import Bed
from tests.nat.cells import SERVERS, SLICE, Cell
from tests.nat.chromium import MISSING, Chromium, program
from tests.nat.meeting import meet
from tests.nat.site import Site


@pytest.fixture(scope="module")
def site(bed: Bed, coturn: Coturn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    caller, domain = (SERVERS[name] for name in SLICE[0].servers)
    bed.translate("cone", "cone")
    site = Site(bed, tmp_path_factory.mktemp("site"), caller, domain)
    yield site
    site.close()


@pytest.mark.parametrize("cell", SLICE, ids=lambda cell: cell.name)
def test_who_meets_and_how(site: Site, bed: Bed, own_folder: Path, cell: Cell) -> None:
    bed.translate(cell.a, cell.b, loss=cell.loss)
    meeting = meet(site, 0.5 if cell.meets else 0.0)
    assert (not meeting.failed) == cell.meets, f"{meeting}\n{site.log()}"
    assert meeting.relayed == (cell.meets and cell.relayed), meeting
    assert meeting.equal == cell.meets, meeting


@pytest.mark.skipif(not program(), reason=MISSING)
def test_a_browser_meets_the_gateway_where_only_a_relay_joins_them(
    site: Site, bed: Bed, own_folder: Path
) -> None:
    """A real Chromium behind one symmetric NAT, the Domain behind another."""
    bed.translate("symmetric", "symmetric")
    chromium = Chromium(bed)
    try:
        meeting = meet(site, 0.2, chromium)
    finally:
        chromium.close()
    assert meeting.relayed and meeting.equal and not meeting.failed, f"{meeting}\n{site.log()}"
