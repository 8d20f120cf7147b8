"""Whether what a plan returns as updated parameters are these, and not its optimiser's state.

Both have the same types, and results are told apart by their order. A step moves parameters a little; a state that
is taken for them is somewhere else. So results are compared with the parameters that went in, on the self-test.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from syft_ext.plans.checking import selftest
from syft_ext.plans.graph.document import OutputRole
from syft_ext.plans.graph.roles import UPDATED, output_roles
from syft_ext.plans.ir import Plan
from syft_ext.plans.tracing.errors import TraceError

__all__ = ["check_order"]

_CLEARLY = 4.0
"""How many times nearer to the parameters the other results are, where these are meant."""


def check_order(plan: Plan) -> None:
    """Raise :class:`TraceError` where another division of the results, which their types allow as well, gives
    parameters that are far nearer to those that went in."""
    document = plan.document
    types = [(output.dtype, output.shape) for output in document.outputs]
    taken = [output.role for output in document.outputs]
    others = output_roles(document.inputs, types, [role for role in UPDATED if role != "param"] + ["param"])
    if "param" not in taken or others == taken or "param" not in others:
        return
    inputs = selftest.make_inputs(document, document.selftest)
    params = [value for item, value in zip(document.inputs, inputs, strict=True) if item.role == "param"]
    results = plan.run(inputs)
    if _apart(params, results, others) * _CLEARLY >= _apart(params, results, taken):
        return
    names = [output.name for output, role in zip(document.outputs, others, strict=True) if role == "param"]
    raise TraceError(
        f"results are taken as parameters and state in the order of the arguments, and {names[0]} seems to be an "
        "updated parameter where a state is expected",
        hint="return the parameters first, then the state; or say of each result what it is: "
        'outputs={"params": "param", "velocity": "state"}',
    )


def _apart(
    params: Sequence[torch.Tensor], results: Sequence[torch.Tensor], roles: Sequence[OutputRole]
) -> float:
    updated = [result for result, role in zip(results, roles, strict=True) if role == "param"]
    return sum(
        float((after.double() - before.double()).abs().sum())
        for before, after in zip(params, updated, strict=True)
    )
