"""Kernels that trust what strangers give them: indices, sizes, strides, divisors, and what was announced.

Each attack runs where strangers' operations run: as a plan in the sandbox, as a plan in the process of the
data's owner, as calls of a pointer in a Domain's host. There it is refused, or gives what the operation means.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from syft_ext.errors import GridError, InvalidPlan
from syft_ext.plans import PlanSandbox
from syft_ext.plans.graph.document import Document, encode
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
from tests.compute.lab import Lab
from tests.plans.documents import forge_calls, ints, ref

FARTHEST, NEAREST = 2**63 - 1, -(2**63)


@dataclass(frozen=True)
class Attack:
    """``result`` is what the operation means, where it has a meaning; else it is refused, with ``words``."""

    inputs: Sequence[torch.Tensor]
    steps: Sequence[tuple[Any, ...]]
    output: tuple[str, Sequence[int]]
    words: str = ""
    result: torch.Tensor | None = None

    def document(self) -> Document:
        inputs = [(dtype_name(tensor.dtype) or "", tuple(tensor.shape)) for tensor in self.inputs]
        return forge_calls(inputs, self.steps, self.output)


def nll_backward(
    target: torch.Tensor, *, reduction: int = 0, weight: bool = False, ignored: int = -100, classes: int = 3
) -> Attack:
    rows = len(target)
    grad = torch.ones(rows) if reduction == 0 else torch.ones(())
    inputs = [grad, torch.zeros(rows, classes), target, torch.ones(()), torch.ones(classes)]
    args = [ref(0), ref(1), ref(2), ref(4) if weight else None, reduction, ignored, ref(3)]
    step = ("aten.nll_loss_backward.default", args)
    return Attack(inputs, [step], ("f32", (rows, classes)), "a target is not in")


def whole(*values: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


TARGETS = {
    "a target far past the end": nll_backward(whole(1 << 45)),
    "a target just past the end": nll_backward(whole(0, 3)),
    "a negative target": nll_backward(whole(0, -1)),
    "a target before everything": nll_backward(whole(-(1 << 45), 0)),
    "a target of u8": Attack(
        [torch.zeros(2, 3), whole(1, 255, dtype=torch.uint8), torch.ones(3)],
        [("aten.nll_loss_forward.default", [ref(0), ref(1), ref(2), 0, -100], {}, 2)],
        ("f32", (2,)),
        "targets are numbers",
    ),
    "a target that reads a weight": nll_backward(whole(5, 1), weight=True),
    "a target under a mean": nll_backward(whole(0, 1 << 20), reduction=1),
    "the default of ignore_index, which here is none": nll_backward(whole(-100), ignored=-1),
    "a target of the loss itself": Attack(
        [torch.zeros(2, 3), whole(1, 3)],
        [("aten.nll_loss_forward.default", [ref(0), ref(1), None, 0, -100], {}, 2)],
        ("f32", (2,)),
        "a target is not in",
    ),
    "an ignored target outside is none": Attack(
        [torch.ones(2), torch.zeros(2, 3), whole(7, 1), torch.ones(())],
        [("aten.nll_loss_backward.default", [ref(0), ref(1), ref(2), None, 0, 7, ref(3)])],
        ("f32", (2, 3)),
        result=torch.tensor([[0.0, 0, 0], [0, -1, 0]]),
    ),
}


def look_up(op: str, *args: Any, index: torch.Tensor, shape: Sequence[int], **kwargs: Any) -> Attack:
    """``index`` is input 1 of an operation on ones of 4 by 4."""
    inputs = [torch.ones(4, 4), index]
    return Attack(inputs, [(f"aten.{op}", list(args), kwargs)], ("f32", shape), "an index is not in")


ROW, PLANE = whole(0, 4), whole(0, 1, 2, 4).reshape(2, 2)
INDICES = {
    "gather": look_up("gather.default", ref(0), 1, ref(1), index=PLANE, shape=(2, 2)),
    "gather, far before": look_up("gather.default", ref(0), 0, ref(1), index=PLANE - (1 << 40), shape=(2, 2)),
    "scatter": look_up("scatter.value", ref(0), 0, ref(1), 2.0, index=PLANE, shape=(4, 4)),
    "scatter_add": look_up("scatter_add.default", ref(0), 1, ref(1), ref(0), index=-PLANE, shape=(4, 4)),
    "index_select": look_up("index_select.default", ref(0), -1, ref(1), index=ROW, shape=(4, 2)),
    "index_add": look_up("index_add.default", ref(0), 0, ref(1), ref(2), index=ROW, shape=(4, 4)),
    "index": look_up("index.Tensor", ref(0), ["l", ref(1)], index=-ROW - 1, shape=(2, 4)),
    "index of the second dimension": look_up(
        "index.Tensor", ref(0), ["l", None, ref(1)], index=ROW + (1 << 50), shape=(4, 2)
    ),
    "index_put": look_up("index_put.default", ref(0), ["l", ref(1)], ref(2), index=ROW, shape=(4, 4)),
    "embedding": look_up("embedding.default", ref(0), ref(1), index=ROW, shape=(2, 4)),
    "embedding by i32": look_up(
        "embedding.default", ref(0), ref(1), index=(-ROW - 1).to(torch.int32), shape=(2, 4)
    ),
}
for name in ("index_add", "index_put"):
    INDICES[name] = Attack([*INDICES[name].inputs, torch.ones(2, 4)], *list(vars(INDICES[name]).values())[1:])


def norm(
    op: str, channels: int, sides: Sequence[torch.Tensor | None], *rest: Any, words: str, dtype: str = "f32"
) -> Attack:
    """A norm of zeros, one row, with a weight and a bias of one's own sizes."""
    x = torch.zeros(1, channels, 2)
    given = [side for side in sides if side is not None]
    places = iter(range(1, len(given) + 1))
    args = [ref(0), *(None if side is None else ref(next(places)) for side in sides), *rest]
    return Attack([x, *given], [(op, args, {}, 3)], ("f32", (1, channels, 2)), words)


