"""What leaves a session: values on their way to a user or into the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from blake3 import blake3
from sqlalchemy.orm import Session

from grid.access.decision import allowed, require
from grid.access.grants import spend
from grid.access.policy import check_output, current_policy
from grid.access.sources import add_sources
from grid.access.viewer import EVERYBODY, Viewer, viewer_of
from grid.catalogue.computations import add_computation
from grid.catalogue.objects import view_of, within_quota
from grid.compute import protocol as p
from grid.compute.session import ComputeSession
from grid.node import Context, Download, Node
from grid.quotas.enforcing import require_fit
from grid.storage.objects.store import DiskObjectStore
from syft_ext.errors import BadRequest, Forbidden, NotFound, OperationFailed
from syft_ext.ids import new_id
from syft_ext.messages.compute import CheckValues, FetchValues, KeepValues, RanActions, ValueAccess
from syft_ext.messages.objects import ObjectView
from syft_ext.store.objects import ObjectInfo

__all__ = ["Outputs"]

_PIECE = 1 << 20


class Outputs:
    """Of all sessions of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._store = DiskObjectStore(node.db, node.blobs)

    # -- to the user --------------------------------------------------------------------------------

    def check(self, ctx: Context, session: ComputeSession, message: CheckValues) -> ValueAccess:
        """Whether the user may have the values now, and which objects stand in the way. Spends no grant."""
        session.wait_for(message.after)
        objects = _sources(session, message.values)
        session.channel.call(p.Inspect(session.id, message.values), p.Types)  # tells of refused actions
        with self._node.db.read() as db:
            viewer = viewer_of(db, ctx.principal)
            may = allowed(db, viewer, "read", objects, now=self._node.clock.now())
        missing = sorted(set(objects) - may.keys())
        return ValueAccess(readable=not missing, missing=missing)

    def fetch(self, ctx: Context, session: ComputeSession, message: FetchValues) -> Download:
        """Compute the bytes first, then permit, spend and hand out: what is refused costs nothing."""
        session.wait_for(message.after)
        reply = RanActions(done=session.done, failures=list(session.failed(0, message.after)))
        if not message.values:
            return Download(reply, lambda start, stop: (), 0, blake3(b"").hexdigest())
        objects = _sources(session, message.values)
        ctx.note(*objects)
        with self._node.db.read() as db:
            viewer = viewer_of(db, ctx.principal)
            _require_read(db, viewer, objects, session.spent, now=self._node.clock.now())
        names = [str(index) for index in range(len(message.values))]
        prepared, inline = self._prepare(session, message.values, names, blank=False)
        objects = _sources(session, message.values)  # they have run: this label is for ever
        for grant in self._permit(ctx, objects, session.spent, prepared):
            ctx.note(grant=grant)
        return Download(reply, _reader(session, prepared, inline), prepared.size, prepared.digest)

    def _permit(
        self, ctx: Context, objects: Sequence[str], spent: Collection[str], prepared: p.Prepared
    ) -> frozenset[str]:
        """The grants that it rests on, each of which lost a use; or else what stands in the way."""
        now = self._node.clock.now()

        def look(db: Session) -> frozenset[str]:
            viewer = viewer_of(db, ctx.principal)
            grants = _require_read(db, viewer, objects, spent, now=now, output_bytes=prepared.size)
            if objects:
                check_output(current_policy(db), prepared.size)
            if prepared.failure:  # they may read all that it was computed from
                raise OperationFailed(prepared.failure)
            return grants

        with self._node.db.read() as db:
            grants = look(db)
        if grants:
            with self._node.db.transaction() as db:
                grants = look(db)
                spend(db, grants, now=now)
        return grants

    @staticmethod
    def _prepare(
        session: ComputeSession,
        values: Sequence[int],
        names: Sequence[str],
        *,
        blank: bool,
        stored: bool = False,
    ) -> tuple[p.Prepared, bytearray]:
        request = p.Prepare(session.id, list(values), list(names), blank, stored)
        return session.channel.ask(request, p.Prepared, seconds=120.0)

    # -- into the store -----------------------------------------------------------------------------

    def keep(self, ctx: Context, session: ComputeSession, message: KeepValues) -> ObjectView:
        """Store values as an object, derived from what they were computed from: that is not to have read them.

        Raises :class:`Forbidden` where a source may not be computed with any more.
        """
        session.wait_for(message.after)
        kind, names = _names(message)
        prepared, inline = self._prepare(session, message.values, names, blank=True, stored=True)
        kind = prepared.kind or kind
        sources = session.labels.behind(session.labels.join(message.values))
        ctx.note(*(source.object_id for source in sources))
        if message.note:
            ctx.note(note=message.note)
        with self._node.db.read() as db:
            viewer = viewer_of(db, ctx.principal)
            ids = [source.object_id for source in sources]
            require(db, viewer, "compute", ids, now=self._node.clock.now(), spent=session.spent)
            require_fit(db, viewer.user_id, "objects", size=prepared.size, number=1)
        info = self._described(viewer, message, kind, prepared.size, own=not sources)
        roots = sorted({root for source in sources for root in source.roots})
        chunks = _reader(session, prepared, inline)(0, prepared.size)
        computation = session.lineage.text(message.values, session.plans)
        kept = self._store.put_stream(info, chunks, self._also(roots, computation))
        return view_of(kept, viewer)

    def _described(
        self, viewer: Viewer, message: KeepValues, kind: str, size: int, *, own: bool
    ) -> ObjectInfo:
        """Who computed it finds it; they read it by its sources only, unless it has none."""
        return ObjectInfo(
            id=new_id(),
            kind=kind,
            description=message.description,
            tags=tuple(message.tags),
            size=size,
            read_permissions=frozenset({viewer.user_id} if own else ()),
            search_permissions=frozenset({viewer.user_id, *([EVERYBODY] if message.searchable else [])}),
            owner=viewer.user_id,
            created_at=self._node.clock.now(),
        )

    @staticmethod
    def _also(roots: Sequence[str], computation: str) -> Callable[[Session, ObjectInfo], None]:
        """In the transaction that makes the object: its sources, how it came about, what its owner may have."""

        def write(db: Session, info: ObjectInfo) -> None:
            add_sources(db, info.id, roots)
            add_computation(db, info.id, computation)
            within_quota(db, info)

        return write


