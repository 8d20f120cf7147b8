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
    from syft_ext import dp, errors, vertical
    from syft_ext.client.trainings import Training
    from syft_ext.confidential.policy import ConfidentialPolicy
    from syft_ext.confidential.trust import Trust
    from syft_ext.encrypted.context import EncryptionKeys, PublicContext
    from syft_ext.encrypted.values import BFVVector, CKKSTensor, CKKSVector
    from syft_ext.errors import GridError, NotLoggedIn
    from syft_ext.federated import FLClient, FLJob, ModelCentricFLClient, Parameters
    from syft_ext.federated.encrypted_hosting import EncryptedSums
    from syft_ext.federated.inputs import declare_inputs
    from syft_ext.federated.joining import join
    from syft_ext.identity import Identity
    from syft_ext.messages.training_inputs import ArrayInputs, CategoryColumn, NumberColumn, TableInputs
    from syft_ext.messages.training_reviews import WorkerBounds
    from syft_ext.mpc.local_session import LocalSession
    from syft_ext.mpc.shares import ReplicatedSharedTensor, ShareTensor
    from syft_ext.nodes.domain import DomainClient
    from syft_ext.nodes.intersection import TableSide, intersect
    from syft_ext.nodes.login import connect, login, logout
    from syft_ext.nodes.mpc_tensor import MPCTensor
    from syft_ext.nodes.network import NetworkClient
    from syft_ext.nodes.shared_session import Session, SessionManager
    from syft_ext.plans import (
        ROOT_CLIENT,
        Batch,
        Buffer,
        Int,
        List,
        Module,
        Noise,
        Option,
        Param,
        Plan,
        Seed,
        State,
        Target,
        TraceError,
        TraceWarning,
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
    **dict.fromkeys(
        ("Batch", "Buffer", "Noise", "Option", "Param", "Seed", "State", "Target", "TraceWarning"),
        "syft_ext.plans",
    ),
    "ArrayInputs": "syft_ext.messages.training_inputs",
    "BFVVector": "syft_ext.encrypted.values",
    "CKKSTensor": "syft_ext.encrypted.values",
    "CKKSVector": "syft_ext.encrypted.values",
    "CategoryColumn": "syft_ext.messages.training_inputs",
    "ConfidentialPolicy": "syft_ext.confidential.policy",
    "DomainClient": "syft_ext.nodes.domain",
    "EncryptedSums": "syft_ext.federated.encrypted_hosting",
    "EncryptionKeys": "syft_ext.encrypted.context",
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
    "NumberColumn": "syft_ext.messages.training_inputs",
    "Optims": "syft_ext.pointers.optims",
    "Parameters": "syft_ext.federated",
    "Plan": "syft_ext.plans",
    "PublicContext": "syft_ext.encrypted.context",
    "ROOT_CLIENT": "syft_ext.plans",
    "RemoteDict": "syft_ext.pointers.containers",
    "RemoteList": "syft_ext.pointers.containers",
    "RemoteTable": "syft_ext.pointers.containers",
    "RemoteTensor": "syft_ext.pointers.tensor",
    "LocalSession": "syft_ext.mpc.local_session",
    "MPCTensor": "syft_ext.nodes.mpc_tensor",
    "ReplicatedSharedTensor": "syft_ext.mpc.shares",
    "ShareTensor": "syft_ext.mpc.shares",
    "Session": "syft_ext.nodes.shared_session",
    "SessionManager": "syft_ext.nodes.shared_session",
    "TableInputs": "syft_ext.messages.training_inputs",
    "TableSide": "syft_ext.nodes.intersection",
    "TraceError": "syft_ext.plans",
    "Training": "syft_ext.client.trainings",
    "Trust": "syft_ext.confidential.trust",
    "WorkerBounds": "syft_ext.messages.training_reviews",
    "analyze": "syft_ext.statistics.analyze",
    "connect": "syft_ext.nodes.login",
    "credentials": "syft_ext.profile",
    "declare_inputs": "syft_ext.federated.inputs",
    "dp": "syft_ext",
    "errors": "syft_ext",
    "intersect": "syft_ext.nodes.intersection",
    "join": "syft_ext.federated.joining",
    "forget_node": "syft_ext.profile.known_nodes",
    "known_nodes": "syft_ext.profile.known_nodes",
    "login": "syft_ext.nodes.login",
    "logout": "syft_ext.nodes.login",
    "make_plan": "syft_ext.plans",
    "remote": "syft_ext.pointers.remote_plans",
    "send": "syft_ext.pointers.sending",
    "set_remote_model_params": "syft_ext.plans",
    "trace": "syft_ext.plans",
    "vertical": "syft_ext",
}

_MODULES = frozenset({"credentials", "dp", "errors", "vertical"})

__all__ = [
    "ROOT_CLIENT",
    "ArrayInputs",
    "BFVVector",
    "Batch",
    "Buffer",
    "CKKSTensor",
    "CKKSVector",
    "CategoryColumn",
    "ConfidentialPolicy",
    "DomainClient",
    "EncryptedSums",
    "EncryptionKeys",
    "FLClient",
    "FLJob",
    "GridError",
    "Identity",
    "Int",
    "List",
    "LocalSession",
    "Location",
    "MPCTensor",
    "ModelCentricFLClient",
    "Module",
    "NetworkClient",
    "Noise",
    "NotLoggedIn",
    "NumberColumn",
    "Optims",
    "Option",
    "Param",
    "Parameters",
    "Plan",
    "PublicContext",
    "RemoteDict",
    "RemoteList",
    "RemoteTable",
    "RemoteTensor",
    "ReplicatedSharedTensor",
    "Seed",
    "Session",
    "SessionManager",
    "ShareTensor",
    "State",
    "TableInputs",
    "TableSide",
    "Target",
    "TraceError",
    "TraceWarning",
    "Training",
    "Trust",
    "WorkerBounds",
    "__version__",
    "analyze",
    "connect",
    "credentials",
    "declare_inputs",
    "dp",
    "errors",
    "forget_node",
    "intersect",
    "join",
    "known_nodes",
    "login",
    "logout",
    "make_plan",
    "remote",
    "send",
    "set_remote_model_params",
    "trace",
    "vertical",
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
