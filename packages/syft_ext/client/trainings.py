"""Trainings at a Domain, as their owner sees and steers them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from syft_ext.client.collection import Collection
from syft_ext.client.joining.invitations import Guests, Invitation, invite
from syft_ext.client.metrics import Metrics
from syft_ext.client.people import Users
from syft_ext.client.transfer import download
from syft_ext.client.watch import watch
from syft_ext.confidential.checkpoint import CheckpointReceipt
from syft_ext.display.line import announce
from syft_ext.display.table import Table, fields_table, size, when
from syft_ext.errors import Conflict, DeadlineExceeded, Forbidden, NotFound, Unavailable
from syft_ext.ids import is_id
from syft_ext.messages.confidential import ConfidentialReceipt, GetReceipt
from syft_ext.messages.federated import (
    CancelProcess,
    CheckpointView,
    DiscardModels,
    Event,
    EventsReply,
    GetProcess,
    ListProcesses,
    MetricsReply,
    PauseProcess,
    ProcessHistory,
    ProcessList,
    ProcessMetrics,
    ProcessView,
    ResumeProcess,
    RetrieveModel,
)
from syft_ext.messages.requests import ApproveRequest, DenyRequest, GetRequest, RevokeRequest
from syft_ext.messages.training_inputs import describe_inputs
from syft_ext.messages.training_reviews import (
    ReviewTraining,
    ShareTraining,
    TrainingReview,
    TrainingReviewPage,
    UnshareTraining,
)
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.client.opening.sums import OpenedSum
    from syft_ext.encrypted.context import EncryptionKeys
    from syft_ext.plans.training.parameters import Parameters

__all__ = ["History", "Training", "Trainings", "described_review"]

_WAIT = 30.0  # seconds that the Domain may hold an answer


class History(list[Event]):
    """The transitions of a training, its cycles and assignments, in order."""

    @overload
    def __getitem__(self, which: SupportsIndex) -> Event: ...
    @overload
    def __getitem__(self, which: slice) -> History: ...
    def __getitem__(self, which: SupportsIndex | slice) -> Event | History:
        """One of them; of several, ``history[:10]``, again what shows itself as a table."""
        return History(super().__getitem__(which)) if isinstance(which, slice) else super().__getitem__(which)

    def table(self) -> Table:
        """One row for each transition."""
        rows = [
            (when(e.at), e.entity, e.cycle, f"{e.before or '·'} → {e.after}", e.entity_id[:12]) for e in self
        ]
        return Table("History", ("time", "of", "cycle", "what", "id"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Training:
    """One training: what it is, what became of it, and the handles to steer it.

    ``view`` is the state when it was last asked for; :meth:`refresh` asks again.
    """

    def __init__(self, client: Caller, view: ProcessView) -> None:
        self.client = client
        self.view = view

    @property
    def id(self) -> str:
        return self.view.process_id

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def version(self) -> str:
        return self.view.version

    @property
    def status(self) -> str:
        """ "created", "waiting", "running", "paused", "completed", "cancelled" or "failed": asked now."""
        return self.refresh().view.status

    def refresh(self) -> Training:
        """Ask the Domain for the present state."""
        self.view = self.client.call(GetProcess(process_id=self.id))
        return self

    def wait(self, timeout: float | None = None, *, say: Callable[[str], object] = print) -> Training:
        """Wait until the Domain's reviewers have decided whether it may run; at once where nobody has to.

        Args:
            timeout: seconds after which to give up; None: never.
            say: is given one line that says what is waited for, if anything is.

        Raises:
            Forbidden: they denied it, or it was withdrawn; with the reason.
            DeadlineExceeded: nobody decided in time; it goes on waiting.
        """
        if self.view.status == "waiting" and self.refresh().view.status == "waiting":
            say(
                f"{self.name} {self.version} waits for the word of {self.client.name}'s reviewers (request"
                f" {self.view.review.request_id}); it begins by itself when they approve it"
            )
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.view.status == "waiting":
            left = _WAIT if deadline is None else min(_WAIT, deadline - time.monotonic())
            if left <= 0:
                raise DeadlineExceeded(
                    f"nobody decided within {timeout:g} s on {self.name} {self.version} (request"
                    f" {self.view.review.request_id}); it goes on waiting, and begins by itself when they approve"
                    f' it: client.trainings.find("{self.name}", "{self.version}").wait() waits on',
                    seconds=timeout,
                    id=self.id,
                )
            with suppress(Unavailable):  # a Domain that restarts goes on waiting, and so does this
                request = GetRequest(request_id=self.view.review.request_id, wait=left)
                self.client.call(request, timeout=left + _WAIT)
                self.refresh()
        if self.view.review.state in ("denied", "withdrawn") and self.view.status == "cancelled":
            raise Forbidden(f"{self.name} {self.version} does not run: {self.view.reason}", id=self.id)
        return self

    def review(self) -> TrainingReviewPage:
        """What a reviewer reads: everything that would run, and everything that may leave by it."""
        page: TrainingReviewPage = self.client.call(ReviewTraining(process_id=self.id), timeout=120.0)
        return page

    def approve(self, reason: str = "") -> Training:
        """As a reviewer: let exactly this definition run."""
        return self._decide(ApproveRequest(request_id=self.view.review.request_id, reason=reason))

    def deny(self, reason: str = "") -> Training:
        """As a reviewer: it does not run; its host is shown ``reason``."""
        return self._decide(DenyRequest(request_id=self.view.review.request_id, reason=reason))

    def revoke(self) -> Training:
        """As a reviewer: take an approval back; it ends, and takes no report any more."""
        return self._decide(RevokeRequest(request_id=self.view.review.request_id))

    def _decide(self, message: ApproveRequest | DenyRequest | RevokeRequest) -> Training:
        if not message.request_id:
            raise Conflict(f"nobody's word is asked for on {self.name} {self.version}", id=self.id)
        self.client.call(message)
        return self.refresh()

    def share(self, user_id: str) -> Training:
        """Let a user read it: state, history, metrics and models."""
        self.client.call(ShareTraining(process_id=self.id, user_id=user_id))
        return self.refresh()

    def unshare(self, user_id: str) -> Training:
        """Take it back from a user."""
        self.client.call(UnshareTraining(process_id=self.id, user_id=user_id))
        return self.refresh()

    def invite(
        self, label: str = "", *, uses: int = 1, days: float = 14.0, accepted: bool = False, address: str = ""
    ) -> Invitation:
        """Make a link, and QR code, by which people without an account here ask to take part, in a browser.

        Args:
            label: what it is for; only those who host or decide this training see it.
            uses: how many keys (browsers) may redeem it.
            days: until it ends by itself.
            accepted: they take part without anybody's looking; for those who decide here. Where the site demands
                a number of participants, such guests count among them only by invitations for one use.
            address: where people reach the Domain's page, if not at the address that it is known by.
        """
        return invite(self.client, self.id, label, uses=uses, days=days, accepted=accepted, address=address)

    def guests(self) -> Guests:
        """Who came by invitations, to accept or to refuse them, and the invitations."""
        return Guests(self.client, self.id)

    def pause(self) -> Training:
        """Hand out no more assignments until :meth:`resume`."""
        self.view = self.client.call(PauseProcess(process_id=self.id))
        return self

    def resume(self) -> Training:
        """Hand out assignments again. One that failed begins a new cycle from its last good checkpoint.

        Raises :class:`~syft_ext.errors.Conflict` unless it is paused or has failed, and can be gone on with.
        """
        self.view = self.client.call(ResumeProcess(process_id=self.id))
        return self

    def cancel(self, reason: str = "") -> Training:
        """End it for good; what its cycles made of the model stays."""
        self.view = self.client.call(CancelProcess(process_id=self.id, reason=reason))
        return self

    def discard(self) -> Training:
        """Remove its plans and models from the Domain, once it has ended; its history stays."""
        self.view = self.client.call(DiscardModels(process_id=self.id))
        return self

    def history(self) -> History:
        """All transitions so far."""
        events = History()
        while True:
            last = events[-1].seq if events else 0
            page: EventsReply = self.client.call(ProcessHistory(process_id=self.id, after=last))
            if not page.events:
                return events
            events += page.events

    def metrics(self) -> Metrics:
        """Loss, accuracy, samples and participants of every cycle so far."""
        reply: MetricsReply = self.client.call(ProcessMetrics(process_id=self.id))
        return Metrics(reply.cycles, f"Cycles of {self.name} {self.version}")

    def model(self, checkpoint: int | str = "latest") -> Parameters:
        """A checkpoint's parameters; 1 is the model as it was hosted."""
        return Trainings(self.client).model(self.name, self.version, checkpoint)

    def receipt(self, checkpoint: int) -> CheckpointReceipt:
        """What was done for a checkpoint of a confidential training, and who vouches for it; verified here.

        Raises :class:`~syft_ext.errors.NotFound` where there is none, as for the model that was hosted.
        """
        message = GetReceipt(process_id=self.id, checkpoint=checkpoint)
        found: ConfidentialReceipt = self.client.call(message)
        return CheckpointReceipt(
            found.receipt,
            found.manifest,
            found.policy,
            self.client.connection.node_key,
            self.id,
            checkpoint,
        )

    def decrypt(self, keys: EncryptionKeys) -> OpenedSum:
        """Fetch the encrypted sum that it waits for you to open, and open it here; :meth:`advance` tells the
        Domain.

        Raises :class:`~syft_ext.errors.NotFound` where none waits, :class:`~syft_ext.errors.InvalidTensors` where
        something else is in it than so many reports under your key.
        """
        from syft_ext.client.opening import sums  # with numpy, which a log-in does not wait for

        return sums.open_sum(self.client, self.id, keys)

    def advance(self, opened: OpenedSum) -> Training:
        """Have the Domain make the next model of an opened sum: it sees that, as everybody sees the model."""
        from syft_ext.client.opening import sums

        self.view = sums.advance(self.client, opened)
        return self

    def open_sums(self, keys: EncryptionKeys, timeout: float | None = None) -> Training:
        """:meth:`decrypt` and :meth:`advance` for every cycle, until it ends. Raises
        :class:`~syft_ext.errors.DeadlineExceeded` after ``timeout`` seconds."""
        from syft_ext.client.opening import sums

        self.view = sums.open_all(self.client, self.id, keys, timeout)
        return self

    def watch(self, *, timeout: float | None = None, say: Callable[[str], object] = announce) -> Metrics:
        """Follow it live until it ends: a table in a terminal or notebook, lines elsewhere. It says who is waited
        for.

        Survives restarts of the Domain and the end of your session: your key goes on for you as long as the Domain
        lets it, and after that it waits until you log in again.

        Args:
            timeout: seconds after which to stop watching.
            say: is given the lines where there is no terminal and no notebook.

        Returns:
            The metrics of all cycles, as they are in the end.
        """
        return watch(self, timeout=timeout, say=say)

    def table(self) -> Table:
        """Where the training stands, as of the last call."""
        view = self.view
        total = view.num_cycles or "∞"
        fields = [
            ("status", view.status + (f": {view.reason}" if view.reason else "")),
            ("waits for", view.waits_for),
            ("review", described_review(view.review)),
            ("cycles", f"{view.cycles_completed} of {total}"),
            ("cycle now", f"{view.cycle} ({view.cycle_status}): {view.reported} of {view.admitted} reported"),
            ("checkpoint", view.checkpoint),
            ("model", size(view.model_size)),
            ("plans", list(view.plans)),
            ("aggregator", _aggregator(view)),
            ("participants", _participants(view)),
            ("takes", describe_inputs(view.inputs)),
            (
                "stand aside",
                [f"{view.aside_names.get(worker, worker[:12])}: {why}" for worker, why in view.aside.items()],
            ),
            ("hosted by", self._owner()),
            ("may be read by", view.readers),
            ("created", when(view.created_at)),
            ("id", view.process_id),
        ]
        return fields_table(f"Training {view.name} {view.version}", fields)

    def _owner(self) -> str:
        """Their e-mail address, as far as the Domain tells you; else their id."""
        session = self.client.session
        if session is not None and session.user_id == self.view.owner:
            return session.email
        return Users(self.client).addresses().get(self.view.owner, self.view.owner)

    def __repr__(self) -> str:
        view = self.view
        return readable(
            f"<Training {view.name!r} {view.version!r} {view.status}, "
            f"{view.cycles_completed} of {view.num_cycles or '∞'} cycles, id {view.process_id}>"
        )

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Trainings(Collection[Training]):
    """The trainings that a Domain hosts, newest first."""

    title = "Trainings"
    headings = ("name", "version", "status", "cycles", "reports", "created", "id")

    def all(self) -> list[Training]:
        reply: ProcessList = self.client.call(ListProcesses())
        return [Training(self.client, view) for view in reply.processes]

    def __getitem__(self, which: int | str) -> Training:
        """By position, or as :meth:`get`."""
        if isinstance(which, int):
            return self.all()[which]
        return self.choose(self._named(which) or self.all(), which)

    def _named(self, which: str) -> list[Training]:
        """Those that are called so, without asking for all."""
        if is_id(which):
            return [Training(self.client, self.client.call(GetProcess(process_id=which)))]
        name, separator, version = which.rpartition("/")
        found: ProcessList = self.client.call(ListProcesses(name=which))
        if not found.processes and separator:
            found = self.client.call(ListProcesses(name=name, version=version))
        return [Training(self.client, view) for view in found.processes]

    def get(self, process_id: str) -> Training:
        """By id, how it begins, ``name/version``, or a name that only one has. Raises
        :class:`~syft_ext.errors.NotFound`, :class:`~syft_ext.errors.Ambiguous`."""
        return self[process_id]

    def find(self, name: str, version: str = "") -> Training:
        """The newest training of that name (and version). Raises :class:`~syft_ext.errors.NotFound`."""
        reply: ProcessList = self.client.call(ListProcesses(name=name, version=version))
        if not reply.processes:
            which = f"{name!r} {version!r}" if version else repr(name)
            raise NotFound(f"{self.client.name} hosts no training {which}")
        return Training(self.client, reply.processes[0])

    def cancel(self, process_id: str, reason: str = "") -> Training:
        """As :meth:`Training.cancel`, by id."""
        return self.get(process_id).cancel(reason)

    def discard(self, process_id: str) -> Training:
        """As :meth:`Training.discard`, by id."""
        return self.get(process_id).discard()

    def pause(self, process_id: str) -> Training:
        """As :meth:`Training.pause`, by id."""
        return self.get(process_id).pause()

    def resume(self, process_id: str) -> Training:
        """As :meth:`Training.resume`, by id."""
        return self.get(process_id).resume()

    def history(self, process_id: str) -> History:
        """As :meth:`Training.history`, by id."""
        return self.get(process_id).history()

    def metrics(self, process_id: str) -> Metrics:
        """As :meth:`Training.metrics`, by id."""
        return self.get(process_id).metrics()

    def model(self, name: str, version: str, checkpoint: int | str = "latest") -> Parameters:
        """Download a checkpoint; ``checkpoint`` is a number or "latest"."""
        from syft_ext.plans.training.parameters import Parameters

        message = RetrieveModel(name=name, version=version, checkpoint=str(checkpoint))
        view: CheckpointView
        view, data = download(self.client, message, f"model {name}")
        found = Parameters.loads(data, checkpoint=view.number, digest=view.digest)
        found.receipt_of = lambda: self._receipt(name, version, view.number)
        return found

    def _receipt(self, name: str, version: str, checkpoint: int) -> CheckpointReceipt | None:
        training = self.find(name, version)
        if training.view.report_format != "sealed" or checkpoint == 1:
            return None
        return training.receipt(checkpoint)

    def key(self, item: Training) -> tuple[str, ...]:
        return (item.id, item.name, f"{item.name}/{item.version}")

    def told_apart(self, item: Training) -> str:
        return f"{item.name}/{item.version}, {item.view.status}, {when(item.view.created_at)}"

    def row(self, item: Training) -> tuple[Any, ...]:
        view = item.view
        cycles = f"{view.cycles_completed} of {view.num_cycles or '∞'}"
        reports = f"{view.reported} of {view.admitted}"
        return (view.name, view.version, view.status, cycles, reports, when(view.created_at), view.process_id)


def described_review(review: TrainingReview) -> str:
    """Whose word a training runs on, in a line."""
    people = ", ".join(review.reviewers)
    if review.state == "pending":
        return f"waits for reviewers (request {review.request_id})"
    said = {"own": "hosted by the Domain's owner", "open": "asked of nobody here", "none": "nobody's word"}
    return said.get(review.state) or f"{review.state}{people and f' by {people}'}"


def _participants(view: ProcessView) -> str:
    if view.policy is not None and view.policy.participation == "open":
        return "anybody: nobody knows who, and a minimum of participants protects nobody"
    least = 1 if view.policy is None else view.policy.min_participants
    return "accepted ones" + (f", at least {least} in a cycle" if least > 1 else "")


def _aggregator(view: ProcessView) -> str:
    set_to = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in view.aggregator_parameters.items()
    )
    return f"{view.aggregator} ({set_to})" if set_to else view.aggregator
