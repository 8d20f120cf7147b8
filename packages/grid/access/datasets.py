"""Who finds a dataset: once in Python, once as SQL. What one is shown of it is for its owner to publish."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, true

from grid.access.viewer import Viewer

__all__ = ["DatasetColumns", "finds_dataset", "found_by", "found_by_every_user"]

#: The visibilities under which Networks, and so everybody, find a dataset, and under which every user does. The
#: others are found by whom the dataset names, by its owner, and by managers.
_NETWORKS = ("public",)
_USERS = ("public", "users")


@dataclass(frozen=True, slots=True)
class DatasetColumns:
    """Where the rule reads of datasets: columns of their table, and of that of the subjects that each names."""

    id: ColumnElement[str] | Any
    owner: ColumnElement[str] | Any
    visibility: ColumnElement[str] | Any
    named_by: ColumnElement[str] | Any
    subject: ColumnElement[str] | Any


def finds_dataset(viewer: Viewer, *, owner: str, visibility: str, named: Collection[str]) -> bool:
    """Whether the viewer finds a dataset of ``owner`` that names these subjects."""
    if viewer.manager:
        return True
    if viewer.is_network:
        return visibility in _NETWORKS
    return visibility in _USERS or viewer.owns(owner) or not viewer.subjects.isdisjoint(named)


def found_by(viewer: Viewer, dataset: DatasetColumns) -> ColumnElement[bool]:
    """:func:`finds_dataset` as an SQL condition."""
    if viewer.manager:
        return true()
    if viewer.is_network:
        return _is_one_of(dataset, _NETWORKS)
    named = exists().where(dataset.named_by == dataset.id, dataset.subject.in_(viewer.subjects))
    return or_(_is_one_of(dataset, _USERS), dataset.owner == viewer.user_id, named)


def found_by_every_user(dataset: DatasetColumns) -> ColumnElement[bool]:
    """The SQL condition that every user finds a dataset."""
    return _is_one_of(dataset, _USERS)


def _is_one_of(dataset: DatasetColumns, visibilities: tuple[str, ...]) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = dataset.visibility.in_(visibilities)
    return condition
