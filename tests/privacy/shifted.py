"""A privacy mechanism of an installed package, whose noise shows: the same for every number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from grid.privacy.mechanisms.discrete_gaussian import DiscreteGaussian

SHIFT = 1000 * 2.0**-23
"""A thousand steps where the clipping norm is 1."""


class Shifted(DiscreteGaussian):
    """As an installed package would bring it."""

    name = "shifted"

    def noise(self, parameters: Any, key: bytes | None = None) -> Any:
        return _Noise()


class _Noise:
    def add(self, values: NDArray[Any]) -> None:
        values += 1000


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's folder; renamed, it is not installed."""
    info = tmp_path / "site" / "shifted-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shifted\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[grid.privacy_mechanisms]\nshifted = tests.privacy.shifted:Shifted\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))
    return info
