"""Objects: found, read and changed by whoever may. Contents are the business of the object store."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.access.conditions import in_listing
from grid.access.decision import allowed, governs, require, sees
from grid.access.grants import spend
from grid.access.lists import members, set_members
from grid.access.policy import check_output, current_policy
from grid.access.rule import on_a_list
from grid.access.viewer import EVERYBODY, Viewer
from grid.catalogue.content import download
from grid.node import Download
from grid.quotas.enforcing import limited, require_fit, require_room, room_for
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.rows import infos_of, matching, write_tags
from grid.storage.objects.store import DiskObjectStore
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.objects import FinishUpload, ListObjects, ObjectView, PutObject, UpdateObject
from syft_ext.store.content import MATCHED
from syft_ext.store.objects import ObjectInfo, searchable

__all__ = ["ObjectManager", "within_quota"]

ViewerLoader = Callable[[Session], Viewer]


class ObjectManager:
    """``viewer_of`` arguments are asked inside the transaction, so that groups are those of the moment."""

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self.store = DiskObjectStore(db, blobs)

    # -- look ---------------------------------------------------------------------------------------

    def find(self, load_viewer: ViewerLoader, message: ListObjects) -> list[ObjectView]:
        """The objects that fit and that the viewer may find, newest first."""
        statement = matching(message.text, message.tags, message.kind or None, None)
        with self._db.read() as session:
            viewer = load_viewer(session)
            if message.mine:
                statement = statement.where(ObjectRow.owner == viewer.user_id)
            else:
                statement = statement.where(in_listing(viewer))
            page = session.scalars(statement.limit(message.limit).offset(message.offset)).all()
            return [view_of(info, viewer) for info in infos_of(session, page)]

    def describe(self, load_viewer: ViewerLoader, object_id: str) -> ObjectView:
        """The object, without its content. Raises :class:`NotFound` also for what the viewer may not find."""
        with self._db.read() as session:
            viewer = load_viewer(session)
            now = self._clock.now()
            info = visible(session, viewer, object_id, now)
            view = _whole_view(session, info, viewer)
            view.may_read = view.may_read or bool(allowed(session, viewer, "read", [object_id], now=now))
            return view

    def read(self, load_viewer: ViewerLoader, object_id: str) -> tuple[Download, frozenset[str]]:
        """The content, and the grants that this rests on, each of which lost a use.

        Raises :class:`Forbidden` to whoever may find the object and not read it, :class:`TooLarge` for more
        than a grant or the site's policy lets out at once.
        """
        with self._db.read() as session:
            viewer = load_viewer(session)
            found = infos_of(session, [object_id])
            if found and may_read(found[0], viewer):
                return self._content(session, found[0], viewer), frozenset()
        with self._db.transaction() as session:
            viewer = load_viewer(session)
            now = self._clock.now()
            size = sum(info.size for info in infos_of(session, [object_id]))
            grants = require(session, viewer, "read", [object_id], now=now, output_bytes=size)
            check_output(current_policy(session), size)
            spend(session, grants, now=now)
            (info,) = infos_of(session, [object_id])
            return self._content(session, info, viewer), grants

    def _content(self, session: Session, info: ObjectInfo, viewer: Viewer) -> Download:
        digest = session.get_one(ObjectRow, info.id).blob_digest
        return download(self._blobs, digest, info.size, view_of(info, viewer))

    # -- make ---------------------------------------------------------------------------------------

    def describe_new(
        self, owner_id: str, message: PutObject | FinishUpload, *, object_id: str = ""
    ) -> ObjectInfo:
        """The description of an object that ``owner_id`` puts there; its content follows."""
        if message.kind == MATCHED:
            raise BadRequest("objects of this kind come of intersections, and are put by nobody")
        finders = {owner_id, *message.finders, *([EVERYBODY] if message.searchable else [])}
        return ObjectInfo(
            id=object_id or new_id(),
            kind=message.kind,
            description=message.description,
            tags=tuple(message.tags),
            read_permissions=frozenset({owner_id, *message.readers}),
            search_permissions=frozenset(finders),
            owner=owner_id,
            created_at=self._clock.now(),
        )

    def put(
        self, viewer: Viewer, message: PutObject, chunks: Iterable[bytes | bytearray | memoryview]
    ) -> ObjectView:
        """Store ``chunks`` as an object of the viewer's; it is there once this returns.

        Raises :class:`QuotaExceeded` as soon as they are more than the viewer may keep.
        """
        with self._db.read() as session:
            require_fit(session, viewer.user_id, "objects", number=1)
            room = room_for(session, viewer.user_id, "objects")
        described = self.describe_new(viewer.user_id, message)
        info = self.store.put_stream(described, limited(chunks, room, "objects"), within_quota)
        return view_of(info, viewer)

    def made_from(self, viewer: Viewer, upload_id: str) -> ObjectView | None:
        """The viewer's object that a finished upload of theirs became."""
        with self._db.read() as session:
            found = infos_of(session, [upload_id])
        return view_of(found[0], viewer) if found and viewer.owns(found[0].owner) else None

    # -- change -------------------------------------------------------------------------------------

    def update(self, load_viewer: ViewerLoader, message: UpdateObject) -> ObjectView:
        """Change what is not None. Raises :class:`Forbidden` for readers of what the viewer does not govern."""
        with self._db.transaction() as session:
            viewer = load_viewer(session)
            info = changeable(session, viewer, message.object_id, self._clock.now())
            description = info.description if message.description is None else message.description
            tags = info.tags if message.tags is None else tuple(message.tags)
            row = session.get_one(ObjectRow, info.id)
            row.description, row.search_text = description, searchable(description, tags)
            write_tags(session, info.id, tags)
            # The owner keeps their own places: an object that nobody can reach is of no use.
            owner = {info.owner} if info.owner else set()
            if any(each is not None for each in (message.readers, message.analysts, message.programmers)):
                self._require_governing(session, viewer, info.id)
            if message.readers is not None:
                own = {viewer.user_id} if viewer.owns(info.owner) else set()
                set_members(session, info.id, "read", own | set(message.readers))
            finders = set(info.search_permissions if message.finders is None else message.finders) | owner
            if message.searchable is not None:
                finders = finders | {EVERYBODY} if message.searchable else finders - {EVERYBODY}
            set_members(session, info.id, "search", finders)
            if message.analysts is not None:
                set_members(session, info.id, "statistics", set(message.analysts))
            if message.programmers is not None:
                set_members(session, info.id, "compute", set(message.programmers))
            session.flush()
            (changed,) = infos_of(session, [info.id])
            return _whole_view(session, changed, viewer)

    @staticmethod
    def _require_governing(session: Session, viewer: Viewer, object_id: str) -> None:
        if not governs(session, viewer.user_id, object_id):
            raise Forbidden(
                "who reads, analyses or computes on an object is for the owner of the data to say",
                id=object_id,
            )

    def delete(self, load_viewer: ViewerLoader, object_id: str) -> None:
        """Delete what the viewer may change. Raises :class:`Conflict` while a dataset uses it."""
        with self._db.read() as session:
            changeable(session, load_viewer(session), object_id, self._clock.now())
        try:
            del self.store[object_id]
        except IntegrityError as error:
            raise Conflict("a dataset uses this object; change or delete the dataset first") from error


