"""``make_plan`` and ``trace``: from a Python function and example arguments to a :class:`Plan`."""

from __future__ import annotations

import inspect
import itertools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast, overload

import msgspec
import torch

from syft_ext._version import __version__
from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking import selftest
from syft_ext.plans.graph.document import (
    FORMAT,
    VERSION,
    Argument,
    Document,
    Input,
    InputRole,
    Kind,
    Output,
    OutputRole,
    SelfTest,
)
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.graph.ops import opset_of
from syft_ext.plans.graph.roles import (
    BATCH_NAMES,
    fill_names,
    input_role,
    misplaced,
    output_names,
    output_roles,
    plan_kind,
    unknown_words,
)
from syft_ext.plans.graph.values import Declared
from syft_ext.plans.ir import Plan
from syft_ext.plans.tracing.errors import TraceError, TraceWarning
from syft_ext.plans.tracing.gradients import refuse_gradients
from syft_ext.plans.tracing.surroundings import Surroundings

if TYPE_CHECKING:
    from syft_ext.plans.tracing.graph import Traced

__all__ = ["make_plan", "trace"]

Symbols = Mapping[str, Mapping[int, str]]
_MAX_DEFAULT = 1024  # elements; larger examples are not kept as defaults
_DEFAULT_ROLES = frozenset({"hyper", "seed", "count"})
_Builder = Callable[[Callable[..., Any]], Plan]


@overload
def make_plan(function: Callable[..., Any]) -> Plan: ...


@overload
def make_plan(
    *,
    symbols: Symbols | None = None,
    roles: Mapping[str, InputRole] | None = None,
    outputs: Mapping[str, OutputRole] | None = None,
    kind: Kind | None = None,
    name: str | None = None,
    bounds: Mapping[str, tuple[int, int]] | None = None,
    limits: Limits | None = None,
) -> _Builder: ...


def make_plan(function: Callable[..., Any] | None = None, **options: Any) -> Plan | _Builder:
    """Record a function as a plan; every argument has an example as its default value (listings 4 and 5).

    ``@make_plan`` decides by name what may vary: arguments called x, xs, data, y, ys, target(s), label(s) ...
    whose first dimensions agree share the batch size ``B``. ``@make_plan(symbols={"xs": {0: "B"}, ...})`` says
    so explicitly. The other options are those of :func:`trace`. Raises :class:`TraceError`.
    """
    if function is not None:
        return trace(function, **options)

    def build(function: Callable[..., Any]) -> Plan:
        return trace(function, **options)

    return build


