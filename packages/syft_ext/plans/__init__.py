"""Plans: a function of PyTorch as data, that strangers can read, check, price and run.

    @make_plan
    def training_plan(xs=torch.zeros(64, 784), ys=torch.zeros(64, dtype=torch.int64), lr=0.1,
                      params=List(model.parameters())):
        ...
        return loss, accuracy, *updated

``trace -> bytes -> load -> check -> run``: see :class:`Plan`; :class:`PlanSandbox` runs plans of strangers.

Knows PyTorch and graphs of its operations; must not know nodes, or who wants a plan run.
"""

# A node's server process uses this package without torch (:mod:`syft_ext.plans.sandbox.process`), so what
# needs it is imported when it is asked for (PEP 562).

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_ext.plans.graph.document import MEDIA_TYPE
    from syft_ext.plans.graph.limits import Cost, Limits
    from syft_ext.plans.graph.values import (
        ROOT_CLIENT,
        Batch,
        Buffer,
        Int,
        List,
        Noise,
        Option,
        Param,
        Seed,
        State,
        Target,
    )
    from syft_ext.plans.ir import Plan
    from syft_ext.plans.sandbox.process import SandboxProcess
    from syft_ext.plans.sandbox.sandbox import PlanSandbox
    from syft_ext.plans.tracing import optim
    from syft_ext.plans.tracing.decorator import make_plan, trace
    from syft_ext.plans.tracing.decorator import make_plan as plan
    from syft_ext.plans.tracing.errors import TraceError, TraceWarning
    from syft_ext.plans.tracing.module import Module, set_remote_model_params

__all__ = [
    "MEDIA_TYPE",
    "ROOT_CLIENT",
    "Batch",
    "Buffer",
    "Cost",
    "Int",
    "Limits",
    "List",
    "Module",
    "Noise",
    "Option",
    "Param",
    "Plan",
    "PlanSandbox",
    "SandboxProcess",
    "Seed",
    "State",
    "Target",
    "TraceError",
    "TraceWarning",
    "make_plan",
    "optim",
    "plan",
    "set_remote_model_params",
    "trace",
]

_HOMES = {
    "tracing.decorator": ("make_plan", "trace"),
    "graph.document": ("MEDIA_TYPE",),
    "ir": ("Plan",),
    "graph.limits": ("Cost", "Limits"),
    "tracing.module": ("Module", "set_remote_model_params"),
    "sandbox.sandbox": ("PlanSandbox",),
    "sandbox.process": ("SandboxProcess",),
    "tracing.errors": ("TraceError", "TraceWarning"),
    "graph.values": (
        "ROOT_CLIENT",
        "Batch",
        "Buffer",
        "Int",
        "List",
        "Noise",
        "Option",
        "Param",
        "Seed",
        "State",
        "Target",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    value: Any
    if name == "optim":
        value = import_module("syft_ext.plans.tracing.optim")
    elif name == "plan":
        value = import_module("syft_ext.plans.tracing.decorator").make_plan
    elif name in _HOME:
        value = getattr(import_module(f"syft_ext.plans.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
