"""Whether the plans, the model and the configuration of a training fit together.

Proved when a training is hosted, by whoever hosts it and by the Domain alike, in the same words: what does not fit
would only fail at participants, each for themselves, while the training waits for reports that cannot come. No
torch: a node's server proves it, too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from syft_ext.errors import InvalidConfig, InvalidPlan, InvalidTensors
from syft_ext.plans.graph.document import Document, Input, Output
from syft_ext.plans.graph.expr import format_expr
from syft_ext.tensors import TensorSpec, kind_of_dtype

__all__ = [
    "SETTINGS",
    "batch_bounds",
    "check_configuration",
    "check_model",
    "check_names",
    "code_of",
    "placed",
    "takes_buffers",
    "training_document",
]

SETTINGS = {
    "batch_size": "rows of a step",
    "custom": "values for a training of one's own, in a mapping",
    "drop_last": "whether rows that do not fill a batch are left out",
    "epochs": "passes over the rows",
    "max_updates": "steps of a cycle at most",
    "shuffle": "whether the rows are taken in another order each time",
}
"""What every participant's local training knows, beside the options of the plan."""
_NAMES = ("name", "version")
_COUNTS, _SWITCHES = ("batch_size", "epochs", "max_updates"), ("drop_last", "shuffle")
_SET_BY_CONFIG = ("hyper", "count")


def code_of(dtype: str) -> str:
    """The name that tensor files have for a plan's dtype: "F32" for "f32"."""
    return {"b": "BOOL"}.get(dtype, dtype.upper())


def training_document(plans: Mapping[str, Document]) -> tuple[str, Document] | None:
    """The plan that participants train with, and its name: ``training_plan``, or the only one that returns
    parameters. None where there are several, or none: then whoever takes part calls them in code of their own.

    Raises :class:`InvalidPlan` for a ``training_plan`` that returns no parameters.
    """
    named = plans.get("training_plan")
    found = {name: plan for name, plan in plans.items() if _with_role(plan.outputs, "param")}
    if named is not None:
        if _with_role(named.inputs, "param") and "training_plan" not in found:
            raise _no_parameters_come_back("training_plan", named)
        return ("training_plan", named) if "training_plan" in found else None
    return next(iter(found.items())) if len(found) == 1 else None


def _no_parameters_come_back(name: str, plan: Document) -> InvalidPlan:
    taken = _with_role(plan.inputs, "param")
    types = [(item.dtype, item.shape) for item in taken]
    back = [output for output in plan.outputs if (output.dtype, output.shape) in types]
    return _misfit(
        f"plan {name!r} takes {len(taken)} parameters and returns none that are updated: "
        f"{len(back)} of its results have the type of one ({', '.join(o.name for o in back[:5]) or 'none'})",
        "return (loss, *updated), every parameter with its dtype and shape, in the order in which they came",
        plan=name,
    )


def _misfit(what: str, instead: str, **facts: Any) -> InvalidPlan:
    return InvalidPlan(f"{what}. Instead: {instead}", **facts)


def _with_role(values: Sequence[Any], role: str) -> list[Any]:
    return [value for value in values if value.role == role]


# -- the configuration ----------------------------------------------------------------------------------------


