"""The notebooks run from the first cell to the last, against real nodes."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.forkserver import start_server

#: Runs before the first cell: what its nodes import, the test process's server has imported.
FORKED_NODES = """\
import sys
sys.path.insert(0, "..")
import demo.processes, tests.nodes
demo.processes.NodeProcess = tests.nodes.NodeProcess
"""
FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the notebook machinery itself
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    book = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in book.cells), "notebooks are kept without outputs"
    book.cells.insert(0, nbformat.v4.new_code_cell(FORKED_NODES))
    start_server()
    client = NotebookClient(
        book, timeout=540, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    shown = "".join(
        str(output.get("text", "")) + str(output.get("data", {}))
        for cell in book.cells
        for output in cell.get("outputs", [])
    )
    assert SHOWS[path.stem] in shown


#: What each has shown when it has come to its end.
SHOWS = {
    "01-data-scientist": "after 12 rounds",
    "02-data-owner": "cycle 10",
    "03-data-officer": "the log is intact",
    "04-remote-data": "right on held-out biopsies",
    "05-confidential": "refused: the policy protects nobody",
    "06-peers": "reached by ",
    "07-privacy-toolkit": "one question, 4 ways",
}


def test_every_journey_is_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(SHOWS)