BATCH, GROUP = "aten._native_batch_norm_legit.no_stats", "aten.native_group_norm.default"
TRAIN, BY_GROUP = (True, 0.1, 1e-5), (1, 64, 2, 1, 1e-5)
SHORT = {
    "batch norm, short bias": norm(BATCH, 64, [None, torch.zeros(1)], *TRAIN, words="does not match"),
    "batch norm, short weight": norm(BATCH, 64, [torch.ones(63), None], *TRAIN, words="does not match"),
    "batch norm, a weight without dimensions": norm(BATCH, 2, [torch.ones(()), None], *TRAIN, words="match"),
    "batch norm, a long weight": norm(BATCH, 1, [torch.ones(64), None], *TRAIN, words="does not match"),
    "batch norm of another type": norm(
        BATCH, 2, [torch.ones(2, dtype=torch.float64), None], *TRAIN, words="one dtype"
    ),
    "batch norm without statistics": norm(BATCH, 2, [None, None], False, 0.1, 1e-5, words="statistics"),
    "group norm, short weight": norm(GROUP, 64, [torch.ones(1), None], *BY_GROUP, words="do not match"),
    "group norm, short bias": norm(GROUP, 64, [None, torch.ones(32)], *BY_GROUP, words="do not match"),
    "group norm, sizes of somebody else": norm(
        GROUP, 4, [None, None], 1, 4, 1 << 20, 2, 1e-5, words="sizes do not match"
    ),
    "layer norm, short weight": Attack(
        [torch.zeros(2, 64), torch.ones(1)],
        [("aten.native_layer_norm.default", [ref(0), ints(64), ref(1), None, 1e-5], {}, 3)],
        ("f32", (2, 64)),
        "another shape",
    ),
    "statistics of a result of another shape": Attack(
        [torch.zeros(1, 1), torch.ones(64), torch.ones(1, 64), torch.zeros(1, 64)],
        [
            (BATCH, [ref(0), ref(1), None, True, 0.0, 1e-5], {}, 3),
            ("aten.select.int", [ref(4), 0, 0]),
            (
                "aten.native_batch_norm_backward.default",
                [ref(2), ref(3), None, ref(7), ref(7), None, None, False, 1.0, ints(True, False, False)],
                {},
                3,
            ),
        ],
        ("f32", (1, 64)),
        "does not match",
    ),
}


