"""Who finds which dataset, as SQL; and as what one is shown an object."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from grid.access.datasets import DatasetColumns, found_by, found_by_every_user
from grid.access.shown import register_shown
from grid.access.viewer import Viewer
from grid.catalogue.tables import DatasetAsset, DatasetRow, DatasetVersion, DatasetViewer
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Forbidden, NotFound

__all__ = ["changeable", "findable", "findable_by_every_user", "newest", "shown_as", "visible"]

S = TypeVar("S", bound=Select[*tuple[Any, ...]])


_COLUMNS = DatasetColumns(
    id=DatasetRow.id,
    owner=DatasetRow.owner_id,
    visibility=DatasetRow.visibility,
    named_by=DatasetViewer.dataset_id,
    subject=DatasetViewer.subject,
)


def findable(viewer: Viewer) -> ColumnElement[bool]:
    """The SQL condition that the viewer may find a dataset."""
    return found_by(viewer, _COLUMNS)


def findable_by_every_user() -> ColumnElement[bool]:
    """The SQL condition that every user may find a dataset."""
    return found_by_every_user(_COLUMNS)


def newest(query: S) -> S:
    """The query in the order of listings: newest first, and by id where several were made at once."""
    return query.order_by(DatasetRow.created_at.desc(), DatasetRow.id)


def visible(session: Session, viewer: Viewer, dataset_id: str) -> DatasetRow:
    """The dataset, or :class:`NotFound` if there is none for this viewer."""
    found = select(DatasetRow).where(DatasetRow.id == dataset_id, findable(viewer))
    row = session.scalars(found).one_or_none()
    if row is None:
        raise NotFound("there is no such dataset", id=dataset_id)
    return row


def changeable(session: Session, viewer: Viewer, dataset_id: str, *, content: bool = False) -> DatasetRow:
    """As :func:`visible`; raises :class:`Forbidden` to whoever may not change it.

    ``content``: what it is made of, and what is told of that, is for its owner alone to say. A manager could
    show another's private data as a "mock" of something else.
    """
    row = visible(session, viewer, dataset_id)
    if not viewer.may_change(row.owner_id):
        raise Forbidden("this dataset is not yours", id=dataset_id)
    if content and not viewer.owns(row.owner_id):
        raise Forbidden("what a dataset is made of is for its owner to say", id=dataset_id)
    return row


@register_shown
def shown_as(session: Session, viewer: Viewer, object_id: str) -> str | None:
    """Dataset and asset under which the viewer is shown that there is this object; None if they are not."""
    current = (
        select(DatasetRow, DatasetAsset.name)
        .join(DatasetAsset, DatasetAsset.dataset_id == DatasetRow.id)
        .where(DatasetAsset.object_id == object_id, findable(viewer))
    )
    for row, asset in session.execute(newest(current)):
        if "assets" in row.published or viewer.may_change(row.owner_id):
            return f"{row.name}: {asset}"
    earlier = (
        select(DatasetRow, DatasetVersion.asset, DatasetVersion.number)
        .join(DatasetVersion, DatasetVersion.dataset_id == DatasetRow.id)
        .join(ObjectRow, ObjectRow.id == DatasetVersion.object_id)
        # of an asset that is still there: the versions of others are not shown
        .join(
            DatasetAsset,
            (DatasetAsset.dataset_id == DatasetRow.id) & (DatasetAsset.name == DatasetVersion.asset),
        )
        .where(DatasetVersion.object_id == object_id, findable(viewer))
    )
    for row, asset, number in session.execute(newest(earlier)):
        if {"assets", "versions"} <= set(row.published) or viewer.may_change(row.owner_id):
            return f"{row.name}: {asset}, version {number}"
    return None
