"""What the owner may write about instance types."""

from __future__ import annotations

import pytest

from grid.config import DomainSettings
from grid.environments.provider import parse_types
from syft_ext.errors import InvalidConfig

LIMITS = "threads=1 memory=536870912 cpu_seconds=60 seconds=90.5"


def test_the_default_catalogue_is_good() -> None:
    types = parse_types(DomainSettings().environment_types, "local")
    assert list(types) == ["small", "medium", "large"]
    assert [each.memory for each in types.values()] == sorted(each.memory for each in types.values())


def test_a_line_is_read_in_any_order() -> None:
    found = parse_types([f"tiny {' '.join(reversed(LIMITS.split()))}"], "local")["tiny"]
    assert (found.threads, found.memory, found.cpu_seconds, found.seconds) == (1, 512 << 20, 60, 90.5)
    assert found.provider == "local"


@pytest.mark.parametrize(
    "lines",
    [
        ["tiny"],
        [""],
        [f"tiny {LIMITS} gpu=1"],
        ["tiny " + LIMITS.replace("60", "sixty")],
        ["tiny " + LIMITS.replace("seconds=90.5", "seconds=nan")],
        ["tiny " + LIMITS.replace("threads=1", "threads=0")],
        ["tiny " + LIMITS.replace("536870912", "1024")],
        [f"tiny {LIMITS}", f"tiny {LIMITS}"],
        [f"{'t' * 65} {LIMITS}"],
    ],
)
def test_mistakes_are_refused(lines: list[str]) -> None:
    with pytest.raises(InvalidConfig, match="environment_types"):
        parse_types(lines, "local")
