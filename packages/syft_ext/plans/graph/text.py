"""What will run, for the person who reviews it."""

from __future__ import annotations

from html import escape
from typing import Any

from syft_ext.plans.graph.document import Document, Input, Output
from syft_ext.plans.graph.expr import format_expr
from syft_ext.plans.graph.limits import Cost
from syft_ext.readable import readable
from syft_ext.units import scaled

__all__ = ["as_html", "as_text", "describe_symbols", "describe_type"]


def describe_type(item: Input | Output) -> str:
    """E.g. ``f32[B, 784]``."""
    return f"{item.dtype}[{', '.join(format_expr(size) for size in item.shape)}]"


def describe_symbols(document: Document) -> str:
    """E.g. ``B in 1..65536``; empty for a plan of fixed sizes."""
    return ", ".join(f"{name} in {low}..{high}" for name, (low, high) in document.symbols.items())


def as_text(document: Document, plan_id: str) -> str:
    """Inputs with their roles, every operation in order, and what leaves the plan."""
    lines = [f"{document.kind} plan {document.name}", f"id {plan_id}"]
    if document.doc:
        lines += [f"  | {line}" for line in document.doc.strip().splitlines()]
    if document.symbols:
        lines.append(f"sizes: {describe_symbols(document)}")
    lines.append("takes:")
    value = 0
    for item in document.inputs:
        default = "" if item.default is None else "  (has a default)"
        lines.append(f"  %{value:<4} {item.role:<9} {item.name}: {describe_type(item)}{default}")
        value += 1
    if document.consts:
        lines.append("constants:")
    for const in document.consts:
        lines.append(f"  %{value:<4} {const.dtype}{const.shape}")
        value += 1
    lines.append("runs:")
    for node in document.nodes:
        name = document.ops[node.op].removeprefix("aten.").removesuffix(".default")
        arguments = [_argument(a) for a in node.args]
        arguments += [f"{key}={_argument(a)}" for key, a in node.kwargs.items()]
        results = ", ".join(f"%{value + i}" for i in range(node.outs))
        lines.append(f"  {results} = {name}({', '.join(arguments)})")
        value += node.outs
    lines.append("returns:")
    lines += [f"  {o.role:<9} {o.name}: {describe_type(o)} = %{o.id}" for o in document.outputs]
    return "\n".join(map(readable, lines))  # whoever wrote the plan chose its names


def _argument(argument: Any) -> str:
    if type(argument) is not list:
        return repr(argument)
    if argument[0] == "r":
        return f"%{argument[1]}"
    if argument[0] == "l":
        return f"[{', '.join(_argument(part) for part in argument[1:])}]"
    if argument[0] == "s":
        return format_expr(argument[1])
    return str(argument[1])


def _group(items: list[Any]) -> list[tuple[str, str, str]]:
    """Rows (role, name, type); ``params.0 .. params.3`` become one row."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for item in items:
        groups.setdefault((item.role, item.name.split(".")[0]), []).append(item)
    rows = []
    for (role, name), members in groups.items():
        types = ", ".join(describe_type(member) for member in members[:4])
        more = f" and {len(members) - 4} more" if len(members) > 4 else ""
        rows.append((role, name, types + more))
    return rows


def as_html(document: Document, plan_id: str, cost: Cost | None) -> str:
    """A small table for a notebook."""
    rows = []
    for title, items in (("takes", document.inputs), ("returns", document.outputs)):
        for role, name, types in _group(list(items)):
            cells = "".join(_html_cell("td", text) for text in (title, role, name, types))
            rows.append(f"<tr>{cells}</tr>")
    facts = [f"{len(document.nodes)} operations", describe_symbols(document), f"id {plan_id[:12]}"]
    if cost is not None:
        facts.insert(1, f"{scaled(cost.flops, 'FLOP')}, {scaled(cost.peak_bytes, 'B')}")
    summary = document.doc.strip().split("\n")[0]
    head = "".join(_html_cell("th", heading) for heading in ("", "role", "name", "type"))
    return (
        f"<div><b>{_html(document.name)}</b> <i>({_html(document.kind)} plan)</i> {_html(summary)}"
        f"<table><tr>{head}</tr>{''.join(rows)}</table>"
        f"<small>{_html(' · '.join(fact for fact in facts if fact))}</small></div>"
    )


def _html(text: str) -> str:
    return escape(readable(text))


def _html_cell(tag: str, text: str) -> str:
    # Jupyter's own style sheet puts every cell of a table to the right.
    return f'<{tag} style="text-align:left">{_html(text)}</{tag}>'
