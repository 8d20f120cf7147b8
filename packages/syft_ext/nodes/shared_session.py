"""Computations on shares from the side of whoever asks: sessions with parties, requests to all, runs.

SyMPC's vocabulary: a ``Session`` names parties, protocol and precision; ``SessionManager`` checks them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syft_ext.client.plan_requests import create_plan_request
from syft_ext.client.requests import DataRequest
from syft_ext.errors import BadRequest, GridError, NotAgreed
from syft_ext.messages import shared_runs as m
from syft_ext.messages.shared_terms import PROTOCOLS, SharedInput, SharedTerms
from syft_ext.nodes.intersection import MatchedTensor
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient
    from syft_ext.mpc.local import Traffic
    from syft_ext.mpc.seals import Frame
    from syft_ext.plans.ir import Plan

__all__ = ["RemoteMember", "Session", "SessionManager", "SharedRequest"]


class SessionManager:
    """What a session must be, whoever made it."""

    @staticmethod
    def setup_mpc(session: Session) -> None:
        """Raise :class:`BadRequest` unless parties, dealer, protocol and precision fit together."""
        from syft_ext.mpc.fixed import PRECISIONS

        if session.protocol not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise BadRequest(f"there is no protocol {session.protocol[:40]!r}; there are: {known}")
        facts = PROTOCOLS[session.protocol]
        if len(session.parties) != facts.parties or (session.dealer is not None) != facts.dealer:
            dealt = "a dealer" if facts.dealer else "no dealer"
            raise BadRequest(f"{session.protocol} has {facts.parties} parties and {dealt}")
        if session.security_type not in facts.securities:
            raise BadRequest(f"{session.protocol} is one of: {', '.join(facts.securities)}")
        if session.precision not in PRECISIONS:
            raise BadRequest(f"precision is {PRECISIONS.start} to {PRECISIONS.stop - 1} bits")
        keys = [each.verify_key for each in session.members]
        if len(set(keys)) != len(keys):
            raise BadRequest("parties and dealer are different nodes")


class Session:
    """Several Domains that compute on what each of them shares with the others, and opens to you only.

    Args:
        parties: clients of the Domains, in an order that all of them agree to.
        dealer: for "Beaver": a client of another Domain, which makes random numbers and must collude with none of
            the parties.
        precision: bits behind the point, 8 to 20.
        protocol: "Beaver": two parties that follow the protocol, and a dealer; "Falcon": three parties, no two of
            which collude.
        security_type: "semi-honest": all follow the protocol; "malicious" (Falcon): if one does not, the run ends
            and nothing is opened, for ten times the traffic and more.
    """

    def __init__(
        self,
        parties: Sequence[NodeClient],
        dealer: NodeClient | None = None,
        *,
        precision: int = 16,
        protocol: str = "Beaver",
        security_type: str = "semi-honest",
    ) -> None:
        from syft_ext.mpc.reader import SharedReader

        self.parties, self.dealer = list(parties), dealer
        self.precision, self.protocol, self.security_type = precision, protocol, security_type
        self.reader = SharedReader()
        self._asked: dict[str, SharedRequest] = {}
        SessionManager.setup_mpc(self)

    @property
    def members(self) -> list[NodeClient]:
        """Clients of all Domains that take part: the parties, then the dealer, if there is one."""
        return [*self.parties] if self.dealer is None else [*self.parties, self.dealer]

    def request(
        self,
        plan: Plan,
        inputs: Mapping[str, tuple[NodeClient, Any]],
        *,
        bounds: Mapping[str, float],
        values: Mapping[str, Any] | None = None,
        reason: str = "",
        **terms: Any,
    ) -> SharedRequest:
        """Ask every party to let the plan run on shares; nothing runs before the owners of all inputs approved.

        Args:
            inputs: input of the plan → (client of the Domain, object there), of rows in common
                ``matched.tensor(0, "x")``. Other inputs are public.
            bounds: input → the largest size of its numbers. An owner's host refuses larger ones, and smaller
                bounds make fewer checks: "" stands for those that are not named.
            values: public inputs that have no default.
            terms: ``sizes`` of the plan's symbols, those of the plan's self-test if left out; ``steps`` and
                ``carried``: how often the plan runs, and output → input of the next run, which stays shared; left
                out, parameters are carried to parameters.
                ``opened``: outputs that are opened to you after the last step; all, if left out.
        """
        agreed = self._terms(plan, inputs, bounds, **terms)
        asked = []
        for client in self.parties:
            own = {name: _there(what) for name, (where, what) in inputs.items() if where is client}
            if not own:
                raise BadRequest("every party brings an input: who brings none has nothing to agree to")
            view = create_plan_request(client, plan, own, reason, values or {}, shared=agreed)
            asked.append(DataRequest(client, view))
        found = SharedRequest(self, plan, agreed, dict(values or {}), asked)
        self._asked[found.agreement] = found
        return found

    def run(self, plan: Plan, inputs: Mapping[str, tuple[NodeClient, Any]], **terms: Any) -> dict[str, Any]:
        """Run what every party approved in this session; what was not asked for yet is asked for.

        Raises :class:`NotAgreed` until all have approved; else as :meth:`SharedRequest.run`.
        """
        values = terms.get("values") or {}
        parts = {key: value for key, value in terms.items() if key not in ("values", "reason")}
        made = self._terms(plan, inputs, **parts)
        known = self._asked.get(_agreement(plan, made, values))
        if known is None:
            self.request(plan, inputs, **terms)
            raise NotAgreed("the parties were asked, and have to approve first")
        return known.run()

    def _terms(
        self,
        plan: Plan,
        inputs: Mapping[str, tuple[NodeClient, Any]],
        bounds: Mapping[str, float],
        sizes: Mapping[str, int] | None = None,
        steps: int = 1,
        carried: Mapping[str, str] | None = None,
        opened: Sequence[str] | None = None,
    ) -> SharedTerms:
        from syft_ext.plans.graph.expr import eval_shape

        binding = {**plan.document.selftest.symbols, **(sizes or {})}
        known = {each.name: each for each in plan.inputs}
        shared = []
        for name, (client, what) in inputs.items():
            if name not in known or client not in self.parties:
                raise BadRequest(f"{name}: the plan takes no such input, or its Domain is no party")
            bound = bounds.get(name, bounds.get(""))
            if bound is None:
                raise BadRequest(f"{name}: say how large its numbers are (bounds)")
            shape = list(eval_shape(known[name].shape, binding))
            shared.append(
                SharedInput(
                    name=name,
                    party=self.parties.index(client),
                    shape=shape,
                    bound=float(bound),
                    common=what.common if isinstance(what, MatchedTensor) else None,
                )
            )
        if carried is None:
            carried = _parameters(plan) if steps > 1 else {}
        return SharedTerms(
            protocol=self.protocol,  # type: ignore[arg-type]  # checked by SessionManager
            security=self.security_type,  # type: ignore[arg-type]
            precision=self.precision,
            parties=[each.verify_key for each in self.parties],
            dealer=None if self.dealer is None else self.dealer.verify_key,
            inputs=shared,
            steps=steps,
            carried=dict(carried),
            opened=[each.name for each in plan.outputs] if opened is None else list(opened),
            reader=self.reader.key,
        )


def _there(what: Any) -> Any:
    """As one Domain is told of its own object."""
    return (what.object_id, what.name) if isinstance(what, MatchedTensor) else what


def _parameters(plan: Plan) -> dict[str, str]:
    """Output → input, of what a training changes."""
    results, given = plan.outputs_with_role("param"), plan.inputs_with_role("param")
    if len(results) != len(given):
        raise BadRequest("say which outputs are inputs of the next step (carried)")
    return {one.name: two.name for one, two in zip(results, given, strict=True)}


def _values_file(values: Mapping[str, Any]) -> bytes:
    from syft_ext.tensors import encode_tensors

    return encode_tensors(dict(values)) if values else b""


def _agreement(plan: Plan, terms: SharedTerms, values: Mapping[str, Any]) -> str:
    from blake3 import blake3

    data = _values_file(values)
    return terms.digest(plan.id, blake3(data).hexdigest() if data else "")


class SharedRequest:
    """One computation that was asked of all parties: ``requests``, one for each, in their order.

    ``agreement`` is the digest that each of them approves.
    """

    def __init__(
        self,
        session: Session,
        plan: Plan,
        terms: SharedTerms,
        values: Mapping[str, Any],
        requests: Sequence[DataRequest],
    ) -> None:
        self.session, self.plan, self.terms, self.values = session, plan, terms, values
        self.requests = list(requests)
        self.agreement = _agreement(plan, terms, values)

    def __repr__(self) -> str:
        where = ", ".join(readable(client.name) for client in self.session.parties)
        return f"<Computation on shares of {where}; when the owners of all have approved: .run()>"

    def price(self) -> Traffic:
        """Rounds, and bytes that each party sends, of one step: worked out here, without values."""
        from syft_ext.mpc.member import SharedProgram

        return SharedProgram(self.plan.document, self.terms, self.values).demands()[1]

    def run(self) -> dict[str, Any]:
        """Compute, and put together what is opened: output → float64 tensor.

        A use of each approval is taken. If a party is lost, refuses or leaves the protocol, the run ends at all of
        them, and nothing is opened; raises what that member answered.
        """
        from syft_ext.mpc.reader import carry
        from syft_ext.mpc.seals import frames_of
        from syft_ext.mpc.statements import agreed_keys

        run = secrets.token_hex(16)
        members: list[RemoteMember] = []
        try:
            for request, client in zip(self.requests, self.session.parties, strict=True):
                message = m.JoinSharedRun(request_id=request.id, run=run)
                members.append(RemoteMember(client, client.call(message)))
            dealer = self.session.dealer
            if dealer is not None:
                members.append(RemoteMember(dealer, self._deal(dealer, run)))
            statements = [each.view.statement for each in members]
            keys, transcript = agreed_keys(statements, self.terms, run, self.agreement)
            for member in members:
                member.call(m.BeginSharedRun(session_id=member.view.session_id, statements=statements))
            parties = len(self.session.parties)
            carry([member.advance for member in members], None if dealer is None else parties)
            frames: list[Frame] = []
            for member in members[:parties]:
                reply = member.call(m.FinishSharedRun(session_id=member.view.session_id))
                frames += frames_of(reply.frames)
            shapes = self._shapes()
            results = self.session.reader.results(frames, keys, transcript, shapes, self.terms)
        except BaseException:
            for member in members:
                member.end()
            raise
        if dealer is not None:
            members[-1].end()
        return dict(zip(self.terms.opened, results, strict=True))

    def _deal(self, dealer: NodeClient, run: str) -> m.MemberView:
        plan = self.plan.dumps()
        message = m.DealSharedRun(terms=self.terms, run=run, plan_size=len(plan))
        data = _values_file(self.values)
        view: m.MemberView = dealer.call(message, [plan, *([data] if data else [])])
        return view

    def _shapes(self) -> list[tuple[int, ...]]:
        from syft_ext.mpc.member import SharedProgram
        from syft_ext.plans.graph.expr import eval_shape

        binding = SharedProgram(self.plan.document, self.terms, self.values).binding
        shapes = {each.name: eval_shape(each.shape, binding) for each in self.plan.outputs}
        return [shapes[name] for name in self.terms.opened]


class RemoteMember:
    """A member at its Domain."""

    def __init__(self, client: NodeClient, view: m.MemberView) -> None:
        self.client, self.view = client, view

    def call(self, message: Any, payload: Sequence[bytes] = ()) -> Any:
        return self.client.call(message, payload)

    def advance(self, frames: list[Frame]) -> tuple[list[Frame], bool]:
        from syft_ext.mpc.seals import frames_of, packed_frames

        data = packed_frames(frames)
        message = m.AdvanceSharedRun(session_id=self.view.session_id)
        reply: m.CarriedFrames = self.call(message, [data] if data else ())
        return frames_of(reply.frames), reply.finished

    def end(self) -> None:
        """What is gone already is as good."""
        try:
            self.call(m.EndSharedRun(session_id=self.view.session_id))
        except (GridError, OSError):
            return
