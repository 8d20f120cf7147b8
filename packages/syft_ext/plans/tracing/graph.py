"""Trace a natural PyTorch function - ``loss.backward()`` and ``optimizer.step()`` included - to a plan.

Two passes of torch's own ``make_fx`` over fake tensors. In the first, autograd and the Python of the
optimiser run once and vanish; the second removes mutation and rewrites to the op set. Then the graph is
simplified and lowered to a document (:mod:`syft_ext.plans.tracing.lower`).

Only the author's side runs this module; it leans on private parts of torch, which is why torch is pinned.
"""

from __future__ import annotations

import contextlib
import functools
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.func import functionalize
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    GuardOnDataDependentSymNode,
    ShapeEnv,
    StatelessSymbolicContext,
)
from torch.nn.attention import SDPBackend, sdpa_kernel

from syft_ext.errors import GridError
from syft_ext.plans.tracing import branches, checkpoint, simplify
from syft_ext.plans.tracing.decompositions import first_pass, second_pass
from syft_ext.plans.tracing.errors import TraceError, TraceWarning, comes_from, line_of_traceback
from syft_ext.plans.tracing.randomness import Randomness
from syft_ext.plans.tracing.recorder import Recorder
from syft_ext.plans.tracing.reference import Reference
from syft_ext.plans.tracing.surroundings import Surroundings

__all__ = ["Traced", "trace_graph"]


@dataclass(frozen=True)
class Traced:
    """A mutation-free graph, the names and bounds of its symbols, and the structure of its result."""

    graph: GraphModule
    constants: list[torch.Tensor]  # what the last placeholders stand for
    symbols: dict[Any, str]
    bounds: dict[str, tuple[int, int]]
    doubtful: dict[str, set[int]]  # sizes at which the plan may differ from the function
    result: pytree.TreeSpec
    recorder: Recorder
    reference: Reference


_LOCK = threading.RLock()  # tracing switches process-wide settings of torch


def trace_graph(
    function: Callable[..., Any],
    examples: Sequence[torch.Tensor],
    rebuild: Callable[[Sequence[torch.Tensor]], Mapping[str, Any]],
    dynamic: Mapping[int, Mapping[int, str]],
    seed: int | None,
    around: Surroundings,
) -> Traced:
    """Trace ``function(**rebuild(flat))``.

    ``examples`` are the flat inputs, ``dynamic`` maps an input's index to {dimension: symbol}, ``seed`` is the
    index of the seed input, ``around`` is what the function reaches. Raises :class:`TraceError`.
    """
    recorder = Recorder()
    env = ShapeEnv()
    taken = branches.watch(env)
    mode = FakeTensorMode(shape_env=env, allow_non_fake_inputs=True)
    hints = _size_hints(examples, dynamic)
    fakes, symbols = _fake_inputs(mode, examples, dynamic, hints)
    randomness = Randomness()
    spec: list[pytree.TreeSpec] = []

    def flat_function(*flat: torch.Tensor, watched: bool = True) -> tuple[torch.Tensor, ...]:
        randomness.start(None if seed is None else flat[seed])
        # Copies, so that code which writes to its arguments (optimizer.step()) leaves the plan's inputs alone;
        # where nothing writes, the copy is simplified away.
        leaves = [
            tensor.detach().clone().requires_grad_(example.requires_grad)
            for tensor, example in zip(flat, examples, strict=True)
        ]
        result = _call_user_function(function, rebuild(leaves), recorder if watched else None)
        outputs, tree = pytree.tree_flatten(result)
        if watched:
            recorder.gradients.finish(outputs)
        spec[:] = [tree]
        return tuple(_output(output) for output in outputs)

    table = {**first_pass(), **randomness.table()}
    with _LOCK, _tracing(mode):
        try:
            graph = _make_fx(flat_function, table, fakes)
        except GridError:
            raise
        except Exception as error:  # whatever torch raises while it runs the user's code
            raise _explain(error, symbols) from error
        simplify.drop_effects(graph)
        branches.check_fixed(taken, symbols)
        try:
            originals = simplify.constants_of(graph)
            constants = simplify.lift_constants(graph)
            inputs = [*fakes, *(mode.from_tensor(constant, static_shapes=True) for constant in constants)]
            table = {**second_pass(), **randomness.table()}
            graph = _make_fx(functionalize(graph.forward, remove="mutations"), table, inputs)
            _check_unwritten(graph, len(fakes), originals, around, recorder)
        except GridError:
            raise
        except Exception as error:
            raise TraceError(f"the recorded function cannot be simplified: {_first_line(error)}") from error
    simplify.simplify(graph)
    branches.check_fixed(taken, symbols)
    bounds = branches.size_bounds(taken, symbols, hints)
    doubtful = branches.doubtful_sizes(taken, symbols, hints)
    _tell_fixed_parameters(graph, len(fakes), originals, around, recorder)

    @contextlib.contextmanager
    def with_values() -> Iterator[None]:
        around.restore_tensors()
        with _LOCK, _tracing(None):
            yield

    reference = Reference(functools.partial(flat_function, watched=False), randomness.table(), with_values)
    around.restore()
    return Traced(graph, constants, symbols, bounds, doubtful, spec[0], recorder, reference)


