"""The data scientist's side of model-centric federated learning: ``ModelCentricFLClient`` (paper, 4.1.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syft_ext.client.metrics import Metrics
from syft_ext.client.trainings import Training
from syft_ext.client.transfer import upload
from syft_ext.client.upload import patiently
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.display.progress import track
from syft_ext.errors import Conflict, DeadlineExceeded, GridError, InvalidConfig, InvalidPlan, Unavailable
from syft_ext.federated.encrypted_hosting import EncryptedSums
from syft_ext.federated.sealed.hosting import confidential_config
from syft_ext.messages.envelope import digest_of
from syft_ext.messages.federated import CancelProcess, HostTraining, ProcessView, UploadModel
from syft_ext.messages.participation import SendModelPart
from syft_ext.messages.policy import GetPolicy
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.nodes.domain import DomainClient
from syft_ext.nodes.login import join
from syft_ext.plans.training.hosted_model import fixed_rows, hosted_model
from syft_ext.plans.training.parameters import Parameters
from syft_ext.profile import credentials
from syft_ext.profile.home import user_identity
from syft_ext.tensors import TensorKind, read_layout
from syft_ext.transport import Transport
from syft_ext.transport.address import NodeAddress
from syft_ext.transport.part_sending import WORTH_PARTS, send_in_parts

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
            self.address, user_identity(), ca_file=self._authority(), transport=self._transport
        )
        self._client = DomainClient(connection, metadata, None)

    def _authority(self) -> str | None:
        session = credentials.load(str(self.address))
        return self._ca_file or (session.ca_file if session else "") or None

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
        tensor_kinds: Mapping[str, TensorKind] | None = None,
        inputs: TrainingInputs | None = None,
        confidential: Signed[ConfidentialPolicy] | ConfidentialPolicy | bytes | None = None,
        encrypted: EncryptedSums | None = None,
        reason: str = "",
        wait: bool = True,
        timeout: float | None = 3600.0,
        say: Callable[[str], object] = print,
    ) -> Training:
        """Register a training; workers can take part from the moment this returns.

        Where the Domain's reviewers have to approve it first, one line says so, and this goes on by itself when
        they have. Whoever interrupts it meanwhile leaves the training to wait.

        Args:
            model: what the first cycle starts from: a module (its parameters; and its buffers, where the training
                plan takes them), a list of tensors, or a state dict.
            client_plans: name → plan that the workers run.
            client_config: told to the workers; ``name`` and ``version`` name the training; options of the plan by
                name; of the local training: ``batch_size``, ``epochs``, ``max_updates``, ``shuffle``,
                ``drop_last``. What code of your own reads goes into ``custom``, a mapping.
            server_config: how the Domain runs it (paper, listing 6). ``aggregator`` is the strategy that makes the
                next model of the reports: "mean", "fedavgm", "fedadam" or one that the Domain has installed, by
                name or as ``{"name": "fedadam", "parameters": {"learning_rate": 0.01}}``.
            client_protocols: name → protocol, handed to the workers as it is.
            server_averaging_plan: how reports are averaged; None: the strategy of ``server_config`` does it.
            tensor_kinds: name → what that tensor of the model is (:data:`~syft_ext.tensors.TensorKind`), where its
                module, the plan's roles and its dtype do not say it: only parameters are clipped, get noise and go
                through a server optimiser.
            inputs: what it takes of its participants' data, as :func:`sy.declare_inputs` makes it: columns
                by name, classes by word, units, ranges, scaling. Everybody's data are matched against it
                before they take part; without it, Workers with named columns take no part.
            confidential: the terms of a confidential training, signed by their scope's owner
                (``grid policy``), or as bytes; a :class:`~syft_ext.confidential.policy.ConfidentialPolicy` whose
                owner is your own key is signed here. Participants send sealed reports, which nobody at the Domain
                can open.
            encrypted: reports are encrypted under your key, of which you open the sum in each cycle
                (:meth:`Training.open_sums`); the Domain sees no single one.
            reason: what whoever reviews it is told.
            wait: for their word; False: return at once, :meth:`Training.wait` waits later.
            timeout: seconds that are waited for their word; None: as long as it takes. The training goes on
                waiting after that, and begins by itself when they approve it.
            say: is given the line that says what is waited for; one where kinds or roles were taken from names, or
                rows are left out; and one where the site's policy keeps running statistics as they are.

        Raises:
            Forbidden: it was denied, or withdrawn; with the reason.
            DeadlineExceeded: nobody decided in time.
            NotLoggedIn: with how to log in.
            Conflict: a training of that name and version exists.
            InvalidConfig: a field of a configuration cannot be honoured; the error names it.
            InvalidPlan: the training plan does not take the model, or its first step, on made rows, fails or is
                not finite.
        """
        domain = self.domain
        for field in ("name", "version"):
            if not isinstance(client_config.get(field), str):
                raise InvalidConfig(f"client_config: {field} is required, as text", field=field)
        if confidential is not None:
            server_config = {**server_config, **confidential_config(confidential, user_identity())}
        protocols = {name: _bytes(plan) for name, plan in (client_protocols or {}).items()}
        if encrypted is not None:
            server_config = encrypted.config(server_config)
            protocols |= encrypted.protocols()
        plans = {name: _plan(plan) for name, plan in client_plans.items()}
        pieces = hosted_model(model, plans, client_config, tensor_kinds, say)
        for name, plan in plans.items():
            _tell_guesses(name, plan, say)
        _tell_rows_left_out(plans, client_config, say)
        process: ProcessView = domain.call(
            HostTraining(
                name=client_config["name"],
                version=client_config["version"],
                client_plans={name: _bytes(plan) for name, plan in plans.items()},
                client_protocols=protocols,
                averaging_plan=None if server_averaging_plan is None else _bytes(server_averaging_plan),
                client_config=dict(client_config),
                server_config=dict(server_config),
                inputs=inputs,
            ),
            timeout=120.0,
        )
        try:
            process = _upload_model(domain, process, pieces, reason)
        except BaseException:
            # Without a model it would stand in the list for ever, and block its name.
            self._abandon(process)
            raise
        self._say_what_stays(pieces[0], say)
        training = Training(domain, process)
        return training.wait(timeout, say=say) if wait else training

    def _say_what_stays(self, header: memoryview, say: Callable[[str], object]) -> None:
        """Tell whoever hosts a model with running statistics at a site that clips that they will not move."""
        kept = [s.name for s in read_layout(header).specs if s.kind in ("statistic", "variance", "counter")]
        if kept and self.domain.call(GetPolicy()).policy.clip_norm is not None:
            more = f" and {len(kept) - 2} more" if len(kept) > 2 else ""
            say(
                f"the site's policy clips what is learned: {', '.join(kept[:2])}{more} stay as you host them: "
                "they are made of rows and have no bound; norms without running statistics (GroupNorm) need none"
            )

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


def _upload_model(
    domain: DomainClient, process: ProcessView, pieces: Sequence[bytes | memoryview], reason: str
) -> ProcessView:
    """Send the model; in parts where the line does not hold for all of it."""
    message, label = UploadModel(process_id=process.process_id, reason=reason), f"model {process.name}"
    try:
        uploaded: ProcessView = upload(domain, message, pieces, label)
        return uploaded
    except (Unavailable, DeadlineExceeded):
        size, digest = digest_of(pieces)
        if size < WORTH_PARTS:
            raise

    def part_at(offset: int) -> SendModelPart:
        return SendModelPart(process_id=process.process_id, size=size, digest=digest.hex(), offset=offset)

    try:
        with track(label, size, unit="B") as advance:
            send_in_parts(domain.call, part_at, pieces, advance)
        message.digest = digest.hex()
        arrived: ProcessView = patiently(lambda: domain.call(message, timeout=600.0))
        return arrived
    except Conflict as conflict:
        if conflict.extra.get("reason") != "has-model":
            raise
        return Training(domain, process).refresh().view  # the first answer was lost on the way


def _tell_guesses(name: str, plan: Plan | bytes, say: Callable[[str], object]) -> None:
    guessed = {} if isinstance(plan, bytes) else plan.guessed
    if guessed:
        roles = ", ".join(f"{argument} is {role}" for argument, role in guessed.items())
        say(
            f"{name}: roles guessed from names: {roles}; sy.Batch, sy.Target, sy.Option, sy.Param … declare them"
        )


def _tell_rows_left_out(
    plans: Mapping[str, Plan | bytes], config: Mapping[str, Any], say: Callable[[str], object]
) -> None:
    rows = fixed_rows(plans)
    if rows > 1 and "drop_last" not in config:
        say(f"the training plan takes exactly {rows} rows in a step: a pass leaves out what fills no batch")


def _plan(plan: Plan | bytes) -> Plan | bytes:
    if isinstance(plan, bytes | bytearray | memoryview):
        return bytes(plan)
    if not hasattr(plan, "dumps"):
        raise InvalidPlan(f"not a plan: {type(plan).__name__} (decorate the function with @make_plan)")
    return plan


def _bytes(plan: Plan | bytes) -> bytes:
    ready = _plan(plan)
    return ready if isinstance(ready, bytes) else bytes(ready.dumps())
