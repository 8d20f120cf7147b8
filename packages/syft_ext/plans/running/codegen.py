"""A plan as one straight-line Python function.

Interpreting a plan node by node costs up to 60 % on small models; a generated function that calls the kernels
directly costs nothing, and it can overwrite buffers that are not needed any more. The text is built from the
generator's own identifiers only (``v12``, ``f3``, ``k0``): operations, literals and constants are
bound as objects, keyword names come from the operation's schema, and the function has no builtins. Nothing
of a plan is ever spliced in as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from syft_ext.plans.checking.propagate import Propagation
from syft_ext.plans.graph.document import Document, Node
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import evaluate
from syft_ext.plans.graph.ops import ALLOWED, is_view
from syft_ext.plans.graph.references import references
from syft_ext.plans.preconditions.results import TensorType, as_announced

__all__ = ["Generated", "generate"]

_INPLACE_NAMES = """
add.Tensor sub.Tensor mul.Tensor div.Tensor add.Scalar sub.Scalar mul.Scalar div.Scalar neg.default
exp.default sqrt.default rsqrt.default reciprocal.default relu.default tanh.default sigmoid.default
addcmul.default addcdiv.default lerp.Scalar abs.default log.default clamp.default clamp_min.default
bitwise_and.Scalar bitwise_xor.Tensor bitwise_right_shift.Tensor_Scalar masked_fill.Scalar
"""


def _inplace(name: str) -> Any:
    packet, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, packet + "_"), overload)


_INPLACE = {"aten." + name: _inplace(name) for name in _INPLACE_NAMES.split()}
_INPLACE_KERNELS = {op._op for op in _INPLACE.values()}
_COMMUTATIVE = frozenset({"aten.add.Tensor", "aten.mul.Tensor"})


@dataclass(frozen=True)
class Generated:
    """``function(*inputs)`` returns the outputs; ``functions_in_place`` counts the kernels that reuse a
    buffer."""

    function: Callable[..., tuple[torch.Tensor, ...]]
    source: str
    functions_in_place: int


def generate(
    document: Document,
    propagation: Propagation,
    binding: Mapping[str, int],
    consts: Sequence[torch.Tensor],
    *,
    reuse: bool = True,
) -> Generated:
    """Compile ``document`` for the sizes of one binding.

    Args:
        propagation: what was found at this binding: the types that the kernels' results are held against,
        and what
            is checked before each of them.
        consts: the constants' tensors; never written to.
        reuse: overwrite buffers that nobody reads any more.
    """
    return _Generator(document, propagation, binding, consts, reuse).build()


@dataclass
class _Generator:
    document: Document
    propagation: Propagation
    binding: Mapping[str, int]
    consts: Sequence[torch.Tensor]
    reuse: bool
    functions: list[Any] = field(default_factory=list)
    literals: list[Any] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    names: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.checked: set[tuple[Any, ...]] = set()
        self.first_node_value = len(self.document.inputs) + len(self.document.consts)
        self.last_use: dict[int, int] = {}
        # Values whose memory may be reached by another name: never overwritten.
        self.shared = set(range(self.first_node_value)) | {o.id for o in self.document.outputs}
        self.kept = set(self.shared)
        self.owner = list(range(self.first_node_value))  # the value whose memory each value may lie in
        value = self.first_node_value
        for index, node in enumerate(self.document.nodes):
            read = _reads(node)
            view = is_view(self.document.ops[node.op]) and bool(read)
            self.last_use.update(dict.fromkeys(read, index))
            results = range(value, value + node.outs)
            self.owner.extend(self.owner[read[0]] if view else result for result in results)
            if view:
                self.shared.update(read, results)
            value += node.outs

    def _result(self, value: int, taken: set[int]) -> str:
        """A result that lies in an input, a constant or another result is copied: the caller may write to
        it."""
        owner = self.owner[value]
        if owner >= self.first_node_value and owner not in taken:
            taken.add(owner)
            return f"v{value}"
        return f"{self._bind(self.functions, 'f', torch.ops.aten.clone.default._op)}(v{value})"

    def build(self) -> Generated:
        value = self.first_node_value
        count = len(self.document.inputs)
        parameters = [f"v{i}" for i in range(count)]
        # Inputs were announced as contiguous; an expanded one would be read past its end.
        self.lines += [f"{name} = {name}.contiguous()" for name in parameters]
        for index, node in enumerate(self.document.nodes):
            self._emit(index, node, value)
            value += node.outs
        taken: set[int] = set()
        results = "".join(f"{self._result(output.id, taken)}, " for output in self.document.outputs)
        body = "\n".join(f"    {line}" for line in (*self.lines, f"return ({results})"))
        source = f"def run({', '.join(parameters)}):\n{body}\n"
        scope: dict[str, Any] = {"__builtins__": {}}
        scope |= {f"f{i}": function for i, function in enumerate(self.functions)}
        scope |= {f"k{i}": literal for i, literal in enumerate(self.literals)}
        scope |= {f"v{count + i}": const for i, const in enumerate(self.consts)}
        exec(compile(source, "<plan>", "exec"), scope)  # noqa: S102  # own identifiers only, see the module text
        reused = sum(function in _INPLACE_KERNELS for function in self.functions)
        return Generated(scope["run"], source, reused)

    def _emit(self, index: int, node: Node, value: int) -> None:
        name = self.document.ops[node.op]
        read, required = _reads(node), self.propagation.nodes[index]
        for check in required.checks:
            values = tuple(read[place] for place in check.operands)
            if (check.rule, values) not in self.checked:  # a value does not change
                self.checked.add((check.rule, values))
                looked_at = ", ".join(f"v{v}" for v in values)
                self.lines.append(f"{self._bind(self.literals, 'k', check.rule)}({looked_at})")
        function, args, in_place = self._target(index, name, node, value)
        waiting = iter(range(len(read)))
        dense = frozenset(required.dense)
        texts = [self._text(argument, waiting, dense) for argument in args]
        keywords = {argument.name: argument.name for argument in ALLOWED[name]._schema.arguments}
        texts += [
            f"{keywords[key]}={self._text(argument, waiting, dense)}" for key, argument in node.kwargs.items()
        ]
        names = ", ".join(f"v{value + i}" for i in range(node.outs))
        self.lines.append(f"{names} = {self._bind(self.functions, 'f', function)}({', '.join(texts)})")
        if not in_place:  # it gave the operand itself, whose type was compared
            for result in range(value, value + node.outs):
                if result in self.last_use or result in self.kept:
                    self._compare(result)
        dead = [v for v in dict.fromkeys(_reads(node)) if self.last_use[v] == index and v not in self.kept]
        dead += [v for v in range(value, value + node.outs) if v not in self.last_use and v not in self.kept]
        if dead:
            self.lines.append(f"del {', '.join(f'v{v}' for v in dead)}")

    def _compare(self, value: int) -> None:
        """Hold a result against its announced type: checks of what follows were made for that one."""
        announced = self.propagation.types[value]
        if announced is None:
            return
        name = f"v{value}"
        dtype = self._bind(self.literals, "k", announced.dtype)
        shape = self._bind(self.literals, "k", announced.shape)
        if announced.contiguous:
            laid_out = f"not {name}.is_contiguous()"
        else:
            laid_out = f"{name}.stride() != {self._bind(self.literals, 'k', announced.strides)}"
        expected = self._bind(self.literals, "k", announced)
        fit = self._bind(self.functions, "f", as_announced)
        self.lines.append(f"if {name}.shape != {shape} or {name}.dtype is not {dtype} or {laid_out}:")
        self.lines.append(f"    {name} = {fit}({name}, {expected})")

    def _target(self, index: int, name: str, node: Node, value: int) -> tuple[Any, list[Any], bool]:
        """The kernel to call, its arguments, and whether it is the form in place: where an operand's buffer
        can be reused."""
        if name in _INPLACE and node.args:
            candidates = [node.args]
            if name in _COMMUTATIVE and len(node.args) == 2 and not node.kwargs:
                candidates.append(node.args[::-1])
            for args in candidates:
                if self._reusable(index, args, value):
                    return _INPLACE[name]._op, args, True
        # ``_op`` is the kernel without the Python-side dispatch of OpOverload.
        return ALLOWED[name]._op, node.args, False

    def _reusable(self, index: int, args: list[Any], result: int) -> bool:
        if not self.reuse or type(args[0]) is not list or args[0][0] != "r":
            return False
        operand = args[0][1]
        others = {v for argument in args[1:] for v in references(argument)}
        if operand in self.shared or operand in others or self.last_use[operand] != index:
            return False
        types = self.propagation.types
        return _same_buffer(types[operand], types[result])

    def _text(self, argument: Any, places: Iterator[int], dense: frozenset[int]) -> str:
        if type(argument) is list:
            tag = argument[0]
            if tag == "r":
                return f"v{argument[1]:d}" + (".contiguous()" if next(places) in dense else "")
            if tag == "l":
                return f"[{', '.join(self._text(part, places, dense) for part in argument[1:])}]"
            if tag == "s":
                return self._text(evaluate(argument[1], self.binding), places, dense)
            return self._bind(self.literals, "k", DTYPES[argument[1]])
        if argument is None or argument is True or argument is False:
            return repr(argument)
        if type(argument) is int:
            return f"{argument:d}"
        return self._bind(self.literals, "k", argument)

    def _bind(self, table: list[Any], letter: str, thing: Any) -> str:
        # repr tells 0.0 from -0.0 and 1 from True; functions are their own identity.
        key = (letter, type(thing), id(thing) if letter == "f" else repr(thing))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"{letter}{len(table)}"
            table.append(thing)
        return name


def _reads(node: Node) -> list[int]:
    return [v for argument in (*node.args, *node.kwargs.values()) for v in references(argument)]


def _same_buffer(operand: TensorType | None, result: TensorType | None) -> bool:
    return operand is not None and operand == result and operand.contiguous
