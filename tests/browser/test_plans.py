"""Whole plans in the browser's engine: what a person reads, what they compute, what is refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import torch
from blake3 import blake3

from syft_ext.plans import Plan
from syft_ext.plans.graph.document import Const, Document, encode
from tests.plans.documents import forge, ints, ref
from tests.plans.test_hostile import BOMBS, KERNELS, STRUCTURE

from . import steps
from .conformance import packed
from .engines import Engine, node
from .mutations import mutated
from .node import needs_node

pytestmark = pytest.mark.timeout(900)  # of a machine that does other things


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    needs_node()
    with node() as made:
        yield made


@pytest.fixture(scope="module")
def plans() -> dict[str, tuple[Plan, list[torch.Tensor]]]:
    """Some of the fifteen plans, with their inputs; all of them: ``python -m tests.browser.steps``."""
    return dict(steps.traced("cnn_batchnorm", "logistic_regression", "kmeans"))


def asked(data: bytes, **more: Any) -> dict[str, Any]:
    return {"plan": base64.b64encode(data).decode(), "id": blake3(data).hexdigest(), **more}


def one(engine: Engine, case: dict[str, Any]) -> dict[str, Any]:
    return engine.run([case])[0]


def test_a_person_reads_the_same_words_and_the_self_test_holds(engine: Engine, plans: Any) -> None:
    for name, (plan, _) in plans.items():
        found = one(engine, asked(plan.dumps()))
        assert found.get("text") == plan.text(), (name, found)
        assert found["share"] <= 1, name
        cost = plan.cost()
        assert (found["cost"]["ops"], found["cost"]["flops"]) == (cost.ops, cost.flops), name
        assert found["cost"]["outputBytes"] == cost.output_bytes, name
        assert found["cost"]["largest"] == cost.largest, name


def test_steps_give_the_losses_of_torch_in_flat_memory(engine: Engine, plans: Any) -> None:
    for name, (plan, flat) in plans.items():
        worst = steps.largest_difference(engine, plan, flat, 10)
        assert worst <= steps.tolerance(name), name


# -- what is refused -----------------------------------------------------------------------------------------


def test_each_flipped_byte_is_refused(engine: Engine, plans: Any) -> None:
    data = plans["logistic_regression"][0].dumps()
    plan_id = blake3(data).hexdigest()
    cases = []
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        cases.append({"plan": base64.b64encode(flipped).decode(), "id": plan_id})
    for found in engine.run(cases):
        assert "digest" in found.get("refused", ""), found


def test_mutated_plans_are_refused_or_computed_alike(engine: Engine, plans: Any) -> None:
    """A slice of ``python -m tests.browser.mutations``, which does 20,000."""
    plan, flat = plans["logistic_regression"]
    found = list(mutated(engine, plan, flat, count=200, seed=14))
    assert not [each.wrong for each in found if each.wrong]
    assert sum(each.ran for each in found) > 1


@pytest.mark.parametrize("name", [*STRUCTURE, *BOMBS, *KERNELS])
def test_plans_that_mean_harm_are_refused_before_anything_is_allocated(engine: Engine, name: str) -> None:
    document, _ = {**STRUCTURE, **BOMBS, **KERNELS}[name]
    limits = {"maxBytes": 1 << 30, "maxNumel": 1 << 27, "maxFlops": 10**11}
    found = one(engine, asked(encode(document), limits=limits))
    assert found.get("refused"), found


def test_limits_are_kept(engine: Engine) -> None:
    document = forge([("aten.neg.default", [ref(i)]) for i in range(100)])
    cost = one(engine, asked(encode(document), inputs=[packed(torch.zeros(4, 4))]))
    assert "results" in cost
    for limit, value, words in (
        ("maxOps", 99, "operations"),
        ("maxOutputBytes", 63, "results"),
        ("maxNumel", 15, "elements"),
        ("maxFlops", 1599, "floating-point operations"),
        ("maxBytes", 100, "bytes alive"),
        ("maxPlanBytes", 500, "bytes"),
    ):
        found = one(engine, asked(encode(document), limits={limit: value}))
        assert words in found["refused"], found
    found = one(
        engine, asked(encode(document), limits={"maxFlops": 1600, "maxOutputBytes": 64, "maxNumel": 16})
    )
    assert "text" in found or "self-test" in found["refused"], found


def test_an_operation_that_is_missing_is_named(engine: Engine) -> None:
    document = forge([("aten.nonzero.default", [ref(0)])])
    assert "aten.nonzero.default" in one(engine, asked(encode(document)))["refused"]


def test_halves_are_refused_by_name(engine: Engine) -> None:
    for name in ("f16", "bf16"):
        document = forge([("aten._to_copy.default", [ref(0)], {"dtype": ["d", name]})], output=(name, (4, 4)))
        assert name in one(engine, asked(encode(document)))["refused"]


def test_indices_out_of_range_are_refused_when_the_plan_runs(engine: Engine) -> None:
    for bad in (10**12, 5000, -(10**12)):
        const = Const("i64", [4, 4], bad.to_bytes(8, "little", signed=True) * 16)
        document = forge([("aten.gather.default", [ref(0), 0, ref(1)])], consts=[const])
        found = one(engine, asked(encode(document), inputs=[packed(torch.ones(4, 4))]))
        assert found["reason"] == "values" and "failed on these values" in found["refused"]


def test_texts_of_others_are_made_readable(engine: Engine) -> None:
    document: Document = msgspec.structs.replace(
        forge([("aten.neg.default", [ref(0)])]), doc="a\u202eb\x1b[2Jc\u200bd\n  second line \u3164"
    )
    document = _with_self_test(document)
    data = encode(document)
    assert one(engine, asked(data))["text"] == Plan.read(data).text()


def _with_self_test(document: Document) -> Document:
    from syft_ext.plans.checking.selftest import make_inputs, summarise

    results = Plan(document).run(make_inputs(document, document.selftest))
    summaries = [summarise(each) for each in results]
    return msgspec.structs.replace(
        document, selftest=msgspec.structs.replace(document.selftest, outputs=summaries)
    )


def test_a_wrong_self_test_is_refused(engine: Engine) -> None:
    document = _with_self_test(forge([("aten.neg.default", [ref(0)])]))
    assert one(engine, asked(encode(document)))["share"] <= 1
    summary = msgspec.structs.replace(document.selftest.outputs[0], mean=0.7)
    wrong = msgspec.structs.replace(
        document, selftest=msgspec.structs.replace(document.selftest, outputs=[summary])
    )
    assert "differently" in one(engine, asked(encode(wrong)))["refused"]


def test_lists_are_as_python_writes_them(engine: Engine) -> None:
    document = _with_self_test(
        forge(
            [
                ("aten.clamp.default", [ref(0), -1.5, None]),
                ("aten.mul.Scalar", [ref(1), 1e-05]),
                ("aten.add.Scalar", [ref(2), 10**17, 1e22]),
                ("aten.gelu.default", [ref(3)], {"approximate": "tanh"}),
                ("aten.reshape.default", [ref(4), ints(4, 4)]),
            ]
        )
    )
    data = encode(document)
    assert one(engine, asked(data))["text"] == Plan.read(data).text()