def check_configuration(plans: Mapping[str, Document], config: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidConfig` for a name in ``client_config`` that nothing reads, a value that cannot be what
    its name says, batches that the training plan does not take, or an option of it that nobody gives."""
    if not plans:
        return  # nothing of ours trains: what participants' own code reads is theirs
    check_names(plans, config)
    options = _options(plans)
    for name in _COUNTS:
        _check_count(name, config.get(name))
    for name in _SWITCHES:
        if not isinstance(config.get(name, False), bool):
            raise _refuse(name, f"{config[name]!r} is not true or false")
    if not isinstance(config.get("custom", {}), Mapping):
        raise _refuse("custom", "a mapping is needed")
    for name, item in options.items():
        if name in config and name not in _COUNTS:
            _check_option(item, config[name])
    training = training_document(plans)
    if training is not None:
        _check_batches(*training, config)
        _check_given(*training, config)


def _options(plans: Mapping[str, Document]) -> dict[str, Input]:
    return {item.name: item for plan in plans.values() for item in plan.inputs if item.role in _SET_BY_CONFIG}


def check_names(plans: Mapping[str, Document], config: Mapping[str, Any]) -> None:
    """Raise :class:`InvalidConfig` for a name in ``client_config`` that nothing reads."""
    options = _options(plans)
    known = {*_NAMES, *SETTINGS, *options}
    for name in config:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known - {*_NAMES}, n=1, cutoff=0.5)
        owner = next(
            (f"the plan takes it as {item.role}, and not as an option (declare it: sy.Option)"
             for plan in plans.values() for item in plan.inputs if item.name.split(".")[0] == name),
            "neither the plan nor the local training knows it",
        )  # fmt: skip
        hint = f"did you mean {near[0]!r}? " if near else ""
        takes = ", ".join(sorted(options)) or "none"
        raise _refuse(
            name,
            f"{owner}. {hint}Options of the plan: {takes}; of the local training: {', '.join(SETTINGS)}. "
            'What code of your own reads goes into "custom": {…}',
        )


def _check_count(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or value < 0:
        raise _refuse(name, f"{value!r} is no whole number from 0 on")


def _check_option(item: Input, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(item.name, f"{value!r} is no number")
    if any(size != 1 for size in item.shape):
        raise _refuse(item.name, f"the plan takes {_typed(item)} there, which is no single number")
    if kind_of_dtype(code_of(item.dtype)) == "counter" and value != value // 1:
        raise _refuse(item.name, f"the plan takes whole numbers ({item.dtype}) there, not {value!r}")


def batch_bounds(plan: Document) -> tuple[int, int] | None:
    """How many rows the plan takes in one step, at least and at most; None where no input has rows."""
    for item in plan.inputs:
        if item.role == "data" and item.shape:
            first = item.shape[0]
            if type(first) is int:
                return first, first
            if first[0] == "sym":
                return plan.symbols[first[1]]
    return None


def _check_batches(name: str, plan: Document, config: Mapping[str, Any]) -> None:
    bounds = batch_bounds(plan)
    if bounds is None:
        return
    low, high = bounds
    size, what = int(config.get("batch_size") or 0), f"plan {name!r} takes"
    rows = f"exactly {low} rows" if low == high else f"{low} to {high} rows"
    if size and not low <= size <= high:
        raise _refuse("batch_size", f"{what} {rows} in a step, not {size}")
    # A plan of one fixed size has always left the rest out; one of a range says it is to be.
    if low > 1 and config.get("drop_last", low == high) is not True:
        raise _refuse(
            "drop_last",
            f"{what} {rows} in a step, and the last batch of a pass can be shorter: "
            'say "drop_last": true, and its rows are left out of that pass, or let the plan take any number',
        )
    if low != high and low > 1 and not size:
        raise _refuse("batch_size", f"{what} {rows} in a step: say how many")


def _check_given(name: str, plan: Document, config: Mapping[str, Any]) -> None:
    """Every input has somebody who gives it: data, model, configuration, or the plan itself."""
    for role in ("data", "target"):
        found = _with_role(plan.inputs, role)
        if len(found) > 1:
            return  # the default training gives one of each; code of one's own may give all of them
    for item in plan.inputs:
        if item.role in _SET_BY_CONFIG and item.default is None and item.name not in config:
            if item.name == "batch_size":
                continue  # the local training counts the rows
            raise _refuse(item.name, f"plan {name!r} needs it and has no default for it")


def _refuse(field: str, reason: str) -> InvalidConfig:
    return InvalidConfig(
        f"client_config: {field}: {reason}"[:900] + f" - at `$.{field[:80]}`", field=field[:80]
    )


# -- the model ------------------------------------------------------------------------------------------------


def takes_buffers(plan: Document) -> int:
    """How many buffers (running statistics, counters) the plan takes beside the parameters."""
    return len(_with_role(plan.inputs, "buffer"))


def placed(plan: Document, count: int) -> list[int]:
    """The inputs of the plan that a model of ``count`` tensors goes into, in the model's order: its parameters, or
    parameters and then buffers. Raises :class:`InvalidPlan` where neither has so many."""
    params = [index for index, item in enumerate(plan.inputs) if item.role == "param"]
    buffers = [index for index, item in enumerate(plan.inputs) if item.role == "buffer"]
    for places in (params, params + buffers):
        if len(places) == count:
            return places
    raise InvalidPlan(
        f"the plan takes {len(params)} parameters and {len(buffers)} buffers, the model has {count} tensors"
    )


def check_model(plans: Mapping[str, Document], specs: Sequence[TensorSpec]) -> None:
    """Raise :class:`InvalidPlan` or :class:`InvalidTensors` unless the training plan takes and returns a model of
    these tensors: as many, in this order, of these types, as what the model's file declares them."""
    training = training_document(plans)
    if training is None:
        return
    name, plan = training
    try:
        places = placed(plan, len(specs))
    except InvalidPlan as error:
        raise _misfit(
            f"plan {name!r}: {error.detail} ({_listed(specs)})",
            "host the module that the plan was traced with, or the tensors that it takes, in its order",
            plan=name,
        ) from error
    _check_places(name, plan, [plan.inputs[place] for place in places], specs)
    _check_unplaced(name, plan, places)
    _check_returned(name, plan)


def _check_places(name: str, plan: Document, items: Sequence[Input], specs: Sequence[TensorSpec]) -> None:
    for number, (item, spec) in enumerate(zip(items, specs, strict=True)):
        if (code_of(item.dtype), list(item.shape)) != (spec.dtype, list(spec.shape)):
            same = sorted((code_of(i.dtype), str(i.shape)) for i in items) == sorted(
                (s.dtype, str(list(s.shape))) for s in specs
            )
            raise _misfit(
                f"plan {name!r}: {item.name} is {_typed(item)}, and tensor {number + 1} of the model, "
                f"{spec.name!r}, is {spec.dtype.lower()}{list(spec.shape)}",
                "the same tensors in the plan's order"
                if same
                else "host the model that the plan was traced with",
                tensor=spec.name,
                input=item.name,
            )
        if item.role == "buffer" and spec.kind == "parameter":
            raise InvalidTensors(
                f"tensor {spec.name!r}: the plan takes it as a buffer, and the model's file declares it a "
                "parameter. Instead: say what it is (statistic, variance, counter or constant; the SDK does)",
                tensor=spec.name,
            )
    _check_order_of_names(name, plan, items, specs)


def _check_order_of_names(
    name: str, plan: Document, items: Sequence[Input], specs: Sequence[TensorSpec]
) -> None:
    """Where the plan names its tensors as the model does (a dictionary went in), each meets its own."""
    keys = {
        f"{argument.name}.{key}": key
        for argument in plan.arguments
        if type(argument.tree) is list and argument.tree[0] == "d"
        for key, _ in argument.tree[1:]
    }
    if not all(item.name in keys for item in items) or {keys[item.name] for item in items} != {
        spec.name for spec in specs
    }:
        return
    for item, spec in zip(items, specs, strict=True):
        if keys[item.name] != spec.name:
            raise _misfit(
                f"plan {name!r}: {item.name} stands where the model has {spec.name!r}: another order",
                "host the state dict in the order in which the plan was traced",
                tensor=spec.name,
                input=item.name,
            )


def _check_unplaced(name: str, plan: Document, places: Sequence[int]) -> None:
    for index, item in enumerate(plan.inputs):
        if item.role in ("param", "buffer") and index not in places and item.default is None:
            raise _misfit(
                f"plan {name!r} takes {item.name} as a {item.role}, and it is not among the model's tensors",
                "host the model with its buffers: a module, or its state dict in the plan's order",
                input=item.name,
            )


def _check_returned(name: str, plan: Document) -> None:
    for role in ("param", "buffer", "state"):
        taken, back = _with_role(plan.inputs, role), _with_role(plan.outputs, role)
        if not back and role != "param":
            continue
        if len(taken) != len(back):
            raise _misfit(
                f"plan {name!r} takes {len(taken)} inputs as {role} and returns {len(back)}",
                f"return every {role} once, in the order in which they came",
            )
        for item, output in zip(taken, back, strict=True):
            if (item.dtype, item.shape) != (output.dtype, output.shape):
                raise InvalidPlan(
                    f"plan {name!r} takes {item.name} as {_typed(item)} and returns it as {_typed(output)} "
                    f"({output.name})",
                    input=item.name,
                )
    for output in plan.outputs:
        if output.role == "result" and output.name in ("loss", "accuracy", "acc"):
            raise _misfit(
                f"plan {name!r} returns {output.name} as {_typed(output)}: of a step a single number is told",
                f"{output.name}.mean(), in front of the parameters",
                output=output.name,
            )


def _typed(value: Input | Output) -> str:
    return f"{value.dtype}[{', '.join(format_expr(size) for size in value.shape)}]"


def _listed(specs: Sequence[TensorSpec]) -> str:
    text = ", ".join(spec.name for spec in specs[:6])
    return text + (" …" if len(specs) > 6 else "")
