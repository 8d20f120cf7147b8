"""Whether a plan is what the terms of a split network take it for: names and roles of what goes in and out. No
torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syft_ext.errors import BadRequest
from syft_ext.messages.split_terms import ACTIVATIONS, GRADIENTS, PREDICTIONS, SplitTerms
from syft_ext.plans.graph.document import Document

__all__ = ["check_plan", "check_shapes", "crossing_names", "tensor_of"]

_ROWS = ("data", "target")


def crossing_names(terms: SplitTerms, party: int) -> tuple[str, str]:
    """Its plan's input and output that cross; "" for one that does not."""
    if party == terms.top:
        return ACTIVATIONS, GRADIENTS if terms.trains else ""
    return GRADIENTS if terms.trains else "", ACTIVATIONS


def tensor_of(name: str) -> str:
    """How a parameter is called in the object that is kept: ``params.0`` is ``0`` there."""
    return name.partition(".")[2] or name


def check_plan(document: Document, terms: SplitTerms, party: int, given: Mapping[str, object]) -> None:
    """Raise :class:`BadRequest` for a plan that is not what the terms take it for.

    Args:
        given: the inputs that this party's objects are given to.
    """
    terms.check()
    comes, goes = crossing_names(terms, party)
    inputs = {each.name: each for each in document.inputs}
    outputs = {each.name: each for each in document.outputs}
    if any(each.role == "noise" for each in document.inputs):
        raise BadRequest(
            "a plan of a split network draws no noise: the terms say what is added", field="split"
        )
    for name, known in ((comes, inputs), (goes, outputs)):
        if name and (name not in known or known[name].dtype != "f32"):
            raise BadRequest(f"the plan has no {name!r} of the type f32, which cross", field="split")
    if comes in given:
        raise BadRequest(f"{comes!r} come from the other party: no object is given to them", field="inputs")
    rows = {each.name for each in document.inputs if each.role in _ROWS} - {comes}
    params = {each.name for each in document.inputs if each.role == "param"}
    if rows - set(given) or set(given) - rows - params:
        raise BadRequest(
            "rows come from objects here, as may parameters; all other inputs are values", field="inputs"
        )
    if not rows and party != terms.top:
        raise BadRequest("the bottom plan takes rows of its owner's", field="inputs")
    if terms.trains and params != {each.name for each in document.outputs if each.role == "param"}:
        raise BadRequest(
            "the plan does not return the parameters that it takes, by their names", field="split"
        )
    if len({tensor_of(name) for name in params}) != len(params):
        raise BadRequest("parameters have different names behind the first point", field="split")
    if party == terms.top:
        wanted = [*terms.opened, *([] if terms.trains else [PREDICTIONS])]
        lacking = [name for name in wanted if name not in outputs or outputs[name].role == "param"]
        if lacking:
            raise BadRequest(f"the top plan has no result {lacking[0]!r} to keep or open", field="split")


def check_shapes(terms: SplitTerms, party: int, outputs: Mapping[str, tuple[str, Sequence[int]]]) -> None:
    """Raise :class:`BadRequest` where what crosses, or is opened, is not of the shape that the terms say.

    Args:
        outputs: name → type and shape, for a batch.
    """
    goes = crossing_names(terms, party)[1]
    if goes and list(outputs[goes][1]) != [terms.batch, terms.width]:
        raise BadRequest(f"{goes} are not f32[{terms.batch}, {terms.width}] for a batch, as the terms say")
    if party != terms.top:
        return
    for name in terms.opened:
        dtype, shape = outputs[name]
        if dtype != "f32" or (shape and (terms.trains or shape[0] != terms.batch)):
            raise BadRequest(
                f"{name} is not opened: of a training single numbers are (f32), of a prediction rows as well"
            )
    if not terms.trains:
        dtype, shape = outputs[PREDICTIONS]
        if dtype != "f32" or not shape or shape[0] != terms.batch:
            raise BadRequest(f"{PREDICTIONS} have one row of type f32 for each row that goes in")