def _sources(session: ComputeSession, values: Sequence[int]) -> list[str]:
    return session.labels.objects(session.labels.join(values))


def _require_read(
    db: Session,
    viewer: Viewer,
    objects: Sequence[str],
    spent: Collection[str],
    *,
    now: float,
    output_bytes: int = 0,
) -> frozenset[str]:
    """As :func:`require`. A user knows of what they compute on, also when the grant had its last use by this
    session (``spent``) and nothing else lets them find it: then they may not read it, and may ask."""
    try:
        return require(db, viewer, "read", objects, now=now, output_bytes=output_bytes)
    except NotFound:
        if set(objects) - allowed(db, viewer, "compute", objects, now=now, spent=spent).keys():
            raise
        raise Forbidden("you may compute on this, not read it; ask for what you computed") from None


def _names(message: KeepValues) -> tuple[str, list[str]]:
    """The kind of the object, and the names of its tensors."""
    count, names = len(message.values), message.names
    if count == 0:
        raise BadRequest("there is nothing to keep")
    if names is None:
        return ("tensor", [""]) if count == 1 else ("list", [str(index) for index in range(count)])
    if len(names) != count or len(set(names)) != count or "__metadata__" in names:
        raise BadRequest("each value needs a name of its own")
    return "tensors", list(names)


def _reader(
    session: ComputeSession, prepared: p.Prepared, inline: bytearray
) -> Callable[[int, int], Iterator[bytes | memoryview]]:
    def chunks(start: int, stop: int) -> Iterator[bytes | memoryview]:
        if not prepared.ticket:
            yield memoryview(inline)[start:stop]
            return
        with session.used():
            for first in range(start, stop, _PIECE):
                last = min(first + _PIECE, stop)
                request = p.Read(session.id, prepared.ticket, first, last, last == stop)
                yield memoryview(session.channel.ask(request, p.Bytes)[1])

    return chunks
