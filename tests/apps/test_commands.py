"""The command ``grid``: every command is declared once, where it is defined."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from apps.cli import commands, discovery
from apps.cli.main import cli

FOLDER = Path(commands.__file__).parent
FILES = [
    ".".join(path.relative_to(FOLDER).with_suffix("").parts)
    for path in sorted(FOLDER.rglob("*.py"))
    if path.stem != "__init__"
]


@pytest.mark.parametrize("file", FILES)
def test_a_file_declares_the_commands_that_it_defines(file: str) -> None:
    module = import_module(f"apps.cli.commands.{file}")
    defined = {
        name
        for name, found in vars(module).items()
        if isinstance(found, click.Command)
        and found.callback is not None
        and not _inside_a_group(module, found)
        and found.callback.__module__ == module.__name__
    }
    assert {name.replace("-", "_") for name in module.COMMANDS} == defined
    for name, line in module.COMMANDS.items():
        assert getattr(module, name.replace("-", "_")).name == name
        assert line.endswith(".")
        assert len(line) <= 80


def _inside_a_group(module: object, command: click.Command) -> bool:
    groups = [found for found in vars(module).values() if isinstance(found, click.Group)]
    return any(command in group.commands.values() for group in groups)


def test_names_are_unique_and_found_where_they_are_declared() -> None:
    names = discovery.command_names()
    assert len(set(names)) == len(names)
    for file in FILES:
        module = import_module(f"apps.cli.commands.{file}")
        for name, line in module.COMMANDS.items():
            assert discovery.find_command(name) is getattr(module, name.replace("-", "_"))
            assert discovery.help_line(name) == line


def test_two_files_cannot_declare_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a", "below/b"):
        (tmp_path / f"{name}.py").write_text('COMMANDS = {\n    "twice": "Do it.",\n}\n')
    monkeypatch.setattr(discovery, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match="two files declare the command twice"):
        discovery._own.__wrapped__()


def test_a_help_line_is_written_once() -> None:
    text = "".join(path.read_text() for path in (FOLDER.parent).rglob("*.py"))
    for name in discovery.command_names():
        assert text.count(f'"{discovery.help_line(name)}"') <= 1, name


def test_help_names_every_command_and_imports_none() -> None:
    program = (
        "import sys\nfrom apps.cli import main\nsys.argv = ['grid', '--help']\n"
        "try: main.main()\nexcept SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('apps.cli.commands.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *shown, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    for name in discovery.command_names():
        assert any(re.match(rf"  {re.escape(name)} ", line) for line in shown), name


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(click.UsageError, match="No such command 'sing'"):
        cli(["sing"], standalone_mode=False)
