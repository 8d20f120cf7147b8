"""What holds for all commands: exit codes tell, every one speaks JSON, names do wherever ids do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import torch

import syft_ext as sy
from apps.cli import main as command_line
from apps.cli.main import cli
from syft_ext.tensors import encode_tensors
from tests.apps.conftest import grid, in_a_process
from tests.attacks.conftest import site
from tests.attacks.site import OWNER, PASSWORD, Site
from tests.user_folder import fresh_user

__all__ = ["site"]


def commands(group: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(group, click.Group):
        yield path
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield from commands(found, (*path, name))


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        next_one = command.get_command(click.Context(command), name)
        assert next_one is not None
        command = next_one
    return command


ALL = sorted(commands())
RUNNING = {path for path in ALL if path[-1] in ("start", "start-each")}
#: They look at this machine only, and end well without a node or a login.
ALONE = {("completion",), ("config", "show"), ("whoami",), ("doctor",), ("logout",)}


@pytest.mark.parametrize("path", [path for path in ALL if path not in RUNNING], ids=" ".join)
def test_every_command_speaks_json(path: tuple[str, ...]) -> None:
    if path == ("completion",):  # what it prints is for a shell
        return
    options = {option.name: option for option in found(path).params}
    if path == (
        "attest",
        "verify",
    ):  # people read how it was appraised, whatever a program reads in the last line
        assert "as_json" in options
        return
    assert "form" in options, "it has no --format"
    kind = options["form"].type
    assert isinstance(kind, click.Choice) and list(kind.choices) == ["table", "json"]


def arguments_of(path: tuple[str, ...], tmp_path: Path) -> list[str]:
    """Something for each argument and each required option."""
    given: list[str] = []
    for parameter in found(path).params:
        if not parameter.required and not isinstance(parameter, click.Argument):
            continue
        kind = parameter.type
        if isinstance(kind, click.Choice):
            value = str(kind.choices[0])
        elif isinstance(kind, click.Path):
            (tmp_path / "file.json").write_text("{}")
            value = str(
                tmp_path / ("home" if kind.dir_okay is not False and kind.file_okay is False else "file.json")
            )
        elif isinstance(kind, click.types.FloatParamType | click.types.IntParamType):
            value = "1"
        else:
            value = {"inputs": "x=" + "0" * 32, "values": "uploads=1"}.get(
                parameter.name or "", "a@b.example/1"
            )
        given += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    return given


@pytest.mark.parametrize("path", [path for path in ALL if path not in RUNNING | ALONE], ids=" ".join)
def test_a_command_that_cannot_do_its_work_says_so_by_its_exit_code(
    path: tuple[str, ...], tmp_path: Path
) -> None:
    """No node, no login, no home: whatever it is, nothing was done."""
    nowhere = {
        "GRID_URL": "http://127.0.0.1:1",
        "GRID_USER_HOME": str(tmp_path / "user"),
        "GRID_HOME": str(tmp_path / "no-home"),
        "GRID_PASSWORD": "x",
        "GRID_NEW_PASSWORD": "x",
        "GRID_OWNER_PASSWORD": "x",
        "GRID_OWNER_EMAIL": "x@y.example",
        "GRID_EMAIL": "x@y.example",
        "GRID_TOTP": "000000",
    }
    given = arguments_of(path, tmp_path)
    if path == ("login",):
        given = ["http://127.0.0.1:1"]
    elif path == ("setup",) or path[-1] == "setup":
        given += ["--url", "http://127.0.0.1:1"]
    result = grid(*path, *given, **nowhere)
    assert result.code in range(1, 8), (result.out, result.err)
    assert result.err and "Traceback" not in result.err
    assert len(result.err.splitlines()) <= 6, result.err


def test_doctor_says_by_its_exit_code_that_something_failed(tmp_path: Path) -> None:
    """As a process; ``tests/confinement/test_node.py`` has one that imports for itself."""
    (tmp_path / "node.db").write_text("no database")
    done = in_a_process("doctor", "--home", str(tmp_path), "--format", "json")
    assert done.code == 7
    assert any(row["result"] == "failed" for row in done.json)


def test_ctrl_c_shows_no_internals() -> None:
    program = (
        "import os, signal, threading, time\nfrom apps.cli import main\n"
        "def stuck(*arguments, **options):\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "main._command = stuck\nmain.main([])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "interrupted\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    result = grid("completion", shell)
    assert result.code == 0 and "_GRID_COMPLETE" in result.out


def test_the_shell_is_told_commands() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "grid")],
        env={"_GRID_COMPLETE": "bash_complete", "COMP_WORDS": "grid training w", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout == "plain,watch\n", done.stderr


# -- at a node --------------------------------------------------------------------------------------------


@pytest.fixture
def owner(site: Site, tmp_path: Path) -> Iterator[sy.DomainClient]:
    with fresh_user(tmp_path / "user"):
        client = sy.login(site.domain.url, OWNER, PASSWORD, save=True)
        assert isinstance(client, sy.DomainClient)
        yield client


def run(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = command_line._run(command_line.cli, [*arguments, "--url", site.domain.url])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_policy_is_merged_shown_and_asked_about(
    site: Site, owner: sy.DomainClient, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = owner.policy.get().policy
    file = tmp_path / "policy.toml"
    file.write_text("statistics_epsilon = 0.5\n")
    try:
        owner.policy.set(min_rows=7)
        code, _, err = run(site, capsys, "policy", "set", str(file))
        assert code == 2 and "statistics_epsilon: None → 0.5" in err and "nothing was changed" in err
        assert owner.policy.get().policy.statistics_epsilon is None
        code, out, err = run(site, capsys, "policy", "set", str(file), "--yes", "--format", "json")
        assert code == 0 and json.loads(out)["min_rows"] == 7, err
        assert "min_rows" not in err
        code, _, err = run(site, capsys, "policy", "set", str(file), "--yes")
        assert code == 0 and "nothing changes" in err
        code, _, err = run(site, capsys, "policy", "set", str(file), "--replace", "--yes")
        assert code == 0 and "min_rows: 7 → 1" in err
        assert owner.policy.get().policy.min_rows == 1
        file.write_text("min_row = 3\n")
        assert run(site, capsys, "policy", "set", str(file), "--yes")[0] == 1
    finally:
        owner.policy.replace({name: getattr(before, name) for name in before.__struct_fields__})


def test_names_and_the_first_digits_do_wherever_ids_do(
    site: Site, owner: sy.DomainClient, capsys: pytest.CaptureFixture[str]
) -> None:
    made = owner.datasets.create("names-do", {"xs": torch.ones(4)})
    asset = made["xs"].object_id
    ann = site.ann.id
    shown = [  # as JSON: for people the moments are told from now
        run(site, capsys, "users", "show", who, "--format", "json") for who in (ann[:8], "ANN@x.org")
    ]
    assert shown[0] == shown[1] and json.loads(shown[0][1])["id"] == ann
    assert run(site, capsys, "dataset", "show", made.id[:8] + "…")[0] == 0
    code, _, err = run(
        site,
        capsys,
        "rules",
        "add",
        "deny",
        "--user",
        "eve@x.org",
        "--object",
        "names-do/xs",
        "--dataset",
        "names-do",
    )
    assert code == 0, err
    (rule,) = owner.requests.rules.all()
    assert (rule.user_id, rule.object_id, rule.dataset_id) == (site.eve.id, asset, made.id)
    assert run(site, capsys, "rules", "remove", rule.id[:10])[0] == 0
    grant = owner.grants.create(asset, "ann@x.org", "read")
    assert run(site, capsys, "grants", "revoke", grant.id[:8])[1] == "revoked\n"
    assert run(site, capsys, "budget", "grant", "ann@x.org", "1.5")[0] == 0
    assert "ann@x.org" in run(site, capsys, "budget", "list")[1]
    assert run(site, capsys, "users", "show", "nobody@x.org")[0] == 4


def test_of_several_that_are_called_so_none_is_taken(
    site: Site, owner: sy.DomainClient, capsys: pytest.CaptureFixture[str]
) -> None:
    first = owner.datasets.create("twice", {"xs": torch.ones(2)})
    ann = sy.login(site.domain.url, "ann@x.org", PASSWORD)
    assert isinstance(ann, sy.DomainClient)
    second = ann.datasets.create("twice", {"xs": torch.ones(3)})
    sy.login(site.domain.url, OWNER, PASSWORD, save=True)
    code, _, err = run(site, capsys, "dataset", "delete", "twice")
    assert code == 2 and first.id in err and second.id in err
    with pytest.raises(sy.errors.Ambiguous) as asked:
        owner.datasets["twice"]
    assert set(asked.value.extra["ids"]) == {first.id, second.id}
    assert run(site, capsys, "dataset", "delete", first.id)[0] == 0
    assert owner.datasets["twice"].id == second.id


def test_what_one_may_not_is_asked_for_in_a_terminal_too(
    site: Site, owner: sy.DomainClient, capsys: pytest.CaptureFixture[str]
) -> None:
    made = owner.datasets.create("asked-for", {"xs": torch.ones(4)})
    sy.login(site.domain.url, "eve@x.org", PASSWORD, save=True)
    code, _, err = run(site, capsys, "analyze", "asked-for", "--stat", "count")
    assert code == 3
    told = f"grid requests create {made['xs'].object_id} --scope statistics"
    assert told in err
    code, out, err = run(
        site, capsys, "requests", "create", "asked-for", "--scope", "statistics", "--reason", "age",
        "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    asked = json.loads(out)
    assert (asked["state"], asked["scope"], asked["reason"]) == ("pending", "statistics", "age")
    assert [each.id for each in owner.requests.in_state("pending")] == [asked["id"]]
    owner.requests.get(asked["id"]).deny()
    assert run(site, capsys, "requests", "create", "asked-for", "--scope", "write")[0] == 2
    code, _, err = run(site, capsys, "requests", "create", "askedfor", "--scope", "read")
    assert code == 4 and "no dataset 'askedfor' here; there are: " in err
    code, _, err = run(site, capsys, "training", "show", "none/1")
    assert code == 4 and "you may see none" in err


def test_tab_completes_keys(site: Site, owner: sy.DomainClient) -> None:
    site.put(site.ann, encode_tensors({"": torch.ones(1)}), kind="tensor", searchable="true")
    made = owner.datasets.create("tabbed", {"xs": torch.ones(2), "ys": torch.ones(2)})
    assert "tabbed" in owner.datasets._ipython_key_completions_()
    assert made._ipython_key_completions_() == ["xs", "ys"]
    assert "ann@x.org" in owner.users._ipython_key_completions_()


def test_help_is_lines_of_text_also_where_a_command_is_missing() -> None:
    """`grid` and `grid dataset` alone print what `--help` does, to be read: no ``\\n``, no control characters."""
    for path in ((), ("dataset",), ("me", "totp")):
        alone, asked = grid(*path), grid(*path, "--help")
        assert (alone.code, asked.code) == (2, 0)
        assert (alone.err or alone.out) == asked.out
        assert len(asked.out.splitlines()) > 5 and "\\n" not in asked.out
        assert not any(ord(char) < 32 and char != "\n" for char in asked.out)
