"""What a notebook shows: tables, escaped, without JavaScript; progress only where somebody looks."""

from __future__ import annotations

import io
import sys

import pytest

import syft_ext as sy
from syft_ext.display import progress
from syft_ext.display.table import Table, ago, short_ids, size, when
from syft_ext.transport import LocalTransport
from tests.accounts.people import OWNER, PASSWORD, House


def test_a_table_is_aligned_text_and_escaped_html() -> None:
    table = Table("Títle <1>", ("name", "n"), [("<script>alert(1)</script>", 1), ("b", None)], "a & b")
    assert repr(table).splitlines()[:2] == ["Títle <1>", "name                       n"]
    html = table._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "a &amp; b" in html
    assert "Títle &lt;1&gt;" in html


def test_an_empty_table_says_so() -> None:
    assert "(none)" in Table("T", ("a",), [])._repr_html_()


def test_long_and_many_lined_cells_are_cut() -> None:
    assert Table("T", ("a",), [("x\n" * 200,)]).rows[0][0].endswith("…")


def test_a_column_with_nothing_in_it_is_not_shown() -> None:
    table = Table("T", ("name", "groups", "seen"), [("ann", [], None), ("bob", "", None)])
    assert repr(table).splitlines() == ["T", "name  seen", "ann   –", "bob   –"]
    assert "groups" not in table._repr_html_() and "seen" in table._repr_html_()
    assert "groups" in repr(Table("T", ("name", "groups"), []))


def test_whole_numbers_have_no_exponent() -> None:
    assert Table("T", ("a",), [(2_592_000.0,), (0.123456,), (float("inf"),)]).rows == [
        ["2592000"],
        ["0.1235"],
        ["inf"],
    ]


def test_ids_by_their_first_digits() -> None:
    shown = short_ids(["ab" * 16, "cd" * 32, "ab" * 15, "feed@lab.example"])
    assert shown == f"abababab…, cdcdcdcd…, {'ab' * 15}, feed@lab.example"


def test_a_notebook_wraps_what_a_terminal_cuts() -> None:
    words = " ".join(["flag"] * 30)
    table = Table("T", ("a",), [(words,), ("0" * 32,), (["ann", "bob"],)])
    assert words not in repr(table) and words in table._repr_html_()
    assert f'white-space:nowrap">{"0" * 32}<' in table._repr_html_()
    assert 'nowrap">ann, bob' not in table._repr_html_()  # lists give way to what cannot


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000, "1.2 MB"), (3 * 10**12, "3.0 TB")],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert size(count) == text


def test_times_for_people() -> None:
    assert (ago(4), ago(600), ago(7200 * 2)) == ("4 s", "10 min", "4 h")
    assert when(None) is None
    assert str(when(0.1)).startswith(("1970-01-01", "1969-12-31"))


def test_clients_and_collections_show_themselves(house: House) -> None:
    house.set_up()
    client = sy.login("http://h:1", OWNER, PASSWORD, transport=LocalTransport(house.node))
    assert OWNER in client._repr_html_()
    assert repr(client) == "<DomainClient 'hospital' at http://h:1>"
    assert OWNER in client.users._repr_html_()
    assert "Compliance Officer" in repr(client.roles)
    ann = client.users.create("ann@x.org", PASSWORD, role="Administrator")
    assert client.users["ann@x.org"].id == ann.id == client.users[ann.id].id
    assert [user.email for user in client.users] == ["ann@x.org", OWNER]
    assert list(client.users.to_pandas()["e-mail"]) == ["ann@x.org", OWNER]
    assert client.users.update(ann.id, disabled=True).disabled
    client.users.delete(ann.id)
    assert len(client.users) == 1
    with pytest.raises(sy.GridError, match=r"there are: 'owner@hospital\.org'"):
        client.users["nobody"]
    group = client.groups.create("ward", [client.users[0].id])
    assert client.groups["ward"].id == group.id
    assert client.update_settings(node_name="St. Mary").node_name == client.settings.node_name
    assert client.metadata.name == "St. Mary"


def test_no_terminal_means_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert progress.surface() == "silent"
    with progress.track("upload", 10, unit="B") as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = _Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    assert progress.surface() == "terminal"
    with progress.track("model [bold]x", 2_000_000, unit="B") as advance:
        advance(2_000_000)
    assert "model [bold]x" in out.getvalue()


def test_a_notebook_gets_a_tqdm_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class ZMQInteractiveShell:  # what get_ipython() returns under Jupyter
        pass

    monkeypatch.setattr("IPython.get_ipython", ZMQInteractiveShell)
    assert progress.surface() == "notebook"
    with progress.track("model", 100, unit="B") as advance:
        advance(60)
        advance(40)
    shown = capsys.readouterr()
    assert "model" in shown.out + shown.err
