"""docs/models.md is what is found: every model has its row, and one of each kind is traced again here.

All of them take minutes: ``python -m tests.plans.models.page --check``.
"""

from __future__ import annotations

import pytest

from .page import GROUPS, PAGE, lines_of, row
from .zoo import Case

_CASES: dict[str, Case] = {name: case for cases in GROUPS.values() for name, case in cases.items()}
_AGAIN = """
logistic regression / MLP, batch norm / Cox regression / ConvNeXt / GRU, lengths by a mask / BERT, LoRA
bag of words (EmbeddingBag) / GAT / Dice / GAN, both sides, spectral norm / variational autoencoder
"""
_SLICE = [name.strip() for line in _AGAIN.strip().splitlines() for name in line.split(" / ")]
_REFUSED = [name for name, case in _CASES.items() if case.refused]


def test_the_page_has_every_model_once() -> None:
    text = PAGE.read_text()
    assert list(lines_of(text)) == list(_CASES)
    assert len(_CASES) >= 60


def test_the_page_refuses_what_is_said_to_be_refused() -> None:
    lines = lines_of(PAGE.read_text())
    refused = {name for name, line in lines.items() if "| refused |" in line}
    assert refused == set(_REFUSED)
    assert all(_CASES[name].refused in lines[name] for name in refused)


@pytest.mark.parametrize("name", [*_SLICE, *_REFUSED])
def test_a_row_is_what_is_found(name: str) -> None:
    assert row(name, _CASES[name]) == lines_of(PAGE.read_text())[name]