def trace(
    function: Callable[..., Any],
    /,
    *args: Any,
    symbols: Symbols | None = None,
    roles: Mapping[str, InputRole] | None = None,
    outputs: Mapping[str, OutputRole] | None = None,
    kind: Kind | None = None,
    name: str | None = None,
    bounds: Mapping[str, tuple[int, int]] | None = None,
    limits: Limits | None = None,
    **kwargs: Any,
) -> Plan:
    """Record ``function`` on example arguments (those left out take the function's defaults).

    Examples are tensors, numbers (which become 0-dim tensors) or lists, tuples and dicts of those, bare or
    declared: ``sy.Batch``, ``Target``, ``Param``, ``Buffer``, ``State``, ``Option`` and ``Seed`` say what they are
    for; else that is guessed from names, and told by ``plan.guessed``. Their values are not recorded, except the
    defaults of options, seeds, counts and of an optimiser's state. ``None``, ``bool``, ``str`` and others are
    configuration: fixed in the plan and no argument of it. The function runs a few times more, on tensors with
    values: the plan claims the sizes at which it computes the same. What it touches is as it was afterwards.

    ``symbols`` maps an argument to {dimension: symbol} for sizes that vary; ``bounds`` a symbol to its inclusive
    (low, high); ``roles`` an argument and ``outputs`` a result name to its role. Raises :class:`TraceError`
    naming the line that cannot be recorded, or that does something else at every call. Warns with
    :class:`TraceWarning` of parameters that are fixed in the plan, and of a number of rows that is.
    """
    if unknown := unknown_words(roles or {}, outputs or {}, kind):
        raise TraceError(unknown)
    signature = _Signature.of(function, args, kwargs, roles or {})
    chosen = symbols if symbols is not None else signature.guess_symbols()
    around = Surroundings(function)
    try:
        try:
            document, traced = _record(
                function, signature, chosen, outputs or {}, kind, name, bounds or {}, around
            )
        except TraceError as error:
            # A guessed batch dimension that the function fixes does not vary: that is said, and recorded so.
            if symbols is not None or chosen == signature.sizes or "symbol" not in error.extra:
                raise
            document, traced = _record(
                function, signature, signature.sizes, outputs or {}, kind, name, bounds or {}, around
            )
            _tell_fixed_size(error, signature)
        plan = _with_selftest(document, signature.examples, limits)
        from syft_ext.plans.tracing.claims import held_against
        from syft_ext.plans.tracing.order import check_order

        if not outputs:
            check_order(plan)
        claimed = held_against(plan, traced.reference, traced.doubtful, limits)
        if claimed != plan.symbols:
            document = msgspec.structs.replace(document, symbols=claimed)
            plan = _with_selftest(document, signature.examples, limits)
    finally:
        around.restore()
    plan.guessed = signature.guessed
    return plan


def _tell_fixed_size(error: TraceError, signature: _Signature) -> None:
    rows = next(
        (
            example.shape[0]
            for role, example in zip(signature.roles, signature.examples, strict=True)
            if role in ("data", "target") and example.dim()
        ),
        0,
    )
    warnings.warn_explicit(
        f"{error.detail.splitlines()[0].rstrip('.')}. So the plan takes exactly {rows} rows in a step, and "
        "no last batch of fewer; declare the rows (xs=sy.Batch(…)) to have this refused",
        TraceWarning,
        str(error.extra.get("file") or __file__),
        int(error.extra.get("line") or 1),
    )


