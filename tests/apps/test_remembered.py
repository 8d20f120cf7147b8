"""A node's home remembers how it was started: the next start needs ``--home`` only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apps.cli.home import REMEMBERED, remember, resolve_settings
from syft_ext.errors import InvalidConfig
from tests.apps.conftest import Nodes, grid


def start(home: Path, kind: str = "domain", config: Path | None = None, **flags: object) -> object:
    resolved = resolve_settings(kind, home, config, flags)
    remember(home, resolved, config)
    return resolved.settings


def test_the_flags_of_a_start_hold_for_the_next_ones(tmp_path: Path) -> None:
    start(tmp_path, port=6001, name="north", hosts=["north.example"], auto_accept=True)
    start(tmp_path, name="south")
    resolved = resolve_settings("domain", tmp_path, None, {})
    settings = resolved.settings
    assert (settings.port, settings.name, settings.hosts) == (6001, "south", ["north.example"])
    assert settings.auto_accept and resolved.origin["port"] == "remembered --port"


def test_what_stands_elsewhere_counts_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path, port=6001, name="north", log_level="debug")
    (tmp_path / "grid.toml").write_text("port = 6002\nname = 'from the file'\n")
    monkeypatch.setenv("GRID_NAME", "from the environment")
    settings = resolve_settings("domain", tmp_path, None, {"log_level": "error"}).settings
    assert (settings.port, settings.name, settings.log_level) == (6002, "from the environment", "error")


def test_paths_are_meant_from_where_the_command_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ward").mkdir()
    monkeypatch.chdir(tmp_path / "ward")
    (tmp_path / "settings.toml").write_text("log_level = 'error'\n")
    start(tmp_path, "worker", Path("../settings.toml"), data="biopsies.csv", domain="http://localhost:5000")
    monkeypatch.chdir("/")
    settings = resolve_settings("worker", tmp_path, None, {}).settings
    assert (settings.data, settings.domain) == (
        str(tmp_path / "ward" / "biopsies.csv"),
        "http://localhost:5000",
    )
    assert settings.log_level == "error"


def test_options_are_forgotten_by_name(tmp_path: Path) -> None:
    start(tmp_path, port=6001, name="north")
    assert grid("config", "forget", "--home", str(tmp_path), "sing").code == 2
    assert grid("config", "forget", "--home", str(tmp_path), "--", "--port").code == 0
    shown = grid("config", "show", "domain", "--home", str(tmp_path), "--origin", "--format", "json").json
    origins = {row["name"]: row["origin"] for row in shown}
    assert (origins["port"], origins["name"]) == ("default", "remembered --name")
    assert grid("config", "forget", "--home", str(tmp_path), "--format", "json").json == {
        "result": "forgotten: name"
    }


def test_a_file_that_cannot_be_read_is_no_silence(tmp_path: Path) -> None:
    (tmp_path / REMEMBERED).write_text("{")
    with pytest.raises(InvalidConfig, match="remembered"):
        resolve_settings("domain", tmp_path, None, {})


def test_no_secret_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_METRICS_TOKEN", "a secret token")
    start(tmp_path, metrics="token")
    assert json.loads((tmp_path / REMEMBERED).read_text()) == {"metrics": "token"}


def test_a_node_starts_again_with_its_home_only(nodes: Nodes) -> None:
    node = nodes.start("network", "registry", "--log-format", "json")
    port = node.url.rsplit(":", 1)[1]
    node.stop()
    # Another start with a port that is known, so that the third has something to remember.
    nodes.restart(node).stop()
    again = nodes.process("network", node.home, [])
    nodes.running.append(again)
    assert again.url.rsplit(":", 1)[1] == port
