"""Every operation in the browser's engine against torch: a slice, in Node (the whole: conformance.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syft_ext.plans.graph.ops import ALLOWED

from . import operations
from .conformance import as_json, differences, questions
from .engines import Engine, node
from .node import needs_node

SEED = 40_000
pytestmark = pytest.mark.timeout(900)  # of a machine that does other things


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    needs_node()
    with node() as made:
        yield made


def test_the_table_of_operations_is_in_step() -> None:
    for file, text in operations.files().items():
        assert file.read_text() == text, "run python -m tests.browser.operations --write"


def test_every_operation_answers_as_torch_does(engine: Engine) -> None:
    wrong, refused = [], 0
    for op in ALLOWED:
        asked = list(questions(op, cases=2, seed=SEED))
        assert sum(each.results is not None for each in asked) == 2, op
        for question, outcome in zip(asked, engine.run([as_json(each) for each in asked]), strict=True):
            said = differences(question, outcome)
            refused += question.results is None
            if said:
                wrong.append(f"{question}\n    {said}")
    assert not wrong, "\n".join(wrong)
    assert refused > 100  # a slice that refuses nothing shows less than half


def test_a_wrong_answer_is_noticed(engine: Engine) -> None:
    question = next(
        q for q in questions("aten.exp.default", cases=5, seed=0) if q.results and q.results[0].numel()
    )
    assert question.results is not None
    (outcome,) = engine.run([as_json(question)])
    question.results[0] += 1
    assert differences(question, outcome)
