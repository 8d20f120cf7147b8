"""What people read is what was sent: in reprs, notebooks, exceptions, commands, logs, pages, plans."""

from __future__ import annotations

import ast
import contextlib
import html
import io
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

import syft_ext.nodes.kinds as node_kinds
from apps.cli import main as command_line
from grid.config import logs
from syft_ext.display.table import Table, fields_table
from syft_ext.errors import Conflict, GridError, Problem, from_problem
from syft_ext.profile.credentials import SavedLogin
from syft_ext.readable import is_readable, readable
from tests.readable.hostile import HOSTILE, HostileConnection, metadata, offences

ROOT = Path(__file__).resolve().parents[2]


@given(st.text())
def test_nothing_acts_or_hides(text: str) -> None:
    shown = readable(text)
    assert offences(shown, lines=False) == []
    assert offences(readable(text, lines=True), lines=True) == []
    assert is_readable(shown) and readable(shown) == shown
    if not offences(text, lines=False) and is_readable(text):
        assert shown == text


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert readable(text) == text


def test_what_stands_in_place_of_it() -> None:
    assert readable("a\x1b[2K\u202eb\r\n\t\x85") == "a\\x1b[2K⟨U+202E⟩b\\r\\n\\t\\x85"
    assert readable("a\nb\tc\r", lines=True) == "a\nb\tc\\r"
    for kept in ("Müller", "日本語", "naïve café", "Ελληνικά", "עברית", "a\u00a0b", "σ² ≤ 3 µm", "😀"):
        assert readable(kept) == kept


# -- the SDK --------------------------------------------------------------------------------------------


def client(kind: str, *, fails: bool = False) -> Any:
    session = SavedLogin(
        address="http://hostile.example:1",
        node_id="a" * 32,
        node_kind=kind,
        node_name=HOSTILE,
        user_id="c" * 32,
        email=HOSTILE,
        token="t",
        expires_at=4e9,
    )
    return node_kinds.client_class(kind)(HostileConnection(fails=fails), metadata(kind), session)


def shown(thing: Any) -> Iterator[tuple[str, str]]:
    """How it shows itself, as text and as a page."""
    yield "repr", repr(thing)
    yield "str", str(thing)
    if hasattr(thing, "_repr_html_"):
        yield "html", thing._repr_html_()
    if callable(getattr(thing, "table", None)):
        yield "table", repr(thing.table())
        yield "html", thing.table()._repr_html_()


def check(where: str, form: str, text: str) -> None:
    assert offences(text, lines=True) == [], f"{where}: {form}"
    if form == "html":
        assert "<script>" not in text, where
        text = html.unescape(text)
        assert offences(text, lines=True) == [], f"{where}: {form}"
    if not where.endswith(".plan"):  # which has lines
        assert "\nerror: none" not in text, f"{where}: a line that nobody wrote"


#: Things of a client that need no arguments.
THINGS = {
    "domain": "datasets store trainings requests grants workers policy budget quotas compute location me users "
    "roles groups associations audit settings",
    "network": "domains me users roles groups associations audit settings",
}


def things(kind: str) -> Iterator[tuple[str, Any]]:
    found = client(kind)
    yield "client", found
    yield "dashboard", found.dashboard()
    for name in THINGS[kind].split():
        try:
            thing = getattr(found, name)
            yield name, thing
        except AttributeError as error:
            raise AssertionError(f"a {kind} has no {name}") from error
        try:
            items = list(thing)[:3] if hasattr(thing, "__iter__") else []
        except GridError:
            items = []
        for item in items:
            yield f"{name}[0]", item
            for more in ("plan", "versions", "assets", "mock", "keys", "sessions", "totp"):
                try:
                    part = getattr(item, more, None)
                except Exception:
                    continue
                if part is not None:
                    yield f"{name}[0].{more}", part


@pytest.mark.parametrize("kind", ["domain", "network"])
def test_the_sdk_shows_no_text_raw(kind: str) -> None:
    seen = 0
    for where, thing in things(kind):
        try:
            forms = list(shown(thing))
        except GridError:
            continue
        for form, text in forms:
            check(where, form, text)
            seen += "⟨U+202E⟩" in text or "\\u202e" in text
    assert seen > 15, "the attacker's text was not there to be shown"


@pytest.mark.parametrize("kind", ["domain", "network"])
def test_searches_and_reviews(kind: str) -> None:
    found = client(kind).search("x")
    for where, thing in (("hits", found), ("hit", found[0]), ("assets", found.assets)):
        for form, text in shown(thing):
            check(where, form, text)
    if kind == "domain":
        plan = client(kind).requests[0].plan
        for text in (plan.text(), plan.diff()):
            assert offences(text, lines=True) == []
            assert "⟨U+202E⟩" in text


