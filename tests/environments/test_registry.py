"""Which providers a Domain has: those of Grid, and those that installed packages bring."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grid.environments.local import LocalProvider
from grid.environments.registry import make_providers, provider_named, provider_names
from syft_ext.errors import InvalidConfig

CODE = """
class Cloud:
    name = {name!r}
    def __init__(self, home, lease):
        self.home, self.lease = home, lease
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package with an entry point, as pip leaves it: a module, and its metadata beside it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules: list[str] = []

    def put(package: str, name: str, *, calls_itself: str = "", code: str = CODE) -> None:
        (site / f"{package}.py").write_text(code.format(name=calls_itself or name))
        metadata = site / f"{package}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            f"[grid.environment_providers]\n{name} = {package}:Cloud\n"
        )
        modules.append(package)
        importlib.invalidate_caches()

    yield put
    for module in modules:
        sys.modules.pop(module, None)


def test_an_installed_package_brings_a_provider(install: Install, tmp_path: Path) -> None:
    install("grid_test_cloud", "cloud")
    assert provider_names() == ["local", "cloud"]
    provider = provider_named("cloud", tmp_path, 60.0)
    assert (type(provider).__name__, provider.home, provider.lease) == ("Cloud", tmp_path, 60.0)  # type: ignore[attr-defined]


def test_a_name_that_nothing_has_is_refused_with_those_there_are(install: Install, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="'aws', there are: local"):
        provider_named("aws", tmp_path, 60.0)
    install("grid_test_cloud", "cloud")
    with pytest.raises(InvalidConfig, match="'aws', there are: local, cloud"):
        provider_named("aws", tmp_path, 60.0)


def test_a_package_cannot_take_the_name_of_another(install: Install, tmp_path: Path) -> None:
    install("grid_test_cloud", "local")
    with pytest.raises(InvalidConfig, match="more than one environment provider is called 'local'"):
        provider_named("local", tmp_path, 60.0)
    install("grid_test_one", "twice")
    install("grid_test_two", "twice")
    with pytest.raises(InvalidConfig, match="twice = grid_test_one:Cloud, twice = grid_test_two:Cloud"):
        provider_named("twice", tmp_path, 60.0)


def test_a_package_that_cannot_be_loaded_is_named(install: Install, tmp_path: Path) -> None:
    install("grid_test_broken", "broken", code="raise RuntimeError('no licence')")
    with pytest.raises(InvalidConfig, match=r"'broken' \(grid_test_broken:Cloud\) .*no licence"):
        provider_named("broken", tmp_path, 60.0)


def test_a_provider_has_the_name_under_which_it_is_found(install: Install, tmp_path: Path) -> None:
    install("grid_test_cloud", "cloud", calls_itself="sky")
    with pytest.raises(InvalidConfig, match="'cloud' calls itself 'sky'"):
        provider_named("cloud", tmp_path, 60.0)


def test_only_what_is_chosen_or_in_use_is_loaded(install: Install, tmp_path: Path) -> None:
    install("grid_test_cloud", "cloud")
    install("grid_test_broken", "broken", code="raise RuntimeError('no licence')")
    assert list(make_providers("", (), tmp_path, 60.0)) == ["local"]
    assert list(make_providers("local", ["local"], tmp_path, 60.0)) == ["local"]
    assert list(make_providers("cloud", (), tmp_path, 60.0)) == ["cloud", "local"]
    with pytest.raises(InvalidConfig, match="broken"):
        make_providers("broken", (), tmp_path, 60.0)


def test_what_runs_is_looked_after_by_its_provider_though_another_is_chosen(
    install: Install, tmp_path: Path
) -> None:
    install("grid_test_cloud", "cloud")
    providers = make_providers("local", ["cloud", "was-uninstalled"], tmp_path, 60.0)
    assert list(providers) == ["cloud", "local"]
    assert isinstance(providers["local"], LocalProvider)
