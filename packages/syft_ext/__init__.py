"""What everyone shares: identity, messages, plans, transports, and the SDK (``import syft_ext as sy``).

    import syft_ext as sy

    domain = sy.login("http://localhost:5001", "ann@example.org", password)
    training = sy.ModelCentricFLClient("localhost:5001").host_federated_training(...)
    sy.FLClient("localhost:5001").new_job("mnist", "1.0").run(data=(x, y))

Names are loaded when they are first used (PEP 562): importing this package is quick, and does not load torch.

It knows torch where tensors are really needed; it must not know a server library (Flask, gevent, SQLAlchemy).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from syft_ext._version import __version__
from syft_ext.pointers.install import install as _install

if TYPE_CHECKING:
    from syft_ext import errors
    from syft_ext.client.trainings import Training
    from syft_ext.errors import GridError, NotLoggedIn
    from syft_ext.federated import FLClient, FLJob, ModelCentricFLClient, Parameters
    from syft_ext.identity import Identity
    from syft_ext.nodes.domain import DomainClient
    from syft_ext.nodes.login import connect, login, logout
    from syft_ext.nodes.network import NetworkClient
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
    from syft_ext.pointers.containers import RemoteDict, RemoteList, RemoteTable
    from syft_ext.pointers.location import Location
    from syft_ext.pointers.optims import Optims
    from syft_ext.pointers.remote_plans import remote
    from syft_ext.pointers.sending import send
    from syft_ext.pointers.tensor import RemoteTensor
    from syft_ext.profile import credentials
    from syft_ext.profile.known_nodes import forget_node, known_nodes
    from syft_ext.statistics.analyze import analyze

_HOME = {
    "DomainClient": "syft_ext.nodes.domain",
    "FLClient": "syft_ext.federated",
    "FLJob": "syft_ext.federated",
    "GridError": "syft_ext.errors",
    "Identity": "syft_ext.identity",
    "Int": "syft_ext.plans",
    "List": "syft_ext.plans",
    "ModelCentricFLClient": "syft_ext.federated",
    "Location": "syft_ext.pointers.location",
    "Module": "syft_ext.plans",
    "NetworkClient": "syft_ext.nodes.network",
    "NotLoggedIn": "syft_ext.errors",
    "Optims": "syft_ext.pointers.optims",
    "Parameters": "syft_ext.federated",
    "Plan": "syft_ext.plans",
    "ROOT_CLIENT": "syft_ext.plans",
    "RemoteDict": "syft_ext.pointers.containers",
    "RemoteList": "syft_ext.pointers.containers",
    "RemoteTable": "syft_ext.pointers.containers",
    "RemoteTensor": "syft_ext.pointers.tensor",
    "TraceError": "syft_ext.plans",
    "Training": "syft_ext.client.trainings",
    "analyze": "syft_ext.statistics.analyze",
    "connect": "syft_ext.nodes.login",
    "credentials": "syft_ext.profile",
    "errors": "syft_ext",
    "forget_node": "syft_ext.profile.known_nodes",
    "known_nodes": "syft_ext.profile.known_nodes",
    "login": "syft_ext.nodes.login",
    "logout": "syft_ext.nodes.login",
    "make_plan": "syft_ext.plans",
    "remote": "syft_ext.pointers.remote_plans",
    "send": "syft_ext.pointers.sending",
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
    "Location",
    "ModelCentricFLClient",
    "Module",
    "NetworkClient",
    "NotLoggedIn",
    "Optims",
    "Parameters",
    "Plan",
    "RemoteDict",
    "RemoteList",
    "RemoteTable",
    "RemoteTensor",
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
    "remote",
    "send",
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
    _install()  # what was imported may have loaded torch
    return value


def __dir__() -> list[str]:
    return list(__all__)


_install()  # tensor.send(...), module.send(...): where torch is loaded already
