"""Rows laid out: aligned, and never wider than the terminal, whatever is in them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from syft_ext.display.layout import laid_out, wrapped
from syft_ext.display.table import Table

TEXTS = st.text(st.sampled_from("ab 0123 日本語ü"), max_size=60)
ROWS = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), min_size=1, max_size=6)
)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, width=st.integers(20, 120))
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    rows[0] = [f"H{i}" for i in range(len(rows[0]))]
    lines = laid_out(rows, width)
    assert all(cell_len(line) <= width for line in lines)
    shown = "".join("".join(lines).split())
    for row in rows[1:]:
        assert all(set(cell.replace(" ", "")) <= set(shown) for cell in row), "nothing is cut"


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, width=st.integers(2, 40))
def test_wrapping_keeps_every_word(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_ids_give_way_before_words_do() -> None:
    rows = [["NAME", "ID"], ["a dataset with a long name", "ab" * 16]]
    assert laid_out(rows)[1].endswith("ab" * 16)
    assert laid_out(rows, 40)[1] == "a dataset with a long name  abababab…"


def test_columns_of_wide_characters_are_aligned() -> None:
    first, second = laid_out([["日本", "x"], ["ab", "y"]])
    assert cell_len(first) == cell_len(second)


def test_a_row_that_cannot_fit_is_shown_by_itself() -> None:
    rows = [[f"HEADING{i}" for i in range(6)], [f"value {i}" for i in range(6)]]
    assert laid_out(rows, 24)[0] == "HEADING0  value 0"


def test_text_that_goes_elsewhere_has_a_line_for_each_row() -> None:
    assert len(repr(Table("T", ("a", "b"), [("x " * 30, "y " * 30)])).splitlines()) == 3


def test_words_are_broken_only_where_blanks_do_not_do() -> None:
    rows = [
        ["STATUS", "WHO", "NOTE", "EMPTY"],
        ["awaiting-approval", "officer@hospital.example.org", "which of them need a second look", "-"],
    ]
    assert laid_out(rows, 66) == [
        "STATUS             WHO                           NOTE",
        "awaiting-approval  officer@hospital.example.org  which of them",
        "                                                 need a second",
        "                                                 look",
    ], "what no row has is left out, and there is room for all words"
    assert laid_out(rows, 50) == [
        "STATUS           WHO              NOTE",
        "awaiting-        officer@         which of them",
        "approval         hospital.        need a second",
        "                 example.org      look",
    ], "names and addresses are broken between their parts"
