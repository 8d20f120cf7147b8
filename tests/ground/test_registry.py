"""Implementations by name: Grid's own, those of packages, and what is wrong with either."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from syft_ext.errors import InvalidConfig, Unsupported
from syft_ext.registry import Registry

GROUP = "grid.test_things"
Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(package: str, name: str, refers_to: str) -> None:
        metadata = tmp_path / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {refers_to}\n")
        importlib.invalidate_caches()

    return put


@pytest.fixture
def registry() -> Registry[object]:
    return Registry("thing", GROUP, {"own": dict})


def test_each_is_made_once(registry: Registry[object], install: Install) -> None:
    install("grid_test_one", "bag", "collections:Counter")
    assert registry.names() == ["own", "bag"]
    assert registry.find("own") == {} and registry.find("own") is registry.find("own")
    assert type(registry.find("bag")).__name__ == "Counter"


def test_a_name_that_nothing_has_is_refused_with_those_there_are(
    registry: Registry[object], install: Install
) -> None:
    with pytest.raises(InvalidConfig, match="no thing 'bag', there are: own"):
        registry.find("bag")
    install("grid_test_two", "bag", "collections:Counter")
    assert registry.find("bag") == {}  # it is looked for anew


def test_two_with_one_name_are_none(registry: Registry[object], install: Install) -> None:
    install("grid_test_three", "own", "collections:Counter")
    with pytest.raises(InvalidConfig, match="more than one thing is called 'own': own = collections:Counter"):
        registry.find("own")


@pytest.mark.parametrize("refers_to", ["no_such_module:X", "collections:NoSuchThing", "math:pi", "json:load"])
def test_what_cannot_be_loaded_says_so(registry: Registry[object], install: Install, refers_to: str) -> None:
    install("grid_test_four", "broken", refers_to)
    with pytest.raises(InvalidConfig, match=r"'broken' .* cannot be loaded"):
        registry.find("broken")


def test_the_error_is_the_one_that_was_asked_for() -> None:
    with pytest.raises(Unsupported):
        Registry("thing", GROUP, {}, Unsupported).find("x")
