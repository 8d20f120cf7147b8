"""What everyone shares: identity, messages, plans, transports, and the SDK (``import syft_ext as sy``).

    import syft_ext as sy

    domain = sy.login("http://localhost:5001", "ann@example.org", password)
    training = sy.ModelCentricFLClient("localhost:5001").host_federated_training(...)
    sy.FLClient("localhost:5001").new_job("mnist", "1.0").run(data=(x, y))

Names are loaded when they are first used (PEP 562): importing this package is quick, and does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from syft_ext._version import __version__

if TYPE_CHECKING:
    from syft_ext import errors
    from syft_ext.client import credentials
    from syft_ext.client.domain import DomainClient
    from syft_ext.client.known_nodes import forget_node, known_nodes
    from syft_ext.client.network import NetworkClient
    from syft_ext.client.session import connect, login, logout
    from syft_ext.client.trainings import Training
    from syft_ext.errors import GridError, NotLoggedIn
    from syft_ext.federated import FLClient, FLJob, ModelCentricFLClient, Parameters
    from syft_ext.identity import Identity
    from syft_ext.plans import (
        ROOT_CLIENT,
        Int,
        List,
        Module,
        Plan,
        TraceError,
        make_plan,
        set_remote_model_params,
        trace,
    )
    from syft_ext.statistics.analyze import analyze

_HOME = {
    "DomainClient": "syft_ext.client.domain",
    "FLClient": "syft_ext.federated",
    "FLJob": "syft_ext.federated",
    "GridError": "syft_ext.errors",
    "Identity": "syft_ext.identity",
    "Int": "syft_ext.plans",
    "List": "syft_ext.plans",
    "ModelCentricFLClient": "syft_ext.federated",
    "Module": "syft_ext.plans",
    "NetworkClient": "syft_ext.client.network",
    "NotLoggedIn": "syft_ext.errors",
    "Parameters": "syft_ext.federated",
    "Plan": "syft_ext.plans",
    "ROOT_CLIENT": "syft_ext.plans",
    "TraceError": "syft_ext.plans",
    "Training": "syft_ext.client.trainings",
    "analyze": "syft_ext.statistics.analyze",
    "connect": "syft_ext.client.session",
    "credentials": "syft_ext.client",
    "errors": "syft_ext",
    "forget_node": "syft_ext.client.known_nodes",
    "known_nodes": "syft_ext.client.known_nodes",
    "login": "syft_ext.client.session",
    "logout": "syft_ext.client.session",
    "make_plan": "syft_ext.plans",
    "set_remote_model_params": "syft_ext.plans",
    "trace": "syft_ext.plans",
}

_MODULES = frozenset({"credentials", "errors"})

__all__ = [
    "ROOT_CLIENT",
    "DomainClient",
    "FLClient",
    "FLJob",
    "GridError",
    "Identity",
    "Int",
    "List",
    "ModelCentricFLClient",
    "Module",
    "NetworkClient",
    "NotLoggedIn",
    "Parameters",
    "Plan",
    "TraceError",
    "Training",
    "__version__",
    "analyze",
    "connect",
    "credentials",
    "errors",
    "forget_node",
    "known_nodes",
    "login",
    "logout",
    "make_plan",
    "set_remote_model_params",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        value: Any = import_module(f"{_HOME[name]}.{name}")
    else:
        value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