@dataclass
class _Signature:
    """The arguments of the plan: their structure, and example tensors in flat order."""

    arguments: list[Argument] = field(default_factory=list)
    examples: list[torch.Tensor] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    roles: list[InputRole] = field(default_factory=list)
    sizes: dict[str, dict[int, str]] = field(default_factory=dict)
    """What declarations say of sizes: argument → {dimension: symbol}."""
    guessed: dict[str, InputRole] = field(default_factory=dict)
    """Roles that nobody declared, by argument."""
    fixed: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        args: Any,
        kwargs: Mapping[str, Any],
        roles: Mapping[str, InputRole],
    ) -> _Signature:
        try:
            bound = inspect.signature(function).bind(*args, **kwargs)
        except TypeError:
            bound = inspect.signature(function).bind_partial(*args, **kwargs)
        bound.apply_defaults()
        found = cls()
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TraceError("a plan's function has no *args or **kwargs", hint="one list argument")
            if name not in bound.arguments:
                raise TraceError(
                    f"argument {name} has no example", hint=f"a default value: {name}=torch.zeros(...)"
                )
            found._add(name, bound.arguments[name], roles)
        unknown = set(roles) - {argument.name for argument in found.arguments}
        if unknown:
            raise TraceError(f"roles names {min(unknown)}, which is no argument of the plan")
        if not found.examples:
            raise TraceError("the function has no tensor argument", hint="default values that are tensors")
        return found

    def _add(self, name: str, value: Any, roles: Mapping[str, InputRole]) -> None:
        declared = None
        if isinstance(value, Declared):
            declared, value = value, value.value
            if not _is_example(value):
                raise TraceError(f"argument {name}: {declared!r} holds no tensors or numbers"[:300])
        if not _is_example(value):
            self.fixed[name] = value
            return
        if declared is not None and declared.size:
            self._declare_size(name, value, declared.size)
        nested = not isinstance(value, torch.Tensor | int | float)
        scalar = isinstance(value, int | float) or (not nested and value.dim() == 0)
        role = roles.get(name) or (None if declared is None else declared.role)
        if role is None:
            role = input_role(name, "param" if nested else "hyper" if scalar else "data")
            self.guessed[name] = role
        self.arguments.append(Argument(name, self._flatten(value, name, role)))

    def _flatten(self, value: Any, name: str, role: InputRole) -> Any:
        if isinstance(value, Mapping):
            return ["d", *([key, self._flatten(value[key], f"{name}.{key}", role)] for key in value)]
        if isinstance(value, list | tuple):
            parts = [self._flatten(part, f"{name}.{i}", role) for i, part in enumerate(value)]
            return ["t" if isinstance(value, tuple) else "l", *parts]
        tensor = value if isinstance(value, torch.Tensor) else torch.tensor(value)
        if dtype_name(tensor.dtype) is None or tensor.device.type != "cpu" or tensor.layout != torch.strided:
            raise TraceError(
                f"example {name}: a dense tensor on the CPU, of a real or integer dtype, is needed"
            )
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]{0,127}", name):
            raise TraceError(f"{name[:80]!r} cannot name an input", hint="letters, digits and underscores")
        self.examples.append(tensor)
        self.names.append(name)
        self.roles.append(role)
        return len(self.examples) - 1

    def _declare_size(self, name: str, value: Any, size: str) -> None:
        if not isinstance(value, torch.Tensor) or not value.dim():
            raise TraceError(
                f"argument {name} is declared as rows, and its example is no tensor with a first dimension"
            )
        self.sizes[name] = {0: size}

    def guess_symbols(self) -> Symbols:
        """What is declared; and the batch convention: first dimensions of data and targets, where they agree."""
        batched = {
            argument.name: self.examples[argument.tree].shape[0]
            for argument in self.arguments
            if type(argument.tree) is int
            and argument.name.lower() in BATCH_NAMES
            and self.examples[argument.tree].dim() > 0
            and argument.name in self.guessed
        }
        if len(set(batched.values())) != 1:
            return self.sizes
        return {name: {0: "B"} for name in batched} | self.sizes

    def dynamic(self, symbols: Symbols) -> dict[int, dict[int, str]]:
        """Input index -> {dimension: symbol}."""
        trees = {argument.name: argument.tree for argument in self.arguments}
        dynamic: dict[int, dict[int, str]] = {}
        for name, dims in symbols.items():
            if type(trees.get(name)) is not int:
                raise TraceError(f"symbols names {name}, which is no tensor argument of the plan")
            rank = self.examples[trees[name]].dim()
            if any(not 0 <= dim < rank for dim in dims):
                raise TraceError(f"symbols: {name} has {rank} dimensions")
            dynamic[trees[name]] = dict(dims)
        return dynamic

    def rebuild(self, flat: Sequence[torch.Tensor]) -> dict[str, Any]:
        """The function's keyword arguments, from flat tensors."""
        from syft_ext.plans.checking.binding import nest

        return {a.name: nest(a.tree, flat) for a in self.arguments} | self.fixed


