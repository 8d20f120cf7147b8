"""A dataset many times as large as what a node may take for it, with kill -9 of the SDK and of the node."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.large_dataset import walk

SIZE = 160 << 20
GROWTH = 80 << 20
"""Bytes that the node's resident peak may grow by: buffers of a part, of a reading, and of the database."""


@pytest.mark.slow
def test_a_large_dataset_streams_and_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    figures = walk(SIZE, tmp_path)
    assert figures.size // 3 < figures.resumed_at[0] <= figures.resumed_at[1], "the second process went on"
    assert figures.resumed_at[1] > figures.size * 2 // 3
    assert figures.node_peak - figures.node_at_rest < GROWTH, figures
    assert figures.left == []
