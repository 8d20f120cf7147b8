"""From a plan to an ONNX model, for one size of each symbol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from syft_ext.errors import GridError, InvalidPlan, Unsupported
from syft_ext.plans.graph.document import Const, Document, Node
from syft_ext.plans.graph.expr import eval_shape, evaluate
from syft_ext.plans.graph.keeping import KEEPING
from syft_ext.plans.graph.limits import Cost, Limits, refusal
from syft_ext.plans.graph.references import references
from syft_ext.plans.onnx import arithmetic, elementwise, norms, places, pools, products, reductions, shapes
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.refused import REFUSED
from syft_ext.plans.onnx.table import TRANSLATORS
from syft_ext.plans.onnx.types import NUMPY, ONNX, Value

__all__ = ["OPSET", "Converted", "check_expressible", "convert"]

OPSET = 18
IR_VERSION = 9
_FAMILIES = (
    arithmetic,
    elementwise,
    norms,
    places,
    pools,
    products,
    reductions,
    shapes,
)  # they fill the table


@dataclass(frozen=True, slots=True)
class Converted:
    """A model, the names of its inputs and outputs in the plan's order, and what one run costs at most."""

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    cost: Cost


def check_expressible(document: Document) -> None:
    """Raise :class:`~syft_ext.errors.Unsupported`, with the operation's name, for a plan that ONNX cannot
    say."""
    for name in document.ops:
        if name not in TRANSLATORS:
            why = REFUSED.get(name, "there is no translation of it")
            raise Unsupported(f"operation {name} cannot be said exactly in ONNX: {why}", op=name)
    for where, dtype in (
        *((f"input {each.name}", each.dtype) for each in document.inputs),
        *((f"constant {place}", each.dtype) for place, each in enumerate(document.consts)),
        *((f"output {each.name}", each.dtype) for each in document.outputs),
    ):
        if dtype not in ONNX:
            raise Unsupported(f"{where}: {dtype} cannot be said exactly in ONNX", dtype=dtype)


def convert(document: Document, sizes: Mapping[str, int], limits: Limits) -> Converted:
    """The model of a plan that was validated, at these sizes of its symbols.

    Raises :class:`~syft_ext.errors.Unsupported` for what cannot be said exactly, :class:`InvalidPlan` where
    operands do not fit an operation, an output is not what it declares, or a limit would be passed.
    """
    check_expressible(document)
    if len(document.nodes) > limits.max_ops:
        raise refusal("max_ops", len(document.nodes), limits)
    return _Conversion(document, sizes, limits).run()


class _Conversion:
    def __init__(self, document: Document, sizes: Mapping[str, int], limits: Limits) -> None:
        self.document, self.sizes, self.limits = document, sizes, limits
        self.builder = Builder(limits)
        self.values: list[Value | None] = []

    def run(self) -> Converted:
        b = self.builder
        given = [
            Value(each.name, each.dtype, eval_shape(each.shape, self.sizes)) for each in self.document.inputs
        ]
        for value in given:
            if value.size > self.limits.max_numel:
                raise refusal("max_numel", value.size, self.limits)
        self.values += given
        self.values += [b.const(_array(const)) for const in self.document.consts]
        for index, node in enumerate(self.document.nodes):
            self._node(index, node)
        outputs = self._outputs({value.name for value in given})
        graph = helper.make_graph(
            b.nodes,
            self.document.name,
            [_typed(value, value.name) for value in given],
            [_typed(value, name) for name, value in outputs],
            b.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        helper.set_model_props(model, self._facts())
        cost = _cost(b, graph, len(self.document.nodes), given, [value for _, value in outputs])
        cost.enforce(self.limits)
        onnx.checker.check_model(model)
        return Converted(
            model, tuple(value.name for value in given), tuple(name for name, _ in outputs), cost
        )

    def _facts(self) -> dict[str, str]:
        roles = {
            "inputs": {each.name: each.role for each in self.document.inputs},
            "outputs": {each.name: each.role for each in self.document.outputs},
        }
        return {"plan": self.document.name, "sizes": json.dumps(dict(self.sizes)), "roles": json.dumps(roles)}

    def _node(self, index: int, node: Node) -> None:
        name = self.document.ops[node.op]
        try:
            args = [self._argument(each) for each in node.args]
            kwargs = {key: self._argument(each) for key, each in node.kwargs.items()}
            made = TRANSLATORS[name](self.builder, *args, **kwargs)
        except GridError as error:
            kind = Unsupported if isinstance(error, Unsupported) else InvalidPlan
            raise kind(f"node {index} ({name}): {error.detail}", **{**error.extra, "op": name}) from error
        except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError, StopIteration) as error:
            raise InvalidPlan(
                f"node {index} ({name}): its arguments do not fit: {error}"[:300], op=name
            ) from error
        results = [made] if isinstance(made, Value) else list(made)
        if len(results) != node.outs:
            raise InvalidPlan(f"node {index} ({name}): wrong number of results", op=name)
        if name in KEEPING and results[0] is not None:
            operand = self.values[next(references(node.args[0]))]
            assert operand is not None
            results[0] = replace(results[0], bounds=operand.bounds)
        self.values += results

    def _argument(self, argument: Any) -> Any:
        if type(argument) is not list:
            return argument
        tag, *rest = argument
        if tag == "r":
            value = self.values[rest[0]]
            if value is None:
                raise InvalidPlan("an operand is a result that the kernel does not compute")
            return value
        if tag == "l":
            return [self._argument(part) for part in rest]
        return evaluate(rest[0], self.sizes) if tag == "s" else rest[0]

    def _outputs(self, taken: set[str]) -> list[tuple[str, Value]]:
        """Names of the model's outputs, which no input may have too, with what they are."""
        found = []
        for output in self.document.outputs:
            value, declared = self.values[output.id], eval_shape(output.shape, self.sizes)
            if value is None or (value.dtype, value.shape) != (output.dtype, tuple(declared)):
                raise InvalidPlan(
                    f"output {output.name} is not the {output.dtype}{list(declared)} it declares",
                    output=output.name,
                )
            name = output.name if output.name not in taken else f"{output.name}.out"
            taken.add(name)
            self.builder.nodes.append(helper.make_node("Identity", [value.name], [name]))
            found.append((name, value))
        return found


def _array(const: Const) -> np.ndarray[Any, Any]:
    return np.frombuffer(const.raw, NUMPY[const.dtype]).reshape(const.shape)


def _typed(value: Value, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ONNX[value.dtype], list(value.shape))


def _bytes(values: Sequence[Value]) -> int:
    return sum(value.size * NUMPY[value.dtype].itemsize for value in values)


def _cost(
    b: Builder, graph: onnx.GraphProto, operations: int, given: Sequence[Value], results: Sequence[Value]
) -> Cost:
    """By the life of every value: what is alive at once. ONNX copies where torch has views, so it is rather
    more."""
    last = {name: place for place, node in enumerate(graph.node) for name in node.input}
    alive = peak = _bytes(given) + sum(len(each.raw_data) for each in graph.initializer)
    for place, node in enumerate(graph.node):
        alive += sum(b.sizes.get(name, 0) for name in node.output)
        peak = max(peak, alive)
        alive -= sum(b.sizes.get(name, 0) for name in {*node.input} if last[name] == place)
    largest = max((value.size for value in (*given, *results)), default=0)
    return Cost(operations, peak + _bytes(results), largest, b.flops, _bytes(results))