def _is_example(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(k, str) and _is_example(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_is_example(part) for part in value)
    return isinstance(value, torch.Tensor | int | float) and not isinstance(value, bool)


def _record(
    function: Callable[..., Any],
    signature: _Signature,
    symbols: Symbols,
    output_overrides: Mapping[str, OutputRole],
    kind: Kind | None,
    name: str | None,
    bounds: Mapping[str, tuple[int, int]],
    around: Surroundings,
) -> tuple[Document, Traced]:
    from syft_ext.plans.tracing.branches import MAX_SIZE
    from syft_ext.plans.tracing.graph import trace_graph
    from syft_ext.plans.tracing.lower import const_of, lower, shape_of

    seed = signature.roles.index("seed") if "seed" in signature.roles else None
    dynamic = signature.dynamic(symbols)
    traced = trace_graph(function, signature.examples, signature.rebuild, dynamic, seed, around)
    lowered = lower(traced)
    placeholders = [node for node in traced.graph.graph.nodes if node.op == "placeholder"]
    inputs = [
        Input(
            item_name,
            role,
            cast(str, dtype_name(example.dtype)),
            shape_of(node.meta["val"], traced.symbols),
            const_of(example) if _is_default(role, example) else None,
        )
        for item_name, role, example, node in zip(
            signature.names, signature.roles, signature.examples, placeholders, strict=False
        )
    ]
    result = _result_tree(traced.result, iter(range(len(lowered.outputs))))
    roles = output_roles(inputs, [(dtype, shape) for _, dtype, shape in lowered.outputs])
    told = _names(function, result)
    if exchanged := misplaced(inputs, roles, told, result):
        raise TraceError(
            f"the function returns {exchanged[0]} where {exchanged[1]} is expected: results go back in order",
            hint="return them in the order of the arguments: of a mapping, {name: new[name] for name in params}",
        )
    names = _unique(fill_names(told, roles, inputs))
    stems = {item.split(".")[0] for item in names}
    if set(output_overrides) - stems - set(names):
        raise TraceError(f"outputs names no result; the results are {', '.join(sorted(stems))}")
    outputs = [
        Output(
            item_name,
            output_overrides.get(item_name) or output_overrides.get(item_name.split(".")[0]) or role,
            dtype,
            shape,
            value,
        )
        for item_name, role, (value, dtype, shape) in zip(names, roles, lowered.outputs, strict=True)
    ]
    refuse_gradients(outputs, traced.recorder.gradients.returned, output_overrides.keys())
    if unknown := bounds.keys() - traced.bounds.keys():
        varying = ", ".join(sorted(traced.bounds)) or "none"
        raise TraceError(f"bounds names {min(unknown)}, and the sizes that vary are: {varying}")
    ranges = {}
    for symbol, (lowest, highest) in traced.bounds.items():
        low, high = bounds.get(symbol, (lowest, highest))
        if highest < MAX_SIZE:
            high = min(high, highest)
        ranges[symbol] = (max(low, lowest), high)
    document = Document(
        format=FORMAT,
        version=VERSION,
        opset=opset_of(lowered.ops),
        kind=kind or plan_kind(inputs, [output.role for output in outputs]),
        name=name or _plan_name(function),
        doc=inspect.getdoc(function) or "",
        provenance={"sdk": __version__, "torch": str(torch.__version__)},
        symbols=ranges,
        arguments=signature.arguments,
        inputs=inputs,
        consts=lowered.consts,
        ops=lowered.ops,
        nodes=lowered.nodes,
        outputs=outputs,
        result=result,
        selftest=SelfTest(0, {}, selftest.RTOL, selftest.ATOL, [], []),
    )
    return document, traced


def _is_default(role: InputRole, example: torch.Tensor) -> bool:
    """Whether an input takes the example's values where nobody gives others. An optimiser's state does, whatever
    its size; what begins at zero need not be written down for that."""
    if role == "state":
        return example.numel() <= _MAX_DEFAULT or bool((example != 0).any())
    return role in _DEFAULT_ROLES and example.numel() <= _MAX_DEFAULT


def _plan_name(function: Callable[..., Any]) -> str:
    found = re.sub(r"[^A-Za-z0-9_]", "_", getattr(function, "__name__", "plan")).lstrip("0123456789")
    return found or "plan"


def _result_tree(spec: Any, indices: Any) -> Any:
    if spec.is_leaf():
        return next(indices)
    children = spec.children()
    if spec.type in (list, tuple):
        return ["t" if spec.type is tuple else "l", *(_result_tree(child, indices) for child in children)]
    if issubclass(spec.type, dict) and all(isinstance(key, str) for key in spec.context):
        pairs = zip(spec.context, children, strict=True)
        return ["d", *([key, _result_tree(child, indices)] for key, child in pairs)]
    raise TraceError(f"the function returns a {spec.type.__name__}", hint="tensors in tuples, lists or dicts")


def _names(function: Callable[..., Any], result: Any) -> list[str | None]:
    """Names of the flat results as the return statement and the keys of dicts tell them."""
    if type(result) is int:
        return output_names(function, 1)
    children = [child for _, child in result[1:]] if result[0] == "d" else result[1:]
    stems: list[str | None]
    if result[0] == "d":
        stems = [key for key, _ in result[1:]]
    else:
        whole = output_names(function, 1)[0]  # `return new_params`: one name for the whole list
        stems = [f"{whole}.{i}" for i in range(len(children))] if whole else []
        stems = stems or output_names(function, len(children))
    return [name for stem, child in zip(stems, children, strict=True) for name in _leaf_names(stem, child)]


def _leaf_names(stem: str | None, tree: Any) -> list[str | None]:
    if type(tree) is int:
        return [stem]
    parts = tree[1:] if tree[0] == "d" else list(enumerate(tree[1:]))
    return [name for key, part in parts for name in _leaf_names(f"{stem}.{key}" if stem else None, part)]


def _unique(names: list[str]) -> list[str]:
    """Identifiers, each once: the same tensor may be returned twice."""
    taken: set[str] = set()
    for index, name in enumerate(names):
        clean = re.sub(r"[^A-Za-z0-9_.]", "_", name)[:120]
        clean = clean if re.match(r"[A-Za-z_]", clean) else f"out_{clean}"
        while clean in taken:
            clean = f"{clean}_{index}"
        taken.add(clean)
        names[index] = clean
    return names


def _with_selftest(document: Document, examples: Sequence[torch.Tensor], limits: Limits | None) -> Plan:
    """Run the finished plan on the self-test inputs and put its answers into it."""
    items = list(zip(examples, document.inputs, strict=True))
    generators = [
        [selftest.generator_for(example, item, marks) for example, item in items] for marks in (True, False)
    ]
    pending = [selftest.summarise(torch.zeros(0)) for _ in document.outputs]
    failure: InvalidPlan | None = None
    ways = itertools.product(generators, (_small_sizes(document), _example_sizes(document, examples)))
    for generator, sizes in ways:
        test = SelfTest(0x5EED, sizes, selftest.RTOL, selftest.ATOL, generator, pending)
        draft = msgspec.structs.replace(document, selftest=test)
        try:
            results = Plan(draft, limits).run(selftest.make_inputs(draft, test))
        except InvalidPlan as error:
            failure = failure or error
            continue
        test = msgspec.structs.replace(test, outputs=[selftest.summarise(result) for result in results])
        return Plan(msgspec.structs.replace(document, selftest=test), limits)
    assert failure is not None
    raise TraceError(
        f"the plan fails on inputs like the examples: {failure.detail}",
        hint="examples with the range of the real data",
    ) from failure


def _small_sizes(document: Document) -> dict[str, int]:
    """Sizes distinct from one another, small, and inside the bounds the function asks for."""
    return {
        symbol: min(max(4 + 3 * i, low), high)
        for i, (symbol, (low, high)) in enumerate(document.symbols.items())
    }


def _example_sizes(document: Document, examples: Sequence[torch.Tensor]) -> dict[str, int]:
    """The sizes the function was traced with (a plan may pick fixed rows of its batch)."""
    sizes = {}
    for item, example in zip(document.inputs, examples, strict=True):
        for expr, size in zip(item.shape, example.shape, strict=True):
            if type(expr) is list:
                low, high = document.symbols[expr[1]]
                sizes[expr[1]] = min(max(size, low), high, 4096)
    return sizes
