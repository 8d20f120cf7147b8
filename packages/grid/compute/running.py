"""A batch of actions on its way to the host: what is refused, and what runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from sqlalchemy.orm import Session

from grid.access.conditions import all_listed
from grid.access.decision import allowed, require
from grid.access.grants import spend, to_spend
from grid.access.policy import check_operation, current_policy
from grid.access.sources import sources_of
from grid.access.viewer import viewer_of
from grid.compute import protocol as p
from grid.compute.contents import Content
from grid.compute.session import MAX_FAILURES, ComputeSession
from grid.concurrency.offload import offload
from grid.node import Context, Node
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, NotFound, TooLarge
from syft_ext.messages.amplification import lists_in
from syft_ext.messages.compute import Action, Call, Drop, Load, Put, RanActions, RunActions, RunPlan
from syft_ext.transport import PayloadReader

__all__ = ["CHUNK", "Runner"]

CHUNK = 64
"""Actions that run between two looks at what is allowed."""
#: Lists in one batch: six for each of the 65,536 actions that it may hold.
MAX_LISTS = 400_000
#: Batches of more bytes are decoded beside the event loop.
BESIDE = 32 << 10
_ACTIONS = msgspec.msgpack.Decoder(Annotated[list[Action], msgspec.Meta(max_length=1 << 16)])
_UNSIZED = 16 << 20


@dataclass(slots=True)
class _PlannedAction:
    """An action with the values that it defines and the sources behind them; ``error``: it is refused."""

    action: Action
    outs: Sequence[int]
    label: int
    error: GridError | None = None


class Runner:
    """Args: ``seconds`` for each chunk; ``payload``: the largest, in bytes."""

    def __init__(self, node: Node, *, seconds: float, payload: int) -> None:
        self._node, self._seconds, self._payload = node, seconds, payload

    def run(self, ctx: Context, session: ComputeSession, message: RunActions) -> RanActions:
        """Run what has not run yet, in its turn."""
        actions = (
            offload(_decode, message.actions) if len(message.actions) > BESIDE else _decode(message.actions)
        )
        stop = message.first + len(actions)
        with session.turn(message.first):
            rest = actions[session.done - message.first :]
            if rest:
                self._run(ctx, session, rest)
            else:
                ctx.body.drain()
        return RanActions(done=session.done, failures=list(session.failed(message.first, stop)))

    def _run(self, ctx: Context, session: ComputeSession, actions: Sequence[Action]) -> None:
        if len(session.failures) >= MAX_FAILURES:
            raise Conflict(f"{MAX_FAILURES} actions of this session were refused; close it and open another")
        missing = self._stage(ctx.body, session)
        touched = 0
        for chunk in _chunks(actions):
            if isinstance(chunk, Load):
                touched |= self._load(ctx, session, chunk)
            else:
                touched |= self._chunk(ctx, session, chunk, missing)
        ctx.note(*session.labels.objects(touched), operations=len(actions))
        session.channel.call(p.Stage(session.id, "payload", 0), p.Done)

    def _stage(self, body: PayloadReader, session: ComputeSession) -> GridError | None:
        """Bring the payload to the host before anything runs: it is the signed one when it was read to its end.

        Returns why it is not there, when the session has no room for it: a failure of those who need it.
        """
        if body.size == 0:
            return None
        try:
            if body.size is None:
                data = body.read_all(min(self._payload, _UNSIZED))
                session.channel.stage(session.id, "payload", len(data), [data])
            elif body.size > self._payload:
                raise TooLarge(f"a payload of {body.size} bytes", limit=self._payload)
            else:
                session.channel.stage(session.id, "payload", body.size, body)
        except TooLarge as error:
            body.drain()
            return error
        return None

    # -- what runs ----------------------------------------------------------------------------------

    def _chunk(
        self, ctx: Context, session: ComputeSession, actions: Sequence[Action], missing: GridError | None
    ) -> int:
        labels, before = session.labels, session.labels.last
        planned = []
        try:
            for action in actions:
                planned.append(self._plan(session, action))
            if missing is not None:
                for each in planned:
                    if isinstance(each.action, Put):
                        each.error = each.error or missing
            touched = self._judge(ctx, session, planned)
        except BaseException:  # nothing of it has run: it may be sent again
            labels.undo(before, (out for each in planned for out in each.outs))
            session.lineage.forget(out for each in planned for out in each.outs)
            raise
        self._send(session, [_step(each) for each in planned])
        for action in actions:
            if isinstance(action, Drop):
                labels.drop(action)
        return touched

    @staticmethod
    def _plan(session: ComputeSession, action: Action) -> _PlannedAction:
        labels = session.labels
        outs: Sequence[int] = ()
        try:
            outs = labels.outs(action)
            labels.room(len(outs))
        except GridError as error:
            return _PlannedAction(action, (), 0, error)
        try:
            label = labels.join(labels.operands(action))
        except GridError as error:
            labels.define(outs, 0)
            return _PlannedAction(action, outs, 0, error)
        labels.define(outs, label)
        session.lineage.note(action, outs)
        return _PlannedAction(action, outs, label)

    def _judge(self, ctx: Context, session: ComputeSession, planned: Sequence[_PlannedAction]) -> int:
        """Refuse what is not allowed now; returns the sources that were touched."""
        touched = 0
        for each in planned:
            touched |= each.label
        with self._node.db.read() as db:
            policy = current_policy(db)
        refusals = self._refusals(ctx, session, session.labels.objects(touched))
        refused = session.labels.bits(refusals)
        allowed: set[str] = set()
        for each in planned:
            try:
                if each.error is None and each.label & refused:
                    raise refusals[session.labels.objects(each.label & refused)[0]]
                for name in _operations(session, each.action):
                    if name not in allowed:
                        check_operation(policy, name)
                        allowed.add(name)
            except GridError as error:
                each.error = each.error or error
        return touched

    def _refusals(
        self, ctx: Context, session: ComputeSession, object_ids: Sequence[str]
    ) -> dict[str, GridError]:
        """The objects that the user may not compute on now, and why."""
        if not object_ids:
            return {}
        with self._node.db.reading() as connection:
            if all_listed(connection, ctx.principal.id, "compute", object_ids):
                return {}
        refusals: dict[str, GridError] = {}
        with self._node.db.read() as db:
            viewer, now = viewer_of(db, ctx.principal), self._node.clock.now()
            may = allowed(db, viewer, "compute", object_ids, now=now, spent=session.spent)
            for object_id in set(object_ids) - may.keys():
                try:
                    require(db, viewer, "compute", [object_id], now=now)
                except NotFound:  # the grant was what let them find it, too
                    detail = "you may not compute on this object any more: what allowed it has ended"
                    refusals[object_id] = Forbidden(f"{detail} ({object_id})")
                except GridError as error:
                    refusals[object_id] = type(error)(f"{error.detail} ({object_id})")
        return refusals

    def _send(self, session: ComputeSession, steps: list[p.Step]) -> None:
        run = p.Run(session.id, session.done, self._seconds, steps)
        session.ran(session.channel.call(run, p.Ran, seconds=self._seconds))

    # -- loading ------------------------------------------------------------------------------------

    def _load(self, ctx: Context, session: ComputeSession, action: Load) -> int:
        """Bring a stored tensor to the host; returns its label."""
        labels = session.labels
        outs: Sequence[int] = ()
        number = -1
        step: p.Step
        try:
            outs = labels.outs(action)
            labels.room(1)
            number = labels.next_source(action.object_id)
            step = self._loaded(ctx, session, action, number)
            labels.add_source(number, step.object)
            session.spent.update(step.grants)
        except GridError as error:
            number = -1
            step = p.Refused(list(outs), error.code, error.detail)
        label = 1 << number if number >= 0 else 0
        labels.define(outs, label)
        session.lineage.note(action, outs)
        self._send(session, [step])
        return label

    def _loaded(self, ctx: Context, session: ComputeSession, action: Load, number: int) -> p.Loaded:
        ctx.note(action.object_id)
        object_id = action.object_id
        with self._node.db.read() as db:
            viewer = viewer_of(db, ctx.principal)
            now = self._node.clock.now()
            require(db, viewer, "compute", [object_id], now=now, spent=session.spent)
            row = db.get_one(ObjectRow, object_id)
            digest, kind = row.blob_digest, row.kind
        with Content(self._node.blobs, digest, kind) as content:
            spec = content.find(action.name)
            size, dtype = spec.stop - spec.start, content.dtype(spec)
            session.channel.stage(session.id, "content", size, content.pieces(spec))
        grants = self._spend(ctx, session, object_id)
        with self._node.db.read() as db:
            roots = sorted(sources_of(db, [object_id])[object_id])
        source = p.Source(object_id, roots)
        return p.Loaded(action.out, dtype, list(spec.shape), number, source, grants)

    def _spend(self, ctx: Context, session: ComputeSession, object_id: str) -> list[str]:
        """Count the use, if the grant is counted; the permission is asked again in the same transaction."""
        now = self._node.clock.now()

        def look(db: Session) -> list[str]:
            viewer = viewer_of(db, ctx.principal)
            grants = require(db, viewer, "compute", [object_id], now=now, spent=session.spent)
            for grant in grants:
                ctx.note(grant=grant)
            return to_spend(db, grants, session.spent)

        with self._node.db.read() as db:
            if not look(db):
                return []
        with self._node.db.transaction() as db:
            grants = look(db)
            spend(db, grants, now=now)
        return grants


def _decode(data: bytes) -> list[Action]:
    if lists_in(data) > MAX_LISTS:
        raise TooLarge(f"a batch of actions may hold {MAX_LISTS} lists", limit=MAX_LISTS)
    try:
        actions: list[Action] = _ACTIONS.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequest(f"the actions cannot be read: {str(error)[:200]}") from error
    return actions


def _chunks(actions: Sequence[Action]) -> Iterator[list[Action] | Load]:
    """A few actions at a time; a load by itself, because its label is known only when it is permitted."""
    chunk: list[Action] = []
    for action in actions:
        if isinstance(action, Load):
            if chunk:
                yield chunk
                chunk = []
            yield action
            continue
        chunk.append(action)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _operations(session: ComputeSession, action: Action) -> Sequence[str]:
    """The operations that an action means, as the site's policy names them."""
    if isinstance(action, Call):
        return (action.op,)
    if isinstance(action, RunPlan):
        return sorted(session.plans.get(action.plan_id, ()))
    return ()


def _step(planned: _PlannedAction) -> p.Step:
    if planned.error is not None:
        return p.Refused(list(planned.outs), planned.error.code, planned.error.detail)
    action = planned.action
    assert not isinstance(action, Load)
    return action
