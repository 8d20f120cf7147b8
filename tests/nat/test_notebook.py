"""Notebook 06, in a kernel behind a symmetric NAT, as Colab's are; its Domain stands behind another."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import CaselessStrEnum, Unicode

from tests.coturn import Coturn
from tests.nat.bed import Bed
from tests.nat.far_scene import THROUGH
from tests.nat.site import STUN, TURN, Site
from tests.notebooks.test_notebooks import FOLDER, SHOWS

#: Runs before the first cell.
FAR = """\
import sys
sys.path.insert(0, "..")
import demo.peers, tests.nat.far_scene
demo.peers.PeerScene = tests.nat.far_scene.FarScene
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook machinery itself
def test_a_notebook_takes_part_behind_a_nat(
    bed: Bed, coturn: Coturn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed.translate("symmetric", "symmetric")
    site = Site(bed, tmp_path / "site", TURN, STUN)
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(THROUGH, site.every_way)
    book = nbformat.read(FOLDER / "06-peers.ipynb", as_version=4)
    book.cells.insert(0, nbformat.v4.new_code_cell(FAR))

    class OverFiles(AsyncKernelManager):
        """The kernel's network is another one than ours: no TCP leads there."""

        transport = CaselessStrEnum(["tcp", "ipc"], default_value="ipc")
        ip = Unicode(str(tmp_path / "k"))

    client = NotebookClient(
        book,
        kernel_manager_class=OverFiles,
        kernel_name="python3",
        timeout=240,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    try:
        with bed.standing_in("la"):
            client.execute()
    finally:
        site.close()
    shown = "".join(
        str(output.get("text", "")) + str(output.get("data", {}))
        for cell in book.cells
        for output in cell.get("outputs", [])
    )
    assert SHOWS["06-peers"] in shown
    assert "the Network tells no address of it" in shown, "there was no direct way"
