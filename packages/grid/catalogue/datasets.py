"""Datasets: what their owners publish of them, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import ColumnElement, Select, delete, exists, or_, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.catalogue.access import Viewer
from grid.catalogue.content import download
from grid.catalogue.dataset_views import entry_of, load, published_text, view_of
from grid.catalogue.search import Query
from grid.catalogue.tables import DatasetAsset, DatasetRow, DatasetTag, DatasetViewer
from grid.governance.access import governs
from grid.node import Download
from grid.storage.blobs import BlobStore
from grid.storage.database import Database
from grid.storage.tables import ObjectRow
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.datasets import (
    Asset,
    CreateDataset,
    DatasetView,
    ListDatasets,
    MockView,
    SearchEntry,
    UpdateDataset,
)
from syft_ext.store.objects import fold

__all__ = ["DatasetManager", "shown_as"]

Look = Callable[[Session], Viewer]


class DatasetManager:
    """Also the search source of datasets."""

    kind = "dataset"

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock

    # -- look ---------------------------------------------------------------------------------------

    def get(self, look: Look, dataset_id: str) -> DatasetView:
        with self._db.read() as session:
            viewer = look(session)
            return view_of(load(session, [_visible(session, viewer, dataset_id)])[0], viewer)

    def all(self, look: Look, message: ListDatasets) -> list[DatasetView]:
        with self._db.read() as session:
            viewer = look(session)
            query = select(DatasetRow).where(_findable(viewer))
            if message.mine:
                query = query.where(DatasetRow.owner_id == viewer.user_id)
            if message.name:
                query = query.where(DatasetRow.name == message.name)
            page = session.scalars(_newest(query).limit(message.limit).offset(message.offset)).all()
            return [view_of(view, viewer) for view in load(session, page)]

    def search(self, query: Query, viewer: Viewer) -> list[SearchEntry]:
        conditions = [
            DatasetRow.search_text.contains(word, autoescape=True) for word in fold(query.text).split()
        ]
        for tag in query.tags:
            conditions.append(exists().where(DatasetTag.dataset_id == DatasetRow.id, DatasetTag.tag == tag))
        if query.name:
            conditions.append(DatasetRow.name == query.name)
        found = select(DatasetRow).where(_findable(viewer), *conditions)
        with self._db.read() as session:
            page = session.scalars(_newest(found).limit(query.limit)).all()
            return [entry_of(view) for view in load(session, page)]

    def mock(self, look: Look, dataset_id: str, asset: str) -> Download:
        with self._db.read() as session:
            viewer = look(session)
            row = _visible(session, viewer, dataset_id)
            shown = viewer.may_change(row.owner_id) or {"assets", "mock"} <= set(row.published)
            part = session.get(DatasetAsset, (dataset_id, asset)) if shown else None
            mock = session.get(ObjectRow, part.mock_id) if part and part.mock_id else None
            if mock is None:
                raise NotFound("there is no such mock")
            reply = MockView(kind=mock.kind, size=mock.size, dtype=mock.dtype, shape=mock.shape)
            digest = mock.blob_digest
        return download(self._blobs, digest, reply.size, reply)

    # -- change -------------------------------------------------------------------------------------

    def create(self, look: Look, message: CreateDataset) -> DatasetView:
        now = self._clock.now()
        try:
            with self._db.transaction() as session:
                viewer = look(session)
                row = DatasetRow(
                    id=new_id(),
                    owner_id=viewer.user_id,
                    name=message.name,
                    description=message.description,
                    tags=list(message.tags),
                    visibility=message.visibility,
                    published=_fields(message.published),
                    search_text="",
                    created_at=now,
                    updated_at=now,
                )
                session.add(row)
                session.flush()
                _set_assets(session, row, message.assets)
                _set_viewers(session, row, message.viewers)
                return self._finish(session, viewer, row)
        except IntegrityError as error:
            raise Conflict(f"you have a dataset {message.name!r} already") from error

    def update(self, look: Look, message: UpdateDataset) -> DatasetView:
        try:
            with self._db.transaction() as session:
                viewer = look(session)
                row = _changeable(session, viewer, message.dataset_id)
                for name in ("name", "description", "visibility"):
                    if getattr(message, name) is not None:
                        setattr(row, name, getattr(message, name))
                if message.tags is not None:
                    row.tags = list(message.tags)
                if message.published is not None:
                    row.published = _fields(message.published)
                if message.assets is not None:
                    if not viewer.owns(row.owner_id):
                        # A manager could show another's private data as a "mock" of something else.
                        raise Forbidden("what a dataset is made of is for its owner to say", id=row.id)
                    _set_assets(session, row, message.assets)
                if message.viewers is not None:
                    _set_viewers(session, row, message.viewers)
                row.updated_at = self._clock.now()
                return self._finish(session, viewer, row)
        except IntegrityError as error:
            raise Conflict("there is such a dataset of this owner already") from error

    def _finish(self, session: Session, viewer: Viewer, row: DatasetRow) -> DatasetView:
        """Bring what search looks into up to date with what is published."""
        session.flush()
        (view,) = load(session, [row])
        row.search_text = fold(published_text(view))
        session.execute(delete(DatasetTag).where(DatasetTag.dataset_id == row.id))
        if "tags" in row.published:
            session.add_all(DatasetTag(dataset_id=row.id, tag=tag) for tag in dict.fromkeys(row.tags))
        session.flush()
        return view_of(view, viewer)

    def delete(self, look: Look, dataset_id: str) -> list[str]:
        """Delete the dataset; returns the ids of the objects that it referred to."""
        with self._db.transaction() as session:
            row = _changeable(session, look(session), dataset_id)
            assets = session.scalars(select(DatasetAsset).where(DatasetAsset.dataset_id == row.id))
            ids = [object_id for asset in assets for object_id in (asset.object_id, asset.mock_id)]
            session.execute(delete(DatasetRow).where(DatasetRow.id == row.id))
        return [object_id for object_id in ids if object_id]


def shown_as(session: Session, viewer: Viewer, object_id: str) -> str | None:
    """Dataset and asset under which the viewer is shown that there is this object; None if he is not."""
    rows = session.execute(
        select(DatasetRow, DatasetAsset.name)
        .join(DatasetAsset, DatasetAsset.dataset_id == DatasetRow.id)
        .where(DatasetAsset.object_id == object_id, _findable(viewer))
        .order_by(DatasetRow.created_at.desc(), DatasetRow.id)
    )
    for row, asset in rows:
        if "assets" in row.published or viewer.may_change(row.owner_id):
            return f"{row.name}: {asset}"
    return None


def _newest(query: Select[DatasetRow]) -> Select[DatasetRow]:
    return query.order_by(DatasetRow.created_at.desc(), DatasetRow.id)


def _findable(viewer: Viewer) -> ColumnElement[bool]:
    if viewer.manager:
        return true()
    if viewer.is_network:
        return DatasetRow.visibility == "public"
    named = exists().where(
        DatasetViewer.dataset_id == DatasetRow.id, DatasetViewer.subject.in_(viewer.subjects)
    )
    return or_(DatasetRow.visibility.in_(("public", "users")), DatasetRow.owner_id == viewer.user_id, named)


def _visible(session: Session, viewer: Viewer, dataset_id: str) -> DatasetRow:
    found = select(DatasetRow).where(DatasetRow.id == dataset_id, _findable(viewer))
    row = session.scalars(found).one_or_none()
    if row is None:
        raise NotFound("there is no such dataset", id=dataset_id)
    return row


def _changeable(session: Session, viewer: Viewer, dataset_id: str) -> DatasetRow:
    row = _visible(session, viewer, dataset_id)
    if not viewer.may_change(row.owner_id):
        raise Forbidden("this dataset is not yours", id=dataset_id)
    return row


def _fields(names: Sequence[str]) -> list[str]:
    return sorted(set(names))


def _set_viewers(session: Session, row: DatasetRow, subjects: Sequence[str]) -> None:
    session.execute(delete(DatasetViewer).where(DatasetViewer.dataset_id == row.id))
    session.add_all(DatasetViewer(dataset_id=row.id, subject=subject) for subject in set(subjects))


def _set_assets(session: Session, row: DatasetRow, assets: Sequence[Asset]) -> None:
    """Replace the assets. Raises :class:`BadRequest` or :class:`NotFound` for what cannot be one."""
    if len({asset.name for asset in assets}) != len(assets):
        raise BadRequest("two assets have the same name")
    session.execute(delete(DatasetAsset).where(DatasetAsset.dataset_id == row.id))
    for position, asset in enumerate(assets):
        private = _own(session, row, asset.object_id)
        if asset.mock_id is not None:
            mock = _own(session, row, asset.mock_id)
            if mock.blob_digest == private.blob_digest:
                raise BadRequest(f"the mock of {asset.name!r} holds the private data itself")
            if mock.kind != private.kind:
                raise BadRequest(f"the mock of {asset.name!r} is a {mock.kind}, the data a {private.kind}")
        session.add(
            DatasetAsset(
                dataset_id=row.id,
                name=asset.name,
                position=position,
                description=asset.description,
                object_id=asset.object_id,
                mock_id=asset.mock_id,
                columns=msgspec.to_builtins(asset.columns),
            )
        )
    session.flush()


def _own(session: Session, row: DatasetRow, object_id: str) -> ObjectRow:
    """An object of the dataset's owner, made of his own data: nobody publishes (a mock of) others' data."""
    found = session.get(ObjectRow, object_id)
    if found is None or found.owner != row.owner_id or not governs(session, row.owner_id, object_id):
        raise NotFound("there is no such object of yours", id=object_id)
    return found