def _call_user_function(
    function: Callable[..., Any], arguments: Mapping[str, Any], recorder: Recorder | None
) -> Any:
    # The name of this frame marks where user code begins on a stack (trace_errors).
    with contextlib.nullcontext() if recorder is None else recorder.watching():
        return function(**arguments)


def _check_unwritten(
    graph: GraphModule,
    inputs: int,
    originals: Sequence[torch.Tensor],
    around: Surroundings,
    recorder: Recorder,
) -> None:
    """Raise :class:`TraceError` where the function writes to a tensor that is no argument: it would be lost."""
    places = [node for node in graph.graph.nodes if node.op == "placeholder"]
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.copy_.default and node.args[0] in places[inputs:]:
            tensor = originals[places.index(node.args[0]) - inputs]
            line, name = recorder.line_of_tensor(tensor), around.names.get(id(tensor), "a tensor")
            raise TraceError(
                f"{line} writes to {name}, which is no argument of the plan: what is written would be lost",
                hint="make it an argument (sy.Buffer for running statistics and counters, sy.Param for "
                "parameters, sy.State for an optimiser) and return it; or, of a normalisation, module.eval()",
                file=line.file,
                line=line.number,
                tensor=name,
            )


def _tell_fixed_parameters(
    graph: GraphModule,
    inputs: int,
    originals: Sequence[torch.Tensor],
    around: Surroundings,
    recorder: Recorder,
) -> None:
    """Warn of parameters that the plan holds as constants: no training reaches them."""
    if isinstance(around.owner, torch.nn.Module):
        return  # somebody records a trained module as it is
    places = [node for node in graph.graph.nodes if node.op == "placeholder"][inputs:]
    fixed = [
        tensor
        for node, tensor in zip(places, originals, strict=True)
        if node.users and isinstance(tensor, torch.nn.Parameter) and tensor.requires_grad
    ]
    if not fixed:
        return
    line = recorder.line_of_tensor(fixed[0])
    names = [around.names.get(id(tensor), f"of shape {list(tensor.shape)}") for tensor in fixed]
    text = (
        f"{line}: {len(fixed)} parameters are no arguments of the plan and are fixed in it, as they are now "
        f"({', '.join(names[:5])}{' …' if len(names) > 5 else ''}). To train them, make them an argument: "
        "params=sy.Param(model); to keep them as they are, requires_grad_(False)"
    )
    warnings.warn_explicit(text, TraceWarning, line.file or __file__, line.number or 1)


