"""Clean-up of a traced graph: effects and identities out, common subexpressions shared, dead code gone."""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx import GraphModule, Node

from syft_ext.plans.tracing.errors import TraceError

__all__ = ["constants_of", "drop_effects", "lift_constants", "simplify"]

aten = torch.ops.aten
# The identity once nothing is mutated.
_ALIASES = {
    aten.detach.default,
    aten.alias.default,
    aten.lift_fresh_copy.default,
    aten.lift_fresh.default,
    aten.lift.default,
}
_IDENTITY_IF_SAME_TYPE = {
    aten.clone.default,
    aten._to_copy.default,
    aten.expand.default,
    aten.view.default,
    aten.reshape.default,
    aten.slice.Tensor,
}


def drop_effects(graph: GraphModule) -> None:
    """Remove what has no result: the profiler hooks of torch.optim, assertions."""
    for node in reversed(list(graph.graph.nodes)):
        name = str(node.target)
        if node.op == "call_function" and ("profiler" in name or "_assert" in name) and not node.users:
            graph.graph.erase_node(node)
    graph.recompile()


def constants_of(graph: GraphModule) -> list[torch.Tensor]:
    """The tensors from outside that the graph uses, as the user's code holds them, each once and in order."""
    targets = dict.fromkeys(str(node.target) for node in graph.graph.nodes if node.op == "get_attr")
    return [getattr(graph, target) for target in targets]


def lift_constants(graph: GraphModule) -> list[torch.Tensor]:
    """Turn the graph's constants into further placeholders and return their values.

    Functionalisation follows only what comes in as an argument: a constant that the function writes to in place
    (a buffer, parameters that were sent along) would escape it.
    """
    last = [node for node in graph.graph.nodes if node.op == "placeholder"][-1]
    placeholders: dict[str, Node] = {}
    constants = []
    for node in [node for node in graph.graph.nodes if node.op == "get_attr"]:
        name = str(node.target)
        if name not in placeholders:
            constants.append(_constant_value(getattr(graph, name)))
            with graph.graph.inserting_after(last):
                last = placeholders[name] = graph.graph.placeholder(f"constant_{len(placeholders)}")
        node.replace_all_uses_with(placeholders[name])
        graph.graph.erase_node(node)
    graph.recompile()
    return constants


def _constant_value(value: Any) -> torch.Tensor:
    constant = getattr(value, "constant", None)  # torch.tensor([..]) under a fake mode keeps its values here
    value = value if constant is None else constant
    if type(value) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        raise TraceError(
            "a constant of the function has no values", hint="make constants outside the function"
        )
    with unset_fake_temporarily():
        detached: torch.Tensor = value.detach()
    return detached


def simplify(graph: GraphModule) -> None:
    """In place; ``graph`` must be free of mutation."""
    drop_effects(graph)
    for node in list(graph.graph.nodes):
        if node.target is aten.slice_scatter.default and _same_type(node.args[1], node):
            node.replace_all_uses_with(node.args[1])  # the whole of it is overwritten
            graph.graph.erase_node(node)
        elif node.op == "call_function" and _is_identity(node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    for node in list(graph.graph.nodes):
        if node.target is aten.t.default and node.args[0].target is aten.t.default:
            node.replace_all_uses_with(node.args[0].args[0])
            graph.graph.erase_node(node)
    for node in graph.graph.nodes:
        # Strides at run time may differ from the traced ones: reshape copies where view would fail.
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default
    graph.graph.eliminate_dead_code()
    _share_common(graph)
    graph.recompile()


def _is_identity(node: Node) -> bool:
    if node.target in _ALIASES:
        return True
    if node.target not in _IDENTITY_IF_SAME_TYPE:
        return False
    return _same_type(node.args[0], node)


def _same_type(source: Any, node: Node) -> bool:
    before, after = source.meta["val"], node.meta["val"]
    return bool(before.shape == after.shape and before.dtype == after.dtype)


def _share_common(graph: GraphModule) -> None:
    seen: dict[Any, Node] = {}
    for node in list(graph.graph.nodes):
        if node.op != "call_function":
            continue
        key = (node.target, repr(node.args), repr(sorted(node.kwargs.items())))
        if key in seen:
            node.replace_all_uses_with(seen[key])
            graph.graph.erase_node(node)
        else:
            seen[key] = node
