"""What an argument or a result is for, from its name and shape; whatever is inferred here can be said instead."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syft_ext.plans.graph.document import (
    INPUT_ROLES,
    KINDS,
    OUTPUT_ROLES,
    Input,
    InputRole,
    Kind,
    OutputRole,
    unknown_word,
)

__all__ = [
    "BATCH_NAMES",
    "UPDATED",
    "fill_names",
    "input_role",
    "misplaced",
    "output_names",
    "output_roles",
    "plan_kind",
    "unknown_words",
]

_NAMES: dict[InputRole, str] = {
    "data": "x xs data input inputs image images feature features batch tokens text",
    "target": "y ys target targets label labels",
    "hyper": "lr learning_rate batch_size momentum beta beta1 beta2 eps weight_decay temperature clip edges",
    "param": "param params parameters model_params model_state weight w b bias theta centers centroids",
    "state": "state m v t step velocity momentum_buffer moments optimizer_state opt_state",
    "buffer": "buffer buffers bufs running_mean running_var",
    "seed": "seed",
    "item": "item items diff diffs update updates stacked contributions",
    "count": "num count counts n weights sizes samples",
    "aggregate": "avg average aggregate total accumulated",
}
_ROLES: dict[str, InputRole] = {name: role for role, names in _NAMES.items() for name in names.split()}
UPDATED: tuple[OutputRole, ...] = ("param", "state", "buffer", "aggregate")
"""Roles of what goes in and comes back."""
BATCH_NAMES = frozenset(name for role in ("data", "target") for name in _NAMES[role].split())


def unknown_words(
    roles: Mapping[str, InputRole], outputs: Mapping[str, OutputRole], kind: Kind | None
) -> str:
    """What is wrong with roles and a kind that somebody says; "" for nothing."""
    for option, said, known in (("roles", roles, INPUT_ROLES), ("outputs", outputs, OUTPUT_ROLES)):
        for name, role in said.items():
            if role not in known:
                return unknown_word("role", role, f"{option} of {name}"[:100], known)
    return "" if kind is None or kind in KINDS else unknown_word("kind", kind, "the plan", KINDS)


def input_role(name: str, otherwise: InputRole) -> InputRole:
    """The role of an argument by its name."""
    return _ROLES.get(name.lower(), otherwise)


def plan_kind(inputs: Sequence[Input], outputs: Sequence[OutputRole]) -> Kind:
    """What the plan as a whole does."""
    roles = {item.role for item in inputs}
    if roles & {"item", "aggregate"}:
        return "averaging"
    if "param" in roles:
        return "training" if "param" in outputs else "inference"
    return "statistics"


def output_roles(
    inputs: Sequence[Input],
    outputs: Sequence[tuple[str, list[Any]]],
    order: Sequence[OutputRole] = UPDATED,
) -> list[OutputRole]:
    """Roles of results of the given (dtype, shape); ``order``: which role comes first where types are alike.

    A run of results with exactly the types of all parameters (or states, buffers, aggregates) in order is the
    updated parameters (...). Leading results of one element are metrics; the rest are results.
    """
    groups: list[tuple[OutputRole, list[tuple[str, list[Any]]]]] = []
    for role in order:
        members = [(item.dtype, item.shape) for item in inputs if item.role == role]
        if members:
            groups.append((role, members))
    if not any(role == "aggregate" for role, _ in groups):
        items = [(item.dtype, item.shape) for item in inputs if item.role == "item"]
        # A plan over stacked contributions answers with one of them: the shape without its first dimension.
        groups += (
            [("aggregate", [(d, s[1:]) for d, s in items])] if items and all(s for _, s in items) else []
        )
    roles: list[OutputRole] = []
    leading = True
    while len(roles) < len(outputs):
        rest = list(outputs[len(roles) :])
        match = next((g for g in groups if rest[: len(g[1])] == g[1]), None)
        if match is not None:
            groups.remove(match)
            roles += [match[0]] * len(match[1])
            leading = False
        else:
            leading = leading and all(size == 1 for size in rest[0][1])
            roles.append("metric" if leading else "result")
    return roles


def misplaced(
    inputs: Sequence[Input], roles: Sequence[OutputRole], told: Sequence[str | None], result: Any
) -> tuple[str, str] | None:
    """A result that is called like another input of its role than the one that it updates, and that one.

    Results go into inputs in order: where types are alike, another order would exchange them unseen.

    Args:
        told: what the function calls its results; None: nothing. result: their structure, which has keys.
    """
    keys = _keys_of(result)
    for role in UPDATED:
        taken = [item.name for item in inputs if item.role == role]
        back = [index for index, each in enumerate(roles) if each == role]
        by_key = {name.rpartition(".")[2]: name for name in taken}
        known = len(by_key) == len(taken) and {keys.get(index) for index in back} == set(by_key)
        for name, index in zip(taken, back, strict=False):
            called = by_key.get(keys.get(index, "")) if known else told[index]
            if called in taken and called != name:
                return str(called), name
    return None


def _keys_of(tree: Any) -> dict[int, str]:
    """The key of each result that stands in a dictionary."""
    if type(tree) is int:
        return {}
    parts = tree[1:] if tree[0] == "d" else [("", part) for part in tree[1:]]
    found: dict[int, str] = {}
    for key, part in parts:
        found |= ({part: key} if key else {}) if type(part) is int else _keys_of(part)
    return found


def output_names(function: Callable[..., Any], count: int) -> list[str | None]:
    """Names for ``count`` top-level results from the function's last ``return a, b, *c, d``.

    None where it does not tell: an expression without a name, or results behind two starred names.
    """
    elements = _returned(function)
    plain = [not isinstance(element, ast.Starred) for element in elements]
    if count == 1 and len(elements) > 1:
        return [None]  # all of them are no name of the whole
    if all(plain):
        return [_stem(e) for e in elements] if len(elements) == count else [None] * count
    first, last = plain.index(False), plain[::-1].index(False)
    middle = count - first - last
    if middle < 0:
        return [None] * count
    stem = None
    if plain.count(False) == 1:
        starred = elements[first]
        stem = _stem(starred.value) if isinstance(starred, ast.Starred) else None
    head, tail = elements[:first], elements[len(elements) - last :]
    return [
        *map(_stem, head),
        *(f"{stem}.{i}" if stem else None for i in range(middle)),
        *map(_stem, tail),
    ]


def _returned(function: Callable[..., Any]) -> list[ast.expr]:
    """The elements of the last statement of the function, if that is a return."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return []
    definition = next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None)
    if definition is None or not isinstance(definition.body[-1], ast.Return):
        return []
    value = definition.body[-1].value
    if value is None:
        return []
    return list(value.elts) if isinstance(value, ast.Tuple | ast.List) else [value]


def _stem(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def fill_names(
    names: Sequence[str | None], roles: Sequence[OutputRole], inputs: Sequence[Input]
) -> list[str]:
    """Results without a name take that of the input they update, else their position."""
    waiting = {role: [item.name for item in inputs if item.role == role] for role in set(roles)}
    filled = []
    for index, (name, role) in enumerate(zip(names, roles, strict=True)):
        source = waiting[role].pop(0) if waiting[role] else None
        filled.append(name or source or f"out{index}")
    return filled
