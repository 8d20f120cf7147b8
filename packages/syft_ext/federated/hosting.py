"""The data scientist's side of model-centric federated learning: ``ModelCentricFLClient`` (paper, 4.1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from syft_ext.client.metrics import Metrics
from syft_ext.client.trainings import Training
from syft_ext.client.transfer import upload
from syft_ext.errors import GridError, InvalidConfig, InvalidPlan
from syft_ext.messages.federated import CancelProcess, HostTraining, ProcessView, UploadModel
from syft_ext.nodes.domain import DomainClient
from syft_ext.nodes.login import join
from syft_ext.plans.training.parameters import Parameters, named_parameters
from syft_ext.profile import credentials
from syft_ext.profile.home import user_identity
from syft_ext.tensors import iter_tensors
from syft_ext.transport import Transport
from syft_ext.transport.address import NodeAddress

if TYPE_CHECKING:
    from syft_ext.plans import Plan

__all__ = ["ModelCentricFLClient"]


class ModelCentricFLClient:
    """Hosts trainings at a Domain and fetches what they learned.

    It takes no credentials: it acts as the user who logged in to that address, with ``sy.login`` earlier in
    this process or with ``grid login``.

    Args:
        address: ``host:port``, ``http(s)://host:port`` or ``ws(s)://host:port``.
        secure: TLS, where ``address`` names no scheme.
        ca_file: a private certificate authority, if the Domain uses one.
        transport: how to reach the Domain, if not by ``address`` (in-process, for instance).
    """

    def __init__(
        self,
        address: str,
        secure: bool = False,
        *,
        ca_file: str | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.address = NodeAddress.parse(address, secure=secure)
        self._ca_file, self._transport = ca_file, transport
        self._client: DomainClient | None = None

    def connect(self) -> None:
        """Reach the Domain and check its key. The other methods do it too when it was not done."""
        connection, metadata = join(
            self.address, user_identity(), ca_file=self._ca_file, transport=self._transport
        )
        self._client = DomainClient(connection, metadata, None)

    @property
    def domain(self) -> DomainClient:
        """The Domain, as the logged-in user. Raises :class:`~syft_ext.errors.NotLoggedIn`."""
        session = credentials.require(self.address)
        if self._client is None:
            self.connect()
        assert self._client is not None
        self._client.session = session
        self._client.connection.token = session.token
        return self._client

    def host_federated_training(
        self,
        model: Any,
        client_plans: Mapping[str, Plan | bytes],
        *,
        client_config: Mapping[str, Any],
        server_config: Mapping[str, Any],
        client_protocols: Mapping[str, Plan | bytes] | None = None,
        server_averaging_plan: Plan | bytes | None = None,
    ) -> Training:
        """Register a training; workers can take part from the moment this returns.

        Args:
            model: what the first cycle starts from: a module (its parameters, without buffers), a list of
                tensors, or a state dict.
            client_plans: name → plan that the workers run.
            client_config: told to the workers; ``name`` and ``version`` name the training.
            server_config: how the Domain runs it (paper, listing 6). ``aggregator`` is the strategy that makes the
                next model of the reports: "mean", "fedavgm", "fedadam" or one that the Domain has installed, by
                name or as ``{"name": "fedadam", "parameters": {"learning_rate": 0.01}}``.
            client_protocols: name → protocol, handed to the workers as it is.
            server_averaging_plan: how reports are averaged; None: the strategy of ``server_config`` does it.

        Raises:
            NotLoggedIn: with how to log in.
            Conflict: a training of that name and version exists.
            InvalidConfig: a field of a configuration cannot be honoured; the error names it.
        """
        domain = self.domain
        for field in ("name", "version"):
            if not isinstance(client_config.get(field), str):
                raise InvalidConfig(f"client_config: {field} is required, as text", field=field)
        pieces = list(iter_tensors(named_parameters(model)))
        process: ProcessView = domain.call(
            HostTraining(
                name=client_config["name"],
                version=client_config["version"],
                client_plans={name: _bytes(plan) for name, plan in client_plans.items()},
                client_protocols={name: _bytes(plan) for name, plan in (client_protocols or {}).items()},
                averaging_plan=None if server_averaging_plan is None else _bytes(server_averaging_plan),
                client_config=dict(client_config),
                server_config=dict(server_config),
            ),
            timeout=120.0,
        )
        try:
            message = UploadModel(process_id=process.process_id)
            process = upload(domain, message, pieces, f"model {process.name}")
        except BaseException:
            # Without a model it would stand in the list for ever, and block its name.
            self._abandon(process)
            raise
        return Training(domain, process)

    def _abandon(self, process: ProcessView) -> None:
        try:
            message = CancelProcess(process_id=process.process_id, reason="the model did not arrive")
            self.domain.call(message, timeout=10.0)
        except GridError:
            pass  # the error that brought us here says more

    def retrieve_model(self, name: str, version: str, checkpoint: int | str | None = None) -> Parameters:
        """A checkpoint of the global model: its parameters in order, as a list of tensors.

        ``checkpoint`` is a number (1 is the model as hosted) or "latest", which is the default.
        ``retrieve_model(…).load_into(module)`` copies them into a module.
        """
        return self.domain.trainings.model(name, version, "latest" if checkpoint is None else checkpoint)

    def training(self, name: str, version: str) -> Training:
        """The training of that name and version."""
        return self.domain.trainings.find(name, version)

    def watch(self, name: str, version: str) -> Metrics:
        """Follow a training until it ends: see :meth:`Training.watch`."""
        return self.training(name, version).watch()

    def close(self) -> None:
        """Release the sockets."""
        if self._client is not None:
            self._client.close()

    def __repr__(self) -> str:
        return f"<ModelCentricFLClient at {self.address}>"


def _bytes(plan: Plan | bytes) -> bytes:
    if isinstance(plan, bytes | bytearray | memoryview):
        return bytes(plan)
    if not hasattr(plan, "dumps"):
        raise InvalidPlan(f"not a plan: {type(plan).__name__} (decorate the function with @make_plan)")
    return bytes(plan.dumps())
