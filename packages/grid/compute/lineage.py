"""How each value of a session came about: for whoever is asked to hand one out.

A sum over a table and its fifth row times one look alike once they are stored. What was computed is written down
with the object, from what was loaded to what was kept; the node notes each action as it is sent to the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grid.compute.arguments import references
from syft_ext.messages.compute import Action, Call, Load, Put, RunPlan

__all__ = ["MAX_LINES", "MAX_NOTED", "Lineage"]

MAX_NOTED = 1 << 17
"""Actions that a session's lineage keeps, the latest ones."""
MAX_LINES = 200
"""Lines of one computation; of a longer one its first and last, and what the others are."""
_LONGEST = 300
_PICKING = frozenset(
    [
        "amax",
        "amin",
        "argmax",
        "argmin",
        "as_strided",
        "chunk",
        "diagonal",
        "gather",
        "index",
        "index_select",
        "kthvalue",
        "masked_select",
        "max",
        "median",
        "min",
        "mode",
        "nanmedian",
        "narrow",
        "select",
        "slice",
        "sort",
        "split",
        "split_with_sizes",
        "take",
        "topk",
        "unbind",
    ]
)
_KINDS = 40


class Lineage:
    """The latest actions of a session, by the values that they define; what the client dropped stays noted."""

    def __init__(self) -> None:
        self._of: dict[int, Action] = {}

    def note(self, action: Action, outs: Sequence[int]) -> None:
        """``action`` defines ``outs``."""
        for out in outs:
            self._of[out] = action
        while len(self._of) > MAX_NOTED:
            del self._of[next(iter(self._of))]

    def forget(self, outs: Iterable[int]) -> None:
        """Nothing of it has run."""
        for out in outs:
            self._of.pop(out, None)

    def text(self, values: Sequence[int], plans: Mapping[str, Iterable[str]]) -> str:
        """Every step behind ``values``, one a line and in their order; ``plans``: the operations of each plan.

        What was noted no longer (or by a node that has been started anew since) is said to be unknown.
        """
        steps = sorted(self._behind(values))
        numbers = {value: number for number, value in enumerate(steps)}
        lines: list[str] = []
        kinds: list[str] = []
        done: set[int] = set()
        for value in steps:
            action = self._of.get(value)
            if action is None:
                lines.append(
                    f"%{numbers[value]} = not known: computed before this node last started, or too long ago"
                )
                kinds.append("not known")
            elif id(action) not in done:
                done.add(id(action))
                lines.append(self._line(action, numbers, plans))
                kinds.append(_kind(action))
        behind = {action.plan_id for value in steps if isinstance(action := self._of.get(value), RunPlan)}
        hints = _hints(kinds, [operation for plan_id in behind for operation in plans.get(plan_id, ())])
        if len(lines) > MAX_LINES:
            cut = slice(MAX_LINES // 2, len(lines) - MAX_LINES // 2)
            lines[cut] = [f"… {len(lines) - MAX_LINES} steps are not shown: {_counted(kinds[cut])} …"]
        kept = ", ".join(f"%{numbers[value]}" for value in values)
        return "\n".join([*lines, f"kept: {kept}", *hints])

    def _behind(self, values: Iterable[int]) -> set[int]:
        found: set[int] = set()
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            if value in found:
                continue
            found.add(value)
            action = self._of.get(value)
            if isinstance(action, Call):
                waiting += references(action)
            elif isinstance(action, RunPlan):
                waiting += action.inputs
        return found

    @staticmethod
    def _line(action: Action, numbers: Mapping[int, int], plans: Mapping[str, Iterable[str]]) -> str:
        def name(value: int) -> str:
            return f"%{numbers[value]}" if value in numbers else "_"

        if isinstance(action, Load):
            # Whoever made the object chose the name: it must not look like a step.
            what = f"{action.object_id}{': ' + ascii(action.name) if action.name else ''}"
            return f"{name(action.out)} = load {what}"
        if isinstance(action, Put):
            return f"{name(action.out)} = the asker's own {action.dtype}{list(action.shape)}"
        if isinstance(action, RunPlan):
            outs = ", ".join(name(out) for out in action.outs)
            operations = ", ".join(_short(each) for each in sorted(plans.get(action.plan_id, ())))
            inputs = ", ".join(name(value) for value in action.inputs)
            what = _cut(f"{outs} = plan {action.plan_id[:12]}", f"({inputs})")
            return f"{what}, which runs {operations}"
        assert isinstance(action, Call)
        outs = ", ".join(name(out) for out in action.outs)
        given = [_argument(each, name) for each in action.args]
        given += [f"{key}={_argument(each, name)}" for key, each in action.kwargs.items()]
        return _cut(f"{outs} = {_short(action.op)}", f"({', '.join(given)})")


def _cut(what: str, operands: str) -> str:
    """One line; operands beyond what it holds are not shown, which it says."""
    room = max(_LONGEST - len(what), 40)
    return f"{what}{operands if len(operands) <= room else f'{operands[:room]} … and more)'}"


def _kind(action: Action) -> str:
    if isinstance(action, Call):
        return _short(action.op)
    return {Load: "load", Put: "the asker's own", RunPlan: "plan"}[type(action)]


def _hints(kinds: Iterable[str], in_plans: Iterable[str]) -> list[str]:
    """What a reviewer must look at: steps after which a result may be one row's, or one value."""
    known = {*kinds, *(_short(each) for each in in_plans)}
    picking = sorted(each for each in known if each.split(".")[0] in _PICKING)
    hints = [f"look at: {', '.join(picking)} can pick out single rows or values"] if picking else []
    if "the asker's own" in known:
        hints.append("look at: the asker's own values can weigh rows one by one")
    return hints


def _counted(kinds: Sequence[str]) -> str:
    """Which operations they are, the rarest first: one that picks a row hides among many that do nothing."""
    counts = sorted(Counter(kinds).items(), key=lambda pair: (pair[1], pair[0]))
    more = f", and {len(counts) - _KINDS} kinds more" if len(counts) > _KINDS else ""
    return ", ".join(f"{count} × {kind}" for kind, count in counts[:_KINDS]) + more


def _short(operation: str) -> str:
    return operation.removeprefix("aten.").removesuffix(".default")


def _argument(argument: Any, name: Any) -> str:
    if type(argument) is not list:
        return repr(argument)
    if argument[0] == "r":
        return str(name(argument[1]))
    if argument[0] == "l":
        return f"[{', '.join(_argument(part, name) for part in argument[1:])}]"
    return str(argument[1])