def expanded(op: str, bias: int, *rest: Any) -> Attack:
    """A bias of 64 equal elements in the memory of one."""
    args = [ref(0), None, ref(2), *rest]
    return Attack(
        [torch.zeros(1, 64, 2), torch.zeros(bias)],
        [("aten.expand.default", [ref(1), ints(64)]), (op, args, {}, 3)],
        ("f32", (1, 64, 2)),
        "expanded",
    )


EXPANDED = {
    "group norm, an expanded bias": expanded(GROUP, 1, *BY_GROUP),
    "batch norm, an expanded bias": expanded(BATCH, 1, *TRAIN),
    "batch norm's gradient, expanded statistics": Attack(
        [torch.ones(1, 64), torch.zeros(1, 64), torch.ones(1)],
        [
            ("aten.expand.default", [ref(2), ints(64)]),
            (
                "aten.native_batch_norm_backward.default",
                [ref(0), ref(1), None, ref(3), ref(3), None, None, False, 0.0, ints(True, False, False)],
                {},
                3,
            ),
        ],
        ("f32", (1, 64)),
        "expanded",
    ),
    "a gradient that is expanded, as sum() makes it, is no attack": Attack(
        [torch.ones(1, 1), torch.full((8, 64), 0.5)],
        [
            ("aten.expand.default", [ref(0), ints(8, 64)]),
            ("aten._softmax_backward_data.default", [ref(2), ref(1), 0, ["d", "f32"]]),
        ],
        ("f32", (8, 64)),
        result=torch.full((8, 64), 0.5 - 8 * 0.5 * 0.5),
    ),
    "a column as a weight is none either": Attack(
        [torch.zeros(1, 3, 1), torch.tensor([[1.0, 7], [2, 8], [3, 9]])],
        [
            ("aten.select.int", [ref(1), 1, 1]),
            (GROUP, [ref(0), None, ref(2), 1, 3, 1, 1, 1e-5], {}, 3),
        ],
        ("f32", (1, 3, 1)),
        result=torch.tensor([[[7.0], [8], [9]]]),
    ),
}


def divide(op: str, dtype: torch.dtype, divisor: int, **kwargs: Any) -> Attack:
    smallest = torch.iinfo(dtype).min
    inputs = [whole(5, smallest, dtype=dtype), whole(1, divisor, dtype=dtype)]
    step = (f"aten.{op}", [ref(0), ref(1)], kwargs)
    words = "a division by zero" if divisor == 0 else "the smallest integer divided by -1"
    return Attack(inputs, [step], (dtype_name(dtype) or "", (2,)), words)


TRAPS = {
    "trunc of i64": divide("div.Tensor_mode", torch.int64, -1, rounding_mode="trunc"),
    "trunc of i32": divide("div.Tensor_mode", torch.int32, -1, rounding_mode="trunc"),
    "floor of i64": divide("div.Tensor_mode", torch.int64, -1, rounding_mode="floor"),
    "remainder": divide("remainder.Tensor", torch.int64, -1),
    "fmod": divide("fmod.Tensor", torch.int32, -1),
    "zero, trunc": divide("div.Tensor_mode", torch.int64, 0, rounding_mode="trunc"),
    "zero, fmod": divide("fmod.Tensor", torch.int16, 0),
    "fmod by a number": Attack(
        [whole(NEAREST, 3)], [("aten.fmod.Scalar", [ref(0), -1])], ("i64", (2,)), "divided by -1"
    ),
    "a mean of a window, by -1": Attack(
        [torch.full((1, 1, 1), NEAREST)],
        [("aten.avg_pool2d.default", [ref(0), ints(1, 1), ints(1, 1), ints(0, 0), False, True, -1])],
        ("i64", (1, 1, 1)),
        "a divisor is a number of elements",
    ),
    "a mean of a window, by 0": Attack(
        [torch.full((1, 1, 1), 7)],
        [("aten.avg_pool2d.default", [ref(0), ints(1, 1), ints(1, 1), ints(0, 0), False, True, 0])],
        ("i64", (1, 1, 1)),
        "a divisor is a number of elements|not zero",
    ),
    "a division that is one": Attack(
        [whole(NEAREST, 9), whole(2, -1)],
        [("aten.div.Tensor_mode", [ref(0), ref(1)], {"rounding_mode": "trunc"})],
        ("i64", (2,)),
        result=whole(-(2**62), -9),
    ),
}

