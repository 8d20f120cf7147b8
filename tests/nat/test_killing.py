"""A training over WebRTC through two NATs, with kills; with large reports: ``python -m tests.nat.killing``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coturn import Coturn
from tests.nat.bed import Bed
from tests.nat.killing import VICTIMS, train
from tests.nat.site import STUN, Site

CYCLES, WORKERS = 4, 2


@pytest.mark.slow
def test_reports_that_kills_interrupt_count_once(
    bed: Bed, coturn: Coturn, tmp_path: Path, own_folder: Path
) -> None:
    """Each cycle moves every number by exactly 1: a report that is lost or doubled would show."""
    bed.translate("cone", "cone")
    site = Site(bed, tmp_path, STUN)
    try:
        outcome = train(site, 1.0, CYCLES, WORKERS, timeout=200)
    finally:
        site.close()
    assert outcome.numbers == {float(CYCLES)}, outcome
    assert outcome.cycles == [("completed", WORKERS)] * CYCLES
    assert outcome.reasons == ["over"] * WORKERS
    assert set(outcome.sent) == set(VICTIMS)
