"""Split networks over rows that two Domains have in common: a bottom model at one, a top model at the other.

network = sy.vertical.SplitNetwork((bottom, None), top, loss=mse_loss, boundary=sy.vertical.Boundary(width=8))
asked = network.request(matched, epochs=10, batch_size=64, lr=0.1)
# the owners of both tables approve plans, terms and what crosses
trained = asked.run()
trained.predict().run()
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from blake3 import blake3

from syft_ext.client.plan_requests import create_plan_request, values_file
from syft_ext.client.requests import DataRequest
from syft_ext.errors import BadRequest
from syft_ext.messages import shared_runs as m
from syft_ext.messages.split_terms import PREDICTIONS, Crossing, SplitTerms
from syft_ext.mpc.reader import carry
from syft_ext.mpc.seals import Frame, frames_of
from syft_ext.mpc.statements import agreed_keys
from syft_ext.nodes.intersection import forget
from syft_ext.nodes.shared_session import RemoteMember
from syft_ext.readable import readable
from syft_ext.split.reader import SplitReader
from syft_ext.vertical.split_plans import Loss, bottom_plan, leaves_of, parts_of, top_plan

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient
    from syft_ext.nodes.intersection import MatchedTables
    from syft_ext.plans.ir import Plan

__all__ = ["Boundary", "SplitNetwork", "SplitPredictions", "SplitRequest", "TrainedSplit"]

R = TypeVar("R")


@dataclass(frozen=True)
class Boundary:
    """What crosses between the two Domains.

    Attributes:
        width: numbers of each row: what the bottom model returns.
        activations, gradients: what their senders' hosts do to each row first. As they are, they tell of the rows.
    """

    width: int
    activations: Crossing = field(default_factory=Crossing)
    gradients: Crossing = field(default_factory=Crossing)


class SplitNetwork:
    """Args:
    bottoms: for each Domain, in the order of the intersection, the model of its columns ``x``; None at the label's
        owner where that has no ``x``. top: of the bottoms' outputs side by side, the other Domain's first.
    loss: of the top's output and ``y``, a mean over rows.
    """

    def __init__(
        self,
        bottoms: Sequence[torch.nn.Module | None],
        top: torch.nn.Module,
        *,
        loss: Loss,
        boundary: Boundary,
    ) -> None:
        if len(bottoms) != 2:
            raise BadRequest("a split network has one bottom for each of two Domains, or None")
        self.bottoms, self.top, self.loss, self.boundary = list(bottoms), top, loss, boundary

    def request(
        self,
        matched: MatchedTables,
        *,
        epochs: int = 1,
        batch_size: int = 64,
        lr: float = 0.1,
        seed: int | None = None,
        opened: Sequence[str] = (),
        reason: str = "",
    ) -> SplitRequest[TrainedSplit]:
        """Ask both Domains to train it; nothing runs before the owners of both tables approved.

        Args:
            matched: with a tensor "x" at the one Domain, and "y" at the other one, which may have "x" too.
            seed: what the order of rows follows from, drawn if left out; it says nothing of who they are.
            opened: "loss": the mean of each epoch's batches is opened to you; nothing is, if left out.
        """
        sides = _Sides.of(self, matched)
        values = [{"params": leaves} for leaves in sides.leaves]  # first: it says what a module must be
        plans = sides.plans(self, lr)
        inputs = [dict(rows) for rows in sides.inputs]
        terms = sides.terms(self.boundary, plans, values, "train", min(batch_size, matched.size))
        terms.epochs, terms.opened = epochs, list(opened)
        terms.seed = secrets.randbits(53) if seed is None else seed

        def trained(objects: tuple[str, str], found: Mapping[str, torch.Tensor]) -> TrainedSplit:
            opened = {name: value.tolist() for name, value in found.items()}
            return TrainedSplit(self, matched, objects, opened, terms.batch)

        return SplitRequest(matched.clients, plans, inputs, values, terms, reason, trained)


@dataclass(frozen=True)
class TrainedSplit:
    """A network whose parameters stay at their Domains, in ``objects``, in the order of the intersection.

    ``opened``: name → the mean of each epoch, as the terms opened it.
    """

    network: SplitNetwork
    matched: MatchedTables
    objects: tuple[str, str]
    opened: Mapping[str, list[float]]
    batch: int

    def predict(
        self, matched: MatchedTables | None = None, *, opened: bool = False, reason: str = ""
    ) -> SplitRequest[SplitPredictions]:
        """Ask both Domains for predictions of the rows that it was trained on, which stay at the label's owner.

        ``opened``: they are asked to open these to you as well, in the order of the rows.
        """
        matched, network = self.matched if matched is None else matched, self.network
        sides = _Sides.of(network, matched)
        plans = sides.plans(network, None)
        inputs = [{**rows, "params": it} for rows, it in zip(sides.inputs, self.objects, strict=True)]
        inputs[sides.top].pop("y")
        values: list[dict[str, Any]] = [{}, {}]
        boundary = Boundary(network.boundary.width, network.boundary.activations)
        terms = sides.terms(boundary, plans, values, "predict", min(self.batch, matched.size))
        terms.opened = [PREDICTIONS] if opened else []

        def predicted(objects: tuple[str, str], found: Mapping[str, torch.Tensor]) -> SplitPredictions:
            return SplitPredictions(objects[sides.top], matched.clients[sides.top], found.get(PREDICTIONS))

        return SplitRequest(matched.clients, plans, inputs, values, terms, reason, predicted)


@dataclass(frozen=True)
class SplitPredictions:
    """``object_id``: at the label's owner (``client``), a row for each of those in common, which nobody reads;
    plans on shares take it. ``opened``: the same, where the owners opened it."""

    object_id: str
    client: NodeClient
    opened: torch.Tensor | None


class SplitRequest(Generic[R]):
    """A run that was asked of both Domains: ``requests`` wait for their owners, in the order of the intersection.

    ``agreement`` is the digest that both approve.
    """

    def __init__(
        self,
        clients: Sequence[NodeClient],
        plans: Sequence[Plan],
        inputs: Sequence[Mapping[str, Any]],
        values: Sequence[Mapping[str, Any]],
        terms: SplitTerms,
        reason: str,
        result: Any,
    ) -> None:
        self._reader = SplitReader()
        self.terms, self.clients, self._result = terms, list(clients), result
        terms.reader = self._reader.key
        terms.check()
        self.agreement = terms.digest()
        self.requests = [
            DataRequest(client, create_plan_request(client, plan, given, reason, sent, split=terms))
            for client, plan, given, sent in zip(clients, plans, inputs, values, strict=True)
        ]

    def __repr__(self) -> str:
        where = " and ".join(readable(client.name) for client in self.clients)
        return f"<Split network at {where}: {self.terms.task}; when both owners have approved: .run()>"

    def run(self) -> R:
        """Run it. Takes a use of each approval, and from the ledgers what the noise of what crosses costs.

        If a party is lost, refuses or leaves the protocol, the run ends at both, and nothing is kept; raises what
        that party answered.
        """
        run = secrets.token_hex(16)
        members: list[RemoteMember] = []
        kept: list[str] = []
        try:
            for request, client in zip(self.requests, self.clients, strict=True):
                members.append(
                    RemoteMember(client, client.call(m.JoinSharedRun(request_id=request.id, run=run)))
                )
            statements = [each.view.statement for each in members]
            keys, transcript = agreed_keys(statements, self.terms, run, self.agreement)
            for member in members:
                member.call(m.BeginSharedRun(session_id=member.view.session_id, statements=statements))
            carry([member.advance for member in members])
            frames: list[Frame] = []
            for member in members:
                reply: m.FinishedMember = member.call(m.FinishSharedRun(session_id=member.view.session_id))
                kept.append(reply.object_id)
                frames += frames_of(reply.frames)
            found = self._reader.opened(frames, keys, transcript, self.terms)
        except BaseException:
            for member in members:
                member.end()
            for client, object_id in zip(self.clients, kept, strict=False):  # of no use without the other's
                forget(client, object_id)
            raise
        result: R = self._result((kept[0], kept[1]), found)
        return result


@dataclass(frozen=True)
class _Sides:
    """Who has what. ``top``: the place of the label's owner. ``columns``: of "x" at each; ``labels``: of "y"."""

    matched: MatchedTables
    top: int
    columns: list[int]
    labels: int
    modules: list[torch.nn.Module]

    @classmethod
    def of(cls, network: SplitNetwork, matched: MatchedTables) -> _Sides:
        """Raises :class:`BadRequest` where tables and bottoms do not fit."""
        labels = [place for place, rows in enumerate(matched.rows) if "y" in rows]
        columns = [len(rows.get("x", ())) for rows in matched.rows]
        if len(labels) != 1 or not columns[1 - labels[0]]:
            raise BadRequest('a split network takes "y" of one table, and "x" of the other one at least')
        (top,) = labels
        bottom, own = network.bottoms[1 - top], network.bottoms[top]
        if bottom is None or (own is None) != (not columns[top]):
            raise BadRequest('there is a bottom for each tensor "x", and none without')
        modules: list[torch.nn.Module] = [bottom, bottom]
        modules[top] = parts_of(network.top, own)
        return cls(matched, top, columns, len(matched.rows[top]["y"]), modules)

    @property
    def leaves(self) -> list[list[torch.Tensor]]:
        """Parameters as they are here."""
        return [leaves_of(module) for module in self.modules]

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """What plans are given of the kept rows."""
        return [
            {name: (object_id, name) for name in ("x", "y") if name in rows}
            for object_id, rows in zip(self.matched.objects, self.matched.rows, strict=True)
        ]

    def plans(self, network: SplitNetwork, lr: float | None) -> list[Plan]:
        """One for each Domain; without ``lr`` they predict."""
        width, module = network.boundary.width, self.modules[1 - self.top]
        plans = [bottom_plan(module, self.columns[1 - self.top], width, lr)] * 2
        parts = self.modules[self.top]
        assert isinstance(parts, torch.nn.ModuleDict)
        plans[self.top] = top_plan(parts, self.columns[self.top], width, lr, network.loss, self.labels)
        return plans

    def terms(
        self,
        boundary: Boundary,
        plans: Sequence[Plan],
        values: Sequence[Mapping[str, Any]],
        task: Any,
        batch: int,
    ) -> SplitTerms:
        """But for epochs, order and what is opened."""
        sent = [values_file(plan, each) for plan, each in zip(plans, values, strict=True)]
        return SplitTerms(
            parties=[client.verify_key for client in self.matched.clients],
            top=self.top,  # type: ignore[arg-type]  # 0 or 1
            plans=[plan.id for plan in plans],
            values=[blake3(data).hexdigest() if data else "" for data in sent],
            task=task,
            common=self.matched.common,
            rows=self.matched.size,
            batch=batch,
            width=boundary.width,
            activations=boundary.activations,
            gradients=boundary.gradients,
            reader="0" * 64,  # whoever asks makes a key
        )