def test_errors_of_a_node_in_a_traceback() -> None:
    try:
        client("domain", fails=True).requests.all()
    except Conflict as error:
        text = "".join(traceback.format_exception(error))
        assert error.detail == HOSTILE, "programs have it exactly"
    assert offences(text, lines=True) == []
    assert "\nerror: none" not in text
    composed = from_problem(Problem(detail=HOSTILE, status=409)).noted("Instead: wait")
    assert "\nerror: none" not in str(composed) and "\n  Instead: wait" in str(composed)


def test_tables_titles_and_notes() -> None:
    for table in (
        Table(HOSTILE, [HOSTILE], [[HOSTILE], [[HOSTILE]]], HOSTILE),
        fields_table(HOSTILE, [(HOSTILE, HOSTILE)]),
    ):
        for form, text in shown(table):
            check("table", form, text)


def test_plans_of_others() -> None:
    import msgspec

    from syft_ext.plans import make_plan
    from syft_ext.plans.graph.text import as_html, as_text

    @make_plan
    def doubled(x: Any = 1.0) -> Any:
        return x * 2

    document = doubled.document
    inputs = tuple(msgspec.structs.replace(each, name=HOSTILE) for each in document.inputs)
    renamed = msgspec.structs.replace(document, name=HOSTILE, doc=HOSTILE, inputs=inputs)
    for form, text in (("text", as_text(renamed, "0" * 64)), ("html", as_html(renamed, "0" * 64, None))):
        check("plan", form, text)
        assert "⟨U+202E⟩" in text


# -- commands -------------------------------------------------------------------------------------------

#: Commands that ask no node, or run until they are stopped.
LOCAL = {"start", "start-each", "adopt", "doctor", "config", "setup", "login", "logout", "sessions"}
WORDS = {
    "values": "stored_bytes=5",
    "names": "uploads",
    "epsilon": "1",
    "which": "a" * 32,
    "statistics": "mean",
}


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            found = command.get_command(click.Context(command), name)
            assert found is not None
            if name not in LOCAL:
                yield from leaves(found, (*path, name))
    else:
        yield path, command


def arguments(command: click.Command, tmp_path: Path) -> list[str]:
    given = []
    for parameter in command.params:
        word = WORDS.get(parameter.name or "", "a" * 32)
        if isinstance(parameter.type, click.Path) or "file" in (parameter.name or ""):
            file = tmp_path / f"{parameter.name}.json"
            file.write_text("{}")
            word = str(file)
        elif isinstance(parameter.type, click.Choice):
            word = str(parameter.type.choices[0])
        elif isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
            word = "1"
        if isinstance(parameter, click.Argument):
            given.append(word)
        elif parameter.required:
            given += [parameter.opts[0], word]
    return given


COMMANDS = sorted(leaves(command_line.cli))


