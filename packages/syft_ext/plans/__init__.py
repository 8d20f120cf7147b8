"""Plans: a function of PyTorch as data, that strangers can read, check, price and run.

    @make_plan
    def training_plan(xs=torch.zeros(64, 784), ys=torch.zeros(64, dtype=torch.int64), lr=0.1,
                      params=List(model.parameters())):
        ...
        return loss, accuracy, *updated

``trace -> bytes -> load -> check -> run``: see :class:`Plan`; :class:`PlanSandbox` runs plans of strangers.
"""

from syft_ext.plans import optim
from syft_ext.plans.decorator import make_plan, trace
from syft_ext.plans.document import MEDIA_TYPE
from syft_ext.plans.ir import Plan
from syft_ext.plans.limits import Cost, Limits
from syft_ext.plans.module import Module, set_remote_model_params
from syft_ext.plans.sandbox import PlanSandbox
from syft_ext.plans.trace_errors import TraceError
from syft_ext.plans.values import ROOT_CLIENT, Int, List

plan = make_plan

__all__ = [
    "MEDIA_TYPE",
    "ROOT_CLIENT",
    "Cost",
    "Int",
    "Limits",
    "List",
    "Module",
    "Plan",
    "PlanSandbox",
    "TraceError",
    "make_plan",
    "optim",
    "plan",
    "set_remote_model_params",
    "trace",
]