ANNOUNCED = {
    "indices of two ranks": Attack(
        [torch.ones(1, 1, 64), whole(*[0] * 64), whole(0).reshape(())],
        [("aten.index.Tensor", [ref(0), ["l", ref(1), ref(2)]]), ("aten.sum.default", [ref(3)])],
        ("f32", ()),
        "without dimensions beside",
    ),
    "an extreme step of a slice": Attack(
        [torch.ones(0, 3)],
        [("aten.slice.Tensor", [ref(0), 1, 1, None, FARTHEST])],
        ("f32", (0, 1)),
        "malformed step",
    ),
    "an extreme step of a slice that is written to": Attack(
        [torch.ones(4, 3), torch.ones(4, 1)],
        [("aten.slice_scatter.default", [ref(0), ref(1), 1, 1, None, FARTHEST - 1])],
        ("f32", (4, 3)),
        "malformed step",
    ),
    "a range whose length overflows": Attack(
        [torch.ones(1)],
        [("aten.arange.start_step", [NEAREST, FARTHEST, 1 << 62])],
        ("i64", (4,)),
        "malformed range",
    ),
    "a range of integers between fractions": Attack(
        [torch.ones(1)],
        [("aten.arange.start_step", [0.5, 2.5, 0.75], {"dtype": ["d", "i64"]})],
        ("i64", (3,)),
        "integer bounds",
    ),
    "the gradient of a slice of another size": Attack(
        [torch.ones(1)],
        [("aten.slice_backward.default", [ref(0), ints(1 << 20), 0, 0, FARTHEST, 1])],
        ("f32", (1 << 20,)),
        "equal shapes",
    ),
}

IMAGE = torch.ones(1, 1 << 11, 1 << 11)
COSTS = {
    "windows as large as the image": Attack(
        [IMAGE],
        [
            (
                "aten.avg_pool2d.default",
                [ref(0), ints(1023, 1023), ints(1, 1), ints(511, 511), False, True, None],
            )
        ],
        ("f32", (1, 2048, 2048)),
        "floating-point operations|arithmetic",
    ),
    "spread windows": Attack(
        [IMAGE],
        [
            (
                "aten.max_pool2d_with_indices.default",
                [ref(0), ints(900, 900), ints(1, 1), ints(450, 450), ints(2, 2), False],
                {},
                2,
            )
        ],
        ("f32", (1, 1150, 1150)),
        "floating-point operations|arithmetic",
    ),
    "an order of nothing": Attack(
        [torch.ones(0, 3)],
        [
            ("aten.zeros.default", [ints(0, 1 << 27)]),
            ("aten.sort.default", [ref(1)], {}, 2),
        ],
        ("f32", (0, 1 << 27)),
        "bytes|needs",
    ),
    "nothing, of a large size": Attack(
        [torch.ones(1)],
        [("aten.zeros.default", [ints(0, 1 << 40)])],
        ("f32", (0, 1 << 40)),
        "elements",
    ),
    "a product of an expanded number": Attack(
        [torch.ones(1, 1)],
        [
            ("aten.expand.default", [ref(0), ints(1 << 14, 1 << 14)]),
            ("aten.select.int", [ref(1), 1, 0]),
            ("aten.mv.default", [ref(1), ref(2)]),
        ],
        ("f32", (1 << 14,)),
        "bytes|needs",
    ),
}

ATTACKS = {
    f"{kind}: {name}": attack
    for kind, attacks in {
        "targets": TARGETS,
        "indices": INDICES,
        "short": SHORT,
        "expanded": EXPANDED,
        "traps": TRAPS,
        "announced": ANNOUNCED,
        "costs": COSTS,
    }.items()
    for name, attack in attacks.items()
}
LIMITS = Limits(max_bytes=1 << 30, max_numel=1 << 28, max_flops=10**11)

# -- where they run --------------------------------------------------------------------------------------


def held(attack: Attack, outcome: torch.Tensor | str) -> None:
    """The attack had the answer that it must have: the tensor that it means, or the words."""
    if attack.result is not None:
        assert isinstance(outcome, torch.Tensor), outcome
        torch.testing.assert_close(outcome, attack.result)
        return
    assert isinstance(outcome, str), outcome
    assert any(words in outcome for words in attack.words.split("|")), outcome