@pytest.fixture
def hostile_node(monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> HostileConnection:
    """Whatever node a command asks, this one answers."""
    connection = HostileConnection()
    monkeypatch.setattr(
        "syft_ext.nodes.login.open_session", lambda address: (connection, metadata(connection.kind))
    )
    monkeypatch.setattr("apps.cli.client.open_own_node", lambda home: connection)
    monkeypatch.setenv("GRID_URL", "http://hostile.example:1")
    monkeypatch.setenv("GRID_PASSWORD", "x")
    monkeypatch.setenv("GRID_NEW_PASSWORD", "y")
    monkeypatch.setenv("GRID_TOTP", "123456")
    connection.kind = "domain"  # type: ignore[attr-defined]
    return connection


def run(command: tuple[str, ...], tail: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    # What is no GridError has a traceback of its own; what was printed before counts.
    with contextlib.suppress(Exception):
        command_line._run(command_line.cli, [*command, *tail])
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_no_command_prints_text_raw(
    hostile_node: HostileConnection, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = asked = 0
    for fails in (False, True):
        hostile_node.fails = fails
        for kind in ("domain", "network"):
            hostile_node.kind = kind  # type: ignore[attr-defined]
            for path, command in COMMANDS:
                hostile_node.calls = 0
                text = run(path, arguments(command, tmp_path), capsys)
                assert offences(text, lines=True) == [], (path, text)
                if path != ("requests", "show"):  # it has a plan, which has lines
                    assert "\nerror: none" not in text, path
                told += "⟨U+202E⟩" in text
                asked += bool(hostile_node.calls)
    assert asked > 100 and told > 80, (asked, told)


def test_json_is_exact_and_harmless(
    hostile_node: HostileConnection, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    exact = 0
    for path, command in COMMANDS:
        if not any("--format" in parameter.opts for parameter in command.params):
            continue
        text = run(path, [*arguments(command, tmp_path), "--format", "json"], capsys)
        assert offences(text, lines=True) == [], (path, text)
        try:
            document = json.loads(text)
        except ValueError:
            continue
        exact += HOSTILE in json.dumps(document, ensure_ascii=False).encode().decode() or HOSTILE in texts(
            document
        )
    assert exact > 15


def texts(document: Any) -> list[str]:
    if isinstance(document, dict):
        return [text for pair in document.items() for each in pair for text in texts(each)]
    if isinstance(document, list):
        return [text for each in document for text in texts(each)]
    return [document] if isinstance(document, str) else []


# -- logs, pages, structure -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pretty", "json"])
def test_logs(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    output = logs._Output(logs._JSON() if form == "json" else logs._Pretty())
    output.setStream(stream)
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.INFO, "", 0, "asked by %s", (HOSTILE,), (ValueError, error, None)
        )
    output.handle(record)
    output.write_info("x", HOSTILE)
    lines = stream.getvalue().splitlines()
    assert offences(stream.getvalue(), lines=True) == []
    if form == "json":
        assert [json.loads(line)["message"] for line in lines] == [f"asked by {HOSTILE}", HOSTILE]
    else:
        assert not any(
            line.startswith("error: none") for line in lines if "ValueError" not in stream.getvalue()
        )


def test_pages(tmp_path: Path, sqlite_url: str) -> None:
    import urllib3

    from apps.assembly import open_node
    from grid.node.metadata import MetadataService
    from grid.web.testing import ServedNode

    node = open_node("network", tmp_path / "home", HOSTILE, [MetadataService], database_url=sqlite_url)
    with ServedNode(node) as served:
        for path in ("/", "/docs"):
            page = urllib3.request("GET", served.url + path).data.decode()
            check(path, "html", page)
            assert "⟨U+202E⟩" in page


def prints(path: Path) -> list[int]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in (
                "print",
                "click.echo",
                "click.secho",
                "sys.stdout.write",
                "sys.stderr.write",
                "echo",
            ):
                found.append(node.lineno)
    return found


#: Who prints, and why nothing of others' passes by: all else goes through these.
PRINTERS = {
    "apps/cli/output.py": "where it is made readable",
    "apps/cli/main.py": "one word",
    "apps/runner.py": "the node's own address",
    "apps/images/__main__.py": "digests",
    "apps/confidential_worker/main.py": "how it is called; it knows no other module that prints",
    "packages/syft_ext/display/line.py": "made readable there",
    "packages/syft_ext/federated/fl_client.py": "made readable there",
}


def test_everything_is_printed_in_one_place() -> None:
    for path in sorted([*(ROOT / "apps").rglob("*.py"), *(ROOT / "packages").rglob("*.py")]):
        name = str(path.relative_to(ROOT))
        if prints(path):
            assert name in PRINTERS, f"{name}:{prints(path)} prints: use apps.cli.output.say"


def test_every_repr_is_readable() -> None:
    """A repr or str that is put together from texts says ``readable``, or leaves it to a table or to repr()."""
    for path in sorted((ROOT / "packages" / "syft_ext").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "__str__", "_repr_html_")
            ):
                continue
            body = ast.unparse(node)
            if not any(isinstance(each, ast.FormattedValue) for each in ast.walk(node)):
                continue
            assert any(word in body for word in ("readable", "repr(", "table()")) or path.name in OWN_TEXTS, (
                f"{path.name}:{node.lineno}"
            )


#: Files whose reprs say nothing that somebody else wrote.
OWN_TEXTS = {
    "checkpoint.py": "its rows are readable when they are made",
    "offer.py": "its text is readable, line by line",
    "result.py": "bars",
    "table.py": "cells are readable when it is made",
    "permissions.py": "names of flags",
    "limits.py": "numbers",
    "images.py": "sizes and modes of pictures",
    "proxies.py": "a proxy that the user named",
    "problems.py": "lines of an error, and errors are readable",
    "values.py": "an example of the user's own, by repr",
    "plan_facts.py": "numbers",
    "tensors.py": "numbers",
    "context.py": "a name of the list of parameters, and digits",
    "errors.py": "lines of the user's own code",
    "credentials.py": "the user's own sessions",
    "job.py": "names that the user gave, by repr",
    "hosting.py": "an address that the user gave",
    "address.py": "an address that was checked",
    "expr.py": "a plan's sizes",
    "export.py": "counted, and readable",
    "mpc_tensor.py": "a shape, and a number",
}
