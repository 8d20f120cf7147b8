"""Settings: where they come from, and that every one of them acts."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.kinds import app_of, apps
from grid import config
from grid.config import Resolved, environment_name, setting_fields
from syft_ext.errors import InvalidConfig
from tests.apps.conftest import grid

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {app.kind.name: app.settings_class() for app in apps()}


def resolve(kind: str, **places: Any) -> Resolved:
    return config.resolve(kind, SETTINGS[kind], others=SETTINGS.values(), **places)


def test_later_places_win(tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text('name = "from file"\nhost = "10.0.0.1"\nport = 1\n')
    env = {"GRID_HOST": "10.0.0.2", "GRID_PORT": "2"}
    resolved = resolve("domain", file=file, env=env, flags={"port": 3})
    settings = resolved.settings
    assert (settings.name, settings.host, settings.port) == ("from file", "10.0.0.2", 3)
    origin = {key: resolved.origin[key] for key in ("name", "host", "port", "log_level")}
    assert origin == {
        "name": f"file {file}",
        "host": "env GRID_HOST",
        "port": "flag --port",
        "log_level": "default",
    }


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"toml": "prot = 5000"}, "did you mean port"),
        ({"toml": 'port = "x"'}, "port: Expected `int`"),
        ({"toml": "port = 70000"}, "65535"),
        ({"toml": "port = [1"}, "grid.toml"),
        ({"toml": 'log_level = "loud"'}, "log_level"),
        ({"env": {"GRID_PROT": "1"}}, "did you mean GRID_PORT"),
        ({"env": {"GRID_PORT": "many"}}, "env GRID_PORT: port"),
        ({"env": {"GRID_DATABASE_URL_FILE": "/nowhere"}}, "cannot be read"),
        ({"flags": {"database_url": "postgresql://"}}, "is a secret"),
        ({"flags": {"prot": 1}}, "unknown flag"),
    ],
)
def test_mistakes_are_refused_by_name(tmp_path: Path, places: dict[str, object], words: str) -> None:
    file = None
    if "toml" in places:
        file = tmp_path / "grid.toml"
        file.write_text(str(places.pop("toml")))
    with pytest.raises(InvalidConfig) as caught:
        resolve("domain", file=file, **places)
    assert words in str(caught.value)


def test_variables_of_other_apps_and_tools_are_fine() -> None:
    env = {
        "GRID_TARGET": "y",
        "GRID_OWNER_EMAIL": "a@b.c",
        "GRID_TEST_X": "1",
        "GRID_VENV": "/x",
        "PATH": "/bin",
    }
    assert resolve("network", env=env).settings == SETTINGS["network"]()


def test_secrets_come_from_files_too_and_are_masked(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://u:hunter2@db/x\n")
    for env in (
        {"GRID_DATABASE_URL_FILE": str(secret)},
        {"DATABASE_URL_FILE": str(secret)},
        {"DATABASE_URL": "postgresql://u:hunter2@db/x"},
    ):
        resolved = resolve("domain", env=env)
        assert resolved.settings.database_url == "postgresql://u:hunter2@db/x"
        assert "hunter2" not in str(resolved.shown())
    file = tmp_path / "grid.toml"
    file.write_text(f'database_url_file = "{secret}"\n')
    assert resolve("domain", file=file).settings.database_url.endswith("@db/x")


def test_lists_and_switches_from_text() -> None:
    env = {"GRID_TRAININGS": "a/*, b/1.0", "GRID_TRUST": "domain"}
    settings = resolve("worker", env=env).settings
    assert msgspec.to_builtins(settings)["trainings"] == ["a/*", "b/1.0"]
    assert resolve("network", env={"GRID_AUTO_ACCEPT": "true"}).settings.auto_accept is True  # type: ignore[attr-defined]


# -- every setting acts --------------------------------------------------------------------------------


def _attributes_read() -> set[str]:
    """Names of all attributes that are read anywhere in the server, outside the settings themselves."""
    names: set[str] = set()
    for folder in (ROOT / "packages" / "grid", ROOT / "apps"):
        for path in folder.rglob("*.py"):
            if path.parent.name == "config" and path.name == "settings.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _of_settings(node):
                    names.add(node.attr)
    return names


def _of_settings(node: ast.Attribute) -> bool:
    """``settings.x`` or ``self.settings.x``."""
    value = node.value
    return (isinstance(value, ast.Name) and value.id == "settings") or (
        isinstance(value, ast.Attribute) and value.attr == "settings"
    )


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_every_setting_is_read_described_and_shown(kind: str) -> None:
    read = _attributes_read()
    shown = {row["name"]: row for row in resolve(kind).shown()}
    for field in setting_fields(SETTINGS[kind]).values():
        assert field.name in read, f"nothing reads the setting {field.name}"
        assert shown[field.name]["origin"] == "default"
        assert shown[field.name]["description"].endswith(".")
        assert environment_name(field.name) == f"GRID_{field.name.upper()}"


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_every_setting_is_an_option_of_start_unless_it_is_secret(kind: str) -> None:
    import click

    from apps.cli.nodes.group import node_group

    command = node_group(app_of(kind)).commands["start"]
    params = command.get_params(click.Context(command))
    options = {param.name for param in params}
    for field in setting_fields(SETTINGS[kind]).values():
        assert (field.name in options) is not field.secret
    flags = [flag for param in params for flag in (*param.opts, *param.secondary_opts)]
    assert len(flags) == len(set(flags)), "no flag means two settings"
    assert {"--host", "--hosts", "--trusted-proxy", "--allow-address"} <= set(flags)


def test_config_show_says_where_a_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text('name = "Hospital"\n')
    env = {"GRID_PORT": "8080", "DATABASE_URL": "postgresql://u:hunter2@db/x"}
    done = grid("config", "show", "domain", "--home", str(tmp_path), "--origin", "--format", "json", **env)
    rows = {row["name"]: row for row in done.json}
    assert rows["name"]["origin"] == f"file {tmp_path / 'grid.toml'}"
    assert (rows["port"]["value"], rows["port"]["origin"]) == (8080, "env GRID_PORT")
    assert rows["host"]["origin"] == "default"
    assert rows["database_url"]["origin"] == "env DATABASE_URL"
    assert "hunter2" not in done.out
    table = grid("config", "show", "domain", "--home", str(tmp_path), "--origin", **env)
    assert "env GRID_PORT" in table.out