def _output(output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output.detach()
    if isinstance(output, int | float):
        return torch.tensor(output)
    raise TraceError(
        f"the function returns a {type(output).__name__}",
        hint="return tensors, in tuples, lists or dicts",
    )


def _size_hints(examples: Sequence[torch.Tensor], dynamic: Mapping[int, Mapping[int, str]]) -> dict[str, int]:
    """The sizes to trace with: our own, distinct per symbol and never 0 or 1, so that an example batch of 1 or
    two equal example sizes do not fix anything."""
    names = sorted({name for dims in dynamic.values() for name in dims.values()})
    taken = {size for example in examples for size in example.shape}
    free = (size for size in range(12, 1 << 20) if size not in taken)
    return {name: next(free) for name in names}


def _fake_inputs(
    mode: FakeTensorMode,
    examples: Sequence[torch.Tensor],
    dynamic: Mapping[int, Mapping[int, str]],
    hints: Mapping[str, int],
) -> tuple[list[torch.Tensor], dict[Any, str]]:
    """Fake tensors whose dynamic sizes are symbols, and the names of the symbols."""
    fakes: list[torch.Tensor] = []
    symbols: dict[Any, str] = {}
    for index, example in enumerate(examples):
        dims = dynamic.get(index, {})
        shape = [hints[dims[d]] if d in dims else size for d, size in enumerate(example.shape)]
        sizes = [DimDynamic.DUCK if d in dims else DimDynamic.STATIC for d in range(len(shape))]
        fake = mode.from_tensor(
            torch.empty(shape, dtype=example.dtype),
            symbolic_context=StatelessSymbolicContext(dynamic_sizes=sizes),
        )
        fakes.append(fake)
        for dim, name in dims.items():
            size: Any = fake.shape[dim]
            symbols[size.node.expr] = name
    return fakes, symbols


def _make_fx(function: Callable[..., Any], table: Mapping[Any, Any], inputs: Sequence[Any]) -> GraphModule:
    # "real" mode over tensors that are fake already: what AOTAutograd does.
    traced = make_fx(
        lambda *flat: function(*flat),
        decomposition_table=table,
        tracing_mode="real",
        _allow_non_fake_inputs=True,
    )
    graph = traced(*inputs)
    assert isinstance(graph, GraphModule)
    return graph


@contextlib.contextmanager
def _tracing(mode: FakeTensorMode | None) -> Iterator[None]:
    """The switches that the measurements in the design asked for. Without ``mode``, tensors have values."""
    was_compiling = torch.compiler._is_compiling_flag
    had_mkldnn = torch._C._get_mkldnn_enabled()
    # Optimisers then keep lr and step as tensors instead of calling .item().
    torch.compiler._is_compiling_flag = True
    # Else mkldnn_rnn_layer. Not torch.backends.mkldnn.flags: it warns about unrelated hardware.
    torch._C._set_mkldnn_enabled(False)
    try:
        with (
            mode or contextlib.nullcontext(),
            checkpoint.as_plain_calls(),
            enable_python_dispatcher(),  # else C++ composites call int(size) and LSTM fixes the batch
            sdpa_kernel(SDPBackend.MATH),  # else a fused attention kernel that only this CPU has
            torch.enable_grad(),
        ):
            yield
    finally:
        torch._C._set_mkldnn_enabled(had_mkldnn)
        torch.compiler._is_compiling_flag = was_compiling


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]


def _explain(error: Exception, symbols: Mapping[Any, str]) -> TraceError:
    line = line_of_traceback(error.__traceback__)
    text = _first_line(error)
    extra: dict[str, Any] = {"file": line.file, "line": line.number}
    if (
        isinstance(error, DataDependentOutputException | GuardOnDataDependentSymNode)
        or "data-dependent" in text
    ):
        return TraceError(
            f"{line}: needs a value that exists only when the plan runs",
            hint="keep it a tensor: torch.where(condition, a, b) for a choice, no if, while, int(), float() or "
            ".item() on tensors",
            **extra,
        )
    if comes_from(error.__traceback__, "numpy"):
        return TraceError(f"{line} leaves torch for numpy", hint="the torch function of that name", **extra)
    for symbol, name in symbols.items():
        if re.search(rf"\b{symbol}\b", text):
            text = re.sub(rf"\b{symbol}\b", name, text)
            extra |= {
                "symbol": name,
                "hint": f"{name} varies from call to call: write x.shape[0] or -1 for it",
            }
    return TraceError(f"{line}: {type(error).__name__}: {text}", **extra)
