"""All cells of the matrix, one after the other.

python -m tests.nat.matrix [--mb 8] [--json] [--only TEXT] [--browser]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.nat.bed import Bed, why_not
from tests.nat.cells import CELLS, SERVERS, Cell
from tests.nat.chromium import MISSING, Chromium, program
from tests.nat.meeting import meet
from tests.nat.site import Site, coturn_in
from tests.user_folder import fresh_user

__all__ = ["run"]


def run(
    cells: tuple[Cell, ...], megabytes: float, root: Path, *, browser: bool = False
) -> Iterator[dict[str, Any]]:
    """What came of each cell, as it comes."""
    bed = Bed()
    chromium = None
    try:
        chromium = Chromium(bed) if browser else None
        with coturn_in(bed, root / "coturn"):
            ordered = sorted(enumerate(cells), key=lambda each: (each[1].servers, each[0]))
            for servers, group in groupby(ordered, key=lambda each: each[1].servers):
                bed.translate("cone", "cone")
                network, domain = (SERVERS[name] for name in servers)
                site = Site(bed, root / "-".join(servers), network, domain)
                try:
                    for _, cell in group:
                        yield _cell(bed, site, cell, megabytes, chromium)
                finally:
                    site.close()
    finally:
        if chromium is not None:
            chromium.close()
        bed.close()


def _cell(bed: Bed, site: Site, cell: Cell, megabytes: float, chromium: Chromium | None) -> dict[str, Any]:
    bed.translate(cell.a, cell.b, loss=cell.loss)
    meeting = meet(site, megabytes if cell.meets else 0.0, chromium, settles=not cell.relayed)
    right = (not meeting.failed) == cell.meets and (not cell.meets or meeting.relayed == cell.relayed)
    right = right and (not cell.meets or not megabytes or meeting.equal)
    return {"cell": cell.name, "as expected": right, **meeting.shown(), "lost": bed.lost()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--mb", type=float, default=8.0, help="carried there and back in each cell that meets"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each cell")
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    parser.add_argument("--browser", action="store_true", help="the caller is a real Chromium")
    asked = parser.parse_args()
    if asked.browser and not program():
        print(MISSING, file=sys.stderr)
        return 2
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 2
    cells = tuple(cell for cell in CELLS if asked.only in cell.name)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, fresh_user(Path(folder) / "user"):
        for row in run(cells, asked.mb, Path(folder), browser=asked.browser):
            wrong += not row["as expected"]
            print(json.dumps(row) if asked.json else _line(row), flush=True)
    print(f"{len(cells) - wrong} of {len(cells)} cells as expected", file=sys.stderr)
    return 1 if wrong else 0


def _line(row: dict[str, Any]) -> str:
    mark = "ok   " if row["as expected"] else "WRONG"
    said = row["failed"] or (
        f"{row['path']:<18} open {row['opened']:.2f} s, call {row['call']:.1f} ms, "
        f"up {row['up']:.1f}, down {row['down']:.1f} MB/s, equal {row['equal']}"
    )
    return f"{mark} {row['cell']:<42} {said}"


if __name__ == "__main__":
    sys.exit(main())
