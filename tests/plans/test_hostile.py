"""Plans that mean harm: each is refused with its own clear error, before anything is allocated."""

from __future__ import annotations

import ast
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import syft_ext.plans
from syft_ext.errors import InvalidPlan
from syft_ext.plans import Limits, Plan
from syft_ext.plans.graph.document import OPSET, Const, Document, encode
from syft_ext.plans.graph.ops import ALLOWED, opset_of

from .documents import B, forge, ints, ref

LIMITS = Limits(max_bytes=1 << 30, max_numel=1 << 27, max_flops=10**11)
F32 = ["d", "f32"]


def refuse(document: Document, message: str, **sizes: int) -> None:
    """Loading or checking must refuse, quickly, without allocating."""
    Path("/proc/self/clear_refs").write_text("5")  # the most that was in memory counts from here
    before = most_in_memory()
    start = time.thread_time()
    with pytest.raises(InvalidPlan, match=message):
        Plan.loads(encode(document)).check(LIMITS, **sizes)
    assert time.thread_time() - start < 5
    assert most_in_memory() - before < 300_000


def most_in_memory() -> int:
    """Kilobytes of this process."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


MM = "aten.mm.default"
BOMBS: dict[str, tuple[Document, str]] = {
    "zeros of 1e12": (forge([("aten.zeros.default", [ints(10**12)])]), "elements"),
    "a product of sizes that overflows": (
        forge([("aten.zeros.default", [ints(2**40, 2**40)])]),
        r"aten.zeros|overflow|elements",
    ),
    "a view of 1e12": (
        forge([("aten.expand.default", [ref(0), ints(10**6, 10**6)])], shape=(1, 1)),
        "elements",
    ),
    "arange of 1e12": (forge([("aten.arange.default", [10**12])]), "elements"),
    "arange with a tiny step": (forge([("aten.arange.start_step", [0, 1, 1e-12])]), "elements"),
    "padding of a convolution": (
        forge(
            [
                ("aten.reshape.default", [ref(0), ints(1, 1, 4, 4)]),
                (
                    "aten.convolution.default",
                    [ref(1), ref(1), None, ints(1, 1), ints(10**6, 10**6), ints(1, 1), False, ints(0, 0), 1],
                ),
            ]
        ),
        "elements",
    ),
    "doubling forty times": (
        forge([("aten.cat.default", [["l", ref(i), ref(i)]]) for i in range(40)]),
        "elements|bytes",
    ),
    "many products": (
        forge(
            [("aten.zeros.default", [ints(8192, 8192)])]
            + [(MM, [ref(1), ref(1)])]
            + [(MM, [ref(i), ref(1)]) for i in range(2, 200)]
        ),
        "floating-point operations|bytes",
    ),
    "many large tensors": (
        forge(
            [("aten.zeros.default", [ints(1 << 26)]) for _ in range(300)]
            + [("aten.stack.default", [["l", *(ref(i) for i in range(1, 301))]])]
        ),
        "bytes|elements",
    ),
    "repeat": (forge([("aten.repeat.default", [ref(0), ints(10**5, 10**5)])]), "elements"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_denial_of_service(name: str) -> None:
    refuse(*BOMBS[name])


def test_a_power_of_the_batch_size() -> None:
    size: Any = B
    for _ in range(5):
        size = ["*", size, B]
    document = forge([("aten.zeros.default", [["l", ["s", size]]])], shape=(B,), symbols={"B": (1, 1 << 30)})
    refuse(document, "elements|range of sizes", B=1000)
    refuse(document, "elements|range of sizes", B=1 << 30)


def test_division_by_zero_in_a_size() -> None:
    size = ["//", 1, ["+", B, -3]]
    document = forge([("aten.zeros.default", [["l", ["s", size]]])], shape=(B,), symbols={"B": (1, 9)})
    refuse(document, "divides by zero", B=3)


def test_too_many_operations() -> None:
    document = forge([("aten.neg.default", [ref(i)]) for i in range(100)])
    with pytest.raises(InvalidPlan, match="operations"):
        Plan(document).check(Limits(max_ops=99))


def test_the_output_limit() -> None:
    with pytest.raises(InvalidPlan, match="results"):
        Plan(forge([("aten.neg.default", [ref(0)])])).check(Limits(max_output_bytes=63))


@pytest.mark.parametrize(
    "op",
    [
        "aten.as_strided.default",
        "aten.empty.memory_format",
        "aten.empty_like.default",
        "aten.from_file.default",
        "aten.add_.Tensor",
        "aten.native_batch_norm.default",
        "aten.nonzero.default",
        "aten.bernoulli.p",
        "aten.max_pool2d_with_indices_backward.default",
        "aten.native_layer_norm_backward.default",
        "aten.embedding_dense_backward.default",
        "aten._adaptive_avg_pool2d_backward.default",
        "prim.device.default",
        "os.system",
        "__import__",
        "aten.abs",
        "",
    ],
)
def test_operations_outside_the_op_set(op: str) -> None:
    refuse(forge([(op, [ref(0)])]), "not in the op set")


def test_the_op_set_is_frozen_and_functional() -> None:
    sets = {name: opset_of([name]) for name in ALLOWED}
    assert Counter(sets.values()) == {1: 184, 2: 5}  # a set never changes; a new operation needs a new one
    assert max(sets.values()) == OPSET and list(sets.values()) == sorted(sets.values())
    for op in ALLOWED.values():
        assert not op._schema.is_mutable and torch.Tag.nondeterministic_seeded not in op.tags
        assert torch.Tag.dynamic_output_shape not in op.tags or str(op) == "aten.index.Tensor"


STRUCTURE: dict[str, tuple[Document, str]] = {
    "forward reference": (forge([("aten.neg.default", [ref(1)])]), "self: not a Tensor"),
    "negative reference": (forge([("aten.neg.default", [ref(-1)])]), "not a Tensor"),
    "huge reference": (forge([("aten.neg.default", [ref(1 << 40)])]), "not a Tensor"),
    "bool as reference": (forge([("aten.neg.default", [["r", True]])]), "not a Tensor"),
    "reference with a tail": (forge([("aten.neg.default", [["r", 0, 0]])]), "not a Tensor"),
    "output that nobody defines": (forge([("aten.neg.default", [ref(0)])], result=99), "unknown value"),
    "missing argument": (forge([(MM, [ref(0)])]), "mat2 is missing"),
    "too many arguments": (forge([("aten.neg.default", [ref(0), 1])]), "too many arguments"),
    "wrong number of results": (forge([("aten.neg.default", [ref(0)], {}, 2)]), "number of results"),
    "a thousand results": (forge([("aten.neg.default", [ref(0)], {}, 1000)]), "number of results"),
    "code as a keyword": (
        forge([("aten.sum.default", [ref(0)], {"__import__('os').system('id')": 1})]),
        "keyword",
    ),
    "argument given twice": (forge([("aten.neg.default", [ref(0)], {"self": ref(0)})]), "keyword"),
    "int as dtype": (forge([("aten.sum.default", [ref(0)], {"dtype": 2**31})]), "not a ScalarType"),
    "unknown dtype": (forge([("aten.sum.default", [ref(0)], {"dtype": ["d", "c64"]})]), "not a ScalarType"),
    "dtype as int": (forge([("aten.select.int", [ref(0), F32, 0])]), "not a int"),
    "string as number": (forge([("aten.mul.Scalar", [ref(0), "2"])]), "not a number"),
    "free string": (forge([("aten.gelu.default", [ref(0)], {"approximate": "tanh; id"})]), "not a str"),
    "device": (forge([("aten.zeros.default", [ints(2)], {"device": "cuda"})]), "not a Device"),
    "pinned memory": (forge([("aten.zeros.default", [ints(2)], {"pin_memory": True})]), "keyword"),
    "layout": (forge([("aten.zeros.default", [ints(2)], {"layout": 1})]), "not a Layout"),
    "float as size": (forge([("aten.zeros.default", [ints(2.5)])]), "not a int"),
    "size beyond int64": (forge([("aten.zeros.default", [ints(1 << 63)])]), "not a int"),
    "bool as int": (forge([("aten.select.int", [ref(0), True, 0])]), "not a int"),
    "nested list": (forge([("aten.zeros.default", [ints(ints(2))])]), "not a int"),
    "untagged list": (forge([("aten.zeros.default", [[2, 3]])]), "a list is needed"),
    "list of a hundred thousand": (forge([("aten.zeros.default", [ints(*[1] * 100_000)])]), "list is needed"),
    "unknown symbol": (forge([("aten.zeros.default", [ints(["s", B])])]), "unknown symbol"),
    "code as a size": (forge([("aten.zeros.default", [ints(["s", "__import__('os')"])])]), "size expression"),
    "unknown operator": (forge([("aten.zeros.default", [ints(["s", ["**", 9, 9]])])]), "size expression"),
    "constant with missing bytes": (
        forge([("aten.neg.default", [ref(0)])], consts=[Const("f32", [10**6], b"\0" * 4)]),
        "disagree",
    ),
    "constant of negative size": (
        forge([("aten.neg.default", [ref(0)])], consts=[Const("f32", [-1, -1], b"\0" * 4)]),
        "malformed shape",
    ),
    "constant bool of 2": (forge([("aten.neg.default", [ref(0)])], consts=[Const("b", [1], b"\2")]), "bool"),
    "symbol that no input has": (
        forge([("aten.neg.default", [ref(0)])], symbols={"B": (1, 8)}),
        "no input has the symbol",
    ),
    "symbol of negative size": (
        forge([("aten.neg.default", [ref(0)])], shape=(B,), symbols={"B": (-5, 8)}),
        "symbol",
    ),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure_and_types(name: str) -> None:
    document, message = STRUCTURE[name]
    with pytest.raises(InvalidPlan, match=message):
        Plan.loads(encode(document))


def _softmax_backward(shape: tuple[int, ...]) -> Document:
    return forge(
        [("aten._log_softmax_backward_data.default", [ref(0), ref(0), len(shape) - 1, F32])],
        shape=shape,
        output=("f32", shape),
    )


KERNELS: dict[str, tuple[Document, str]] = {
    "softmax backward on nothing (SIGFPE)": (_softmax_backward((0, 4)), "empty operand"),
    "softmax backward with another dtype": (
        forge([("aten._log_softmax_backward_data.default", [ref(0), ref(0), 1, ["d", "f64"]])]),
        "one dtype",
    ),
    "softmax backward with unequal shapes": (
        forge(
            [
                ("aten.slice.Tensor", [ref(0), 0, 0, 2]),
                ("aten._softmax_backward_data.default", [ref(0), ref(1), 1, F32]),
            ]
        ),
        "equal shapes",
    ),
    "threshold backward that broadcasts": (
        forge(
            [
                ("aten.slice.Tensor", [ref(0), 0, 0, 1]),
                ("aten.threshold_backward.default", [ref(0), ref(1), 0]),
            ]
        ),
        "equal shapes",
    ),
    "batch norm backward with too few statistics": (
        forge(
            [
                ("aten.zeros.default", [ints(1)]),
                (
                    "aten.native_batch_norm_backward.default",
                    [ref(0), ref(0), None, None, None, ref(1), ref(1), True, 1e-5, ints(True, False, False)],
                    {},
                    3,
                ),
            ]
        ),
        "statistics do not match",
    ),
    "convolution backward with a wrong gradient": (
        forge(
            [
                ("aten.reshape.default", [ref(0), ints(1, 1, 4, 4)]),
                (
                    "aten.convolution_backward.default",
                    [
                        *(
                            ref(1),
                            ref(1),
                            ref(1),
                            None,
                            ints(1, 1),
                            ints(0, 0),
                            ints(1, 1),
                            False,
                            ints(0, 0),
                            1,
                        ),
                        ints(True, True, False),
                    ],
                    {},
                    3,
                ),
            ]
        ),
        "equal shapes",
    ),
    "convolution with stride 0": (
        forge(
            [
                ("aten.reshape.default", [ref(0), ints(1, 1, 4, 4)]),
                (
                    "aten.convolution.default",
                    [ref(1), ref(1), None, ints(0, 0), ints(0, 0), ints(1, 1), False, ints(0, 0), 1],
                ),
            ]
        ),
        "aten.convolution",
    ),
    "group norm with invented sizes": (
        forge([("aten.native_group_norm.default", [ref(0), None, None, 4, 4, 1000, 2, 1e-5], {}, 3)]),
        "sizes do not match",
    ),
    "a mask as an index": (
        forge([("aten.gt.Scalar", [ref(0), 0]), ("aten.index.Tensor", [ref(0), ["l", ref(1)]])]),
        "depends on data|aten.index",
    ),
    "a result that the kernel leaves out": (
        forge(
            [
                ("aten.reshape.default", [ref(0), ints(1, 1, 4, 4)]),
                (
                    "aten.convolution_backward.default",
                    [
                        *(
                            ref(2),
                            ref(1),
                            ref(1),
                            None,
                            ints(1, 1),
                            ints(0, 0),
                            ints(1, 1),
                            False,
                            ints(0, 0),
                            1,
                        ),
                        ints(True, False, False),
                    ],
                    {},
                    3,
                ),
            ]
        ),
        "not a Tensor",
    ),
    "an output that is not what it declares": (
        forge([("aten.neg.default", [ref(0)])], output=("f32", (2, 2))),
        "not the f32",
    ),
    "an output of another dtype": (
        forge([("aten.neg.default", [ref(0)])], output=("f64", (4, 4))),
        "not the f64",
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_that_trust_their_arguments(name: str) -> None:
    refuse(*KERNELS[name])


def test_indices_are_checked_when_the_plan_runs() -> None:
    rows = ref(0)
    for op, arguments in (
        ("aten.gather.default", [rows, 0, ref(1)]),
        ("aten.index_select.default", [rows, 0, ref(2)]),
        ("aten.scatter_add.default", [rows, 0, ref(1), rows]),
        ("aten.embedding.default", [rows, ref(1)]),
    ):
        for bad in (10**12, 5000, -(10**12)):
            consts = [
                Const("i64", [4, 4], bad.to_bytes(8, "little", signed=True) * 16),
                Const("i64", [4], bad.to_bytes(8, "little", signed=True) * 4),
            ]
            shape = (4, 4, 4) if op == "aten.embedding.default" else (4, 4)
            plan = Plan(forge([(op, arguments)], consts=consts, output=("f32", shape)))
            plan.check(LIMITS)
            with pytest.raises(InvalidPlan, match="failed on these values"):
                plan(torch.ones(4, 4))


def test_nothing_in_the_package_can_run_what_comes_from_outside() -> None:
    """No pickle, torch.load, torch.jit, eval; exec once, in the generator of code from its own identifiers."""
    forbidden = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "importlib"}
    execs = []
    for path in Path(syft_ext.plans.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {
                    (getattr(node, "module", "") or "").split(".")[0]
                }
                # The facade imports its own modules lazily, by a table of literals; find_spec() runs nothing.
                looks = ast.unparse(node) == "from importlib.util import find_spec"
                allowed = {"importlib"} if path.name == "__init__.py" or looks else set()
                assert not names & (forbidden - allowed), path.name
            elif isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "torch.load", "torch.jit.load", "torch.export.load"}, path.name
                execs += [path.name] if called == "exec" else []
    assert execs == ["codegen.py"]