def within_quota(session: Session, info: ObjectInfo) -> None:
    """Raise :class:`QuotaExceeded` if the object's owner keeps too much, it being there already."""
    require_room(session, info.owner, "objects")


def may_read(info: ObjectInfo, viewer: Viewer) -> bool:
    """Being the owner grants nothing by itself: they are on the list (derived objects have owners too)."""
    return on_a_list(viewer, "read", {"read": info.read_permissions})


def visible(session: Session, viewer: Viewer, object_id: str, now: float) -> ObjectInfo:
    """The object, or :class:`NotFound` if there is none for this viewer."""
    found = infos_of(session, [object_id]) if sees(session, viewer, object_id, now=now) else []
    if not found:
        raise NotFound("there is no such object", id=object_id)
    return found[0]


def changeable(session: Session, viewer: Viewer, object_id: str, now: float) -> ObjectInfo:
    """As :func:`visible`; raises :class:`Forbidden` to whoever may not change it."""
    info = visible(session, viewer, object_id, now)
    if not viewer.may_change(info.owner):
        raise Forbidden("this object is not yours", id=object_id)
    return info


def _whole_view(session: Session, info: ObjectInfo, viewer: Viewer) -> ObjectView:
    """With the lists that are not kept in its description, for whoever may see them."""
    view = view_of(info, viewer)
    if viewer.may_change(info.owner):
        view.analysts = members(session, info.id, "statistics")
        view.programmers = members(session, info.id, "compute")
    return view


def view_of(info: ObjectInfo, viewer: Viewer) -> ObjectView:
    """The object as the viewer sees it: who reads and finds it is shown to whoever may change it."""
    shown = viewer.may_change(info.owner)
    return ObjectView(
        id=info.id,
        kind=info.kind,
        description=info.description,
        tags=list(info.tags),
        size=info.size,
        dtype=info.dtype,
        shape=None if info.shape is None else list(info.shape),
        owner=info.owner or "",
        may_read=may_read(info, viewer),
        created_at=info.created_at,
        readers=sorted(info.read_permissions) if shown else [],
        finders=sorted(info.search_permissions) if shown else [],
    )
