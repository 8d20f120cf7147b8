"""Datasets: what their owners publish of them, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.access.viewer import Viewer
from grid.catalogue.assets import AssetWriter, as_message
from grid.catalogue.content import download
from grid.catalogue.dataset_views import load, published_of, view_of
from grid.catalogue.forms import form_of
from grid.catalogue.published_index import changed
from grid.catalogue.search import folded_column
from grid.catalogue.tables import (
    DatasetAsset,
    DatasetColumn,
    DatasetRow,
    DatasetTag,
    DatasetVersion,
    DatasetViewer,
)
from grid.catalogue.visibility import changeable, findable, newest, shown_as, visible
from grid.node import Download
from grid.quotas.enforcing import require_room
from grid.quotas.usage import OWNER, Kind, register_kind
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.datasets import (
    CreateDataset,
    DatasetView,
    ListDatasets,
    MockView,
    UpdateAsset,
    UpdateDataset,
)
from syft_ext.store.objects import fold

__all__ = ["DatasetManager", "asset_of", "shown_as"]

ViewerLoader = Callable[[Session], Viewer]
_encode = msgspec.msgpack.Encoder().encode
register_kind(
    Kind.of("datasets", select(func.count().label("number")).where(DatasetRow.owner_id == bindparam(OWNER)))
)


class DatasetManager:
    """``load_viewer`` arguments are asked inside the transaction, so that groups are those of the moment."""

    def __init__(self, db: Database, blobs: BlobStore, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock

    # -- look ---------------------------------------------------------------------------------------

    def get(self, load_viewer: ViewerLoader, dataset_id: str) -> DatasetView:
        """The dataset as the viewer may see it. Raises :class:`NotFound` also for what they may not find."""
        with self._db.read() as session:
            viewer = load_viewer(session)
            (found,) = load(session, [visible(session, viewer, dataset_id)])
            return view_of(found, viewer, current_policy(session))

    def all(self, load_viewer: ViewerLoader, message: ListDatasets) -> list[DatasetView]:
        """Those that the viewer may find, newest first."""
        with self._db.read() as session:
            viewer = load_viewer(session)
            query = select(DatasetRow).where(findable(viewer))
            if message.mine:
                query = query.where(DatasetRow.owner_id == viewer.user_id)
            if message.name:
                query = query.where(DatasetRow.name == message.name)
            page = session.scalars(newest(query).limit(message.limit).offset(message.offset)).all()
            policy = current_policy(session)
            return [view_of(view, viewer, policy) for view in load(session, page)]

    def mock(self, load_viewer: ViewerLoader, dataset_id: str, asset: str) -> Download:
        """The mock's bytes. Raises :class:`NotFound` where there is none, or the dataset does not publish it."""
        with self._db.read() as session:
            viewer = load_viewer(session)
            row = visible(session, viewer, dataset_id)
            shown = viewer.may_change(row.owner_id) or {"assets", "mock"} <= set(row.published)
            part = session.get(DatasetAsset, (dataset_id, asset)) if shown else None
            mock = session.get(ObjectRow, part.mock_id) if part and part.mock_id else None
            if mock is None:
                raise NotFound("there is no such mock")
            reply = MockView(kind=mock.kind, size=mock.size, dtype=mock.dtype, shape=mock.shape)
            digest = mock.blob_digest
        return download(self._blobs, digest, reply.size, reply)

    # -- change -------------------------------------------------------------------------------------

    def create(self, load_viewer: ViewerLoader, message: CreateDataset) -> DatasetView:
        """A dataset of the viewer's. Raises :class:`Conflict` if they have one of that name."""
        now = self._clock.now()
        with self._changing(f"you have a dataset {message.name!r} already") as session:
            viewer = load_viewer(session)
            row = DatasetRow(
                id=new_id(),
                owner_id=viewer.user_id,
                name=message.name,
                description=message.description,
                tags=list(message.tags),
                subjects=message.subjects,
                visibility=message.visibility,
                published=sorted(set(message.published)),
                search_text="",
                created_at=now,
                updated_at=now,
            )
            session.add(row)
            session.flush()
            AssetWriter(session, self._blobs, row, now).set_all(message.assets)
            _set_viewers(session, row, message.viewers)
            view = self.finish(session, viewer, row)
            require_room(session, viewer.user_id, "datasets")
            return view

    def update(self, load_viewer: ViewerLoader, message: UpdateDataset) -> DatasetView:
        """Change what is not None; assets with other content get a new version. Raises as :func:`changeable`."""
        with self._changing("there is such a dataset of this owner already") as session:
            viewer = load_viewer(session)
            row = changeable(session, viewer, message.dataset_id, content=message.assets is not None)
            for name in ("name", "description", "subjects", "visibility"):
                if getattr(message, name) is not None:
                    setattr(row, name, getattr(message, name))
            if message.tags is not None:
                row.tags = list(message.tags)
            if message.published is not None:
                row.published = sorted(set(message.published))
            if message.viewers is not None:
                _set_viewers(session, row, message.viewers)
            row.updated_at = self._clock.now()
            session.flush()
            if message.assets is not None:
                writer = AssetWriter(session, self._blobs, row, row.updated_at)
                writer.set_all(message.assets, message.note)
            return self.finish(session, viewer, row)

    def update_asset(self, load_viewer: ViewerLoader, message: UpdateAsset) -> tuple[DatasetView, str]:
        """The dataset, and the id of the content that the asset had before."""
        with self._changing("the dataset was changed meanwhile") as session:
            viewer = load_viewer(session)
            row = changeable(session, viewer, message.dataset_id, content=True)
            before = asset_of(session, row, message.asset).object_id
            listed = select(DatasetAsset).where(DatasetAsset.dataset_id == row.id)
            assets = session.scalars(listed.order_by(DatasetAsset.position)).all()
            listing = [as_message(each, message) for each in assets]
            row.updated_at = self._clock.now()
            session.flush()
            AssetWriter(session, self._blobs, row, row.updated_at).set_all(listing, message.note)
            return self.finish(session, viewer, row), before

    @contextmanager
    def _changing(self, conflict: str) -> Iterator[Session]:
        try:
            with self._db.transaction() as session:
                yield session
        except IntegrityError as error:
            raise Conflict(conflict) from error

    def finish(self, session: Session, viewer: Viewer, row: DatasetRow) -> DatasetView:
        """Bring what a search sees up to date with what is published; call it at the end of every change."""
        session.flush()
        (dataset,) = load(session, [row])
        published = published_of(dataset)
        row.entry, row.search_text = _encode(published.entry), fold(published.text)
        row.published_bytes, row.published_rows = published.size, published.rows
        row.has_statistics = {"assets", "schema"} <= set(row.published) and any(
            asset.statistics.get("found") for asset, _ in dataset.assets
        )
        session.execute(delete(DatasetTag).where(DatasetTag.dataset_id == row.id))
        session.add_all(DatasetTag(dataset_id=row.id, tag=tag) for tag in dict.fromkeys(published.tags))
        session.execute(delete(DatasetColumn).where(DatasetColumn.dataset_id == row.id))
        columns = dict.fromkeys(folded_column(name) for name in published.columns)
        session.add_all(DatasetColumn(dataset_id=row.id, name=name) for name in columns)
        changed(session)
        session.flush()
        return view_of(dataset, viewer, current_policy(session))

    def delete(self, load_viewer: ViewerLoader, dataset_id: str) -> list[str]:
        """Delete the dataset; returns the ids of the objects that it referred to, earlier versions included."""
        with self._db.transaction() as session:
            row = changeable(session, load_viewer(session), dataset_id)
            assets = session.scalars(select(DatasetAsset).where(DatasetAsset.dataset_id == row.id))
            ids = [object_id for asset in assets for object_id in (asset.object_id, asset.mock_id)]
            earlier = select(DatasetVersion.object_id).where(DatasetVersion.dataset_id == row.id)
            ids += session.scalars(earlier)
            session.execute(delete(DatasetRow).where(DatasetRow.id == row.id))
            changed(session)
        return list(dict.fromkeys(object_id for object_id in ids if object_id))

    def reindex(self) -> None:
        """Fill in what an older release did not keep beside its datasets."""
        with self._db.read() as session:
            stale = session.scalars(select(DatasetRow.id).where(DatasetRow.entry == b"")).all()
        for dataset_id in stale:
            with self._db.transaction() as session:
                row = session.get(DatasetRow, dataset_id)
                if row is None:
                    continue
                (dataset,) = load(session, [row])
                for asset, private in dataset.assets:
                    asset.rows = form_of(self._blobs, private.blob_digest, private.kind).rows
                self.finish(session, Viewer(row.owner_id, frozenset()), row)


def asset_of(session: Session, row: DatasetRow, name: str) -> DatasetAsset:
    """Raises :class:`NotFound`."""
    asset = session.get(DatasetAsset, (row.id, name))
    if asset is None:
        raise NotFound(f"the dataset has no asset {name[:80]!r}", id=row.id)
    return asset


def _set_viewers(session: Session, row: DatasetRow, subjects: Sequence[str]) -> None:
    session.execute(delete(DatasetViewer).where(DatasetViewer.dataset_id == row.id))
    session.add_all(DatasetViewer(dataset_id=row.id, subject=subject) for subject in set(subjects))