_OWNER = """
import pickle, sys
import torch
from syft_ext.errors import GridError
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
out = []
for data, inputs, limits in pickle.load(sys.stdin.buffer):
    try:
        (answer,) = Plan.loads(data, Limits(**limits)).run(inputs)
    except GridError as error:
        answer = error.detail
    out.append(answer)
sys.stdout.buffer.write(pickle.dumps(out))
"""


@pytest.fixture(scope="module")
def in_the_owners_process() -> dict[str, Any]:
    """All attacks, one after the other, in one process that keeps the owner's data as its own."""
    limits = {"max_bytes": LIMITS.max_bytes, "max_numel": LIMITS.max_numel, "max_flops": LIMITS.max_flops}
    asked = [(encode(each.document()), list(each.inputs), limits) for each in ATTACKS.values()]
    packages = str(Path(__file__).resolve().parents[2] / "packages")
    done = subprocess.run(
        [sys.executable, "-c", _OWNER],
        input=pickle.dumps(asked),
        capture_output=True,
        env={"PYTHONPATH": packages, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return dict(zip(ATTACKS, pickle.loads(done.stdout), strict=True))


@pytest.mark.parametrize("name", ATTACKS)
def test_in_the_process_of_whose_data_it_is(in_the_owners_process: dict[str, Any], name: str) -> None:
    held(ATTACKS[name], in_the_owners_process[name])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PlanSandbox]:
    with PlanSandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", ATTACKS)
def test_in_the_sandbox(sandbox: PlanSandbox, name: str) -> None:
    attack = ATTACKS[name]
    arguments = {f"x{i}": tensor for i, tensor in enumerate(attack.inputs)}
    outcome: torch.Tensor | str
    try:
        outcome = sandbox.run(Plan(attack.document(), LIMITS), arguments)
    except InvalidPlan as error:
        outcome = error.detail
    held(attack, outcome)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"), compute_memory=256 << 20)
    yield lab
    lab.close()


def test_by_pointers_at_a_domain(lab: Lab) -> None:
    """One session, which stays: every attack is an action of it."""
    remote = lab.sue.open()
    for name, attack in ATTACKS.items():
        numbers = [remote.put(tensor) for tensor in attack.inputs]
        before = len(remote.failures())
        for op, args, *rest in attack.steps:
            kwargs, outs = (rest[0] if rest else {}), (rest[1] if len(rest) > 1 else 1)
            first = remote.do(op, *[_renumbered(each, numbers) for each in args], outs=outs, **kwargs)
            numbers += range(first, first + outs)
        outcome: torch.Tensor | str
        refused = remote.failures()[before:]
        try:
            outcome = remote.fetch(first)
        except GridError as error:
            outcome = refused[0].detail if refused else error.detail
        try:
            held(attack, outcome)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    remote.close()


def _renumbered(argument: Any, numbers: Sequence[int]) -> Any:
    if isinstance(argument, list) and argument[0] == "r":
        return ref(numbers[argument[1]])
    if isinstance(argument, list) and argument[0] == "l":
        return ["l", *(_renumbered(part, numbers) for part in argument[1:])]
    return argument


# -- an input that is not what it seems -----------------------------------------------------------------


@pytest.mark.parametrize("op", [GROUP, BATCH])
def test_an_input_of_a_plan_may_be_expanded(op: str) -> None:
    rest = BY_GROUP if op == GROUP else TRAIN
    document = forge_calls(
        [("f32", (1, 64, 2)), ("f32", (64,))],
        [(op, [ref(0), None, ref(1), *rest], {}, 3)],
        ("f32", (1, 64, 2)),
    )
    plan = Plan(document)
    heap = [torch.full((1,), 1000.0 + i) for i in range(500)]
    (given,) = plan.run([torch.zeros(1, 64, 2), torch.zeros(1).expand(64)])
    assert torch.equal(given, torch.zeros(1, 64, 2)) and heap
    column = torch.arange(128.0).reshape(64, 2)[:, 1]
    (given,) = plan.run([torch.zeros(1, 64, 2), column])
    assert torch.equal(given[0, :, 0], column)
