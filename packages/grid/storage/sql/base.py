"""The declarative base on which every concern registers its tables."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

__all__ = ["Base", "declare_complete", "require_complete"]

_COMPLETE = "complete"


class Base(DeclarativeBase):
    """Base of all tables. Constraint names are fixed, so that migrations can name what they alter."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def declare_complete() -> None:
    """Say that all tables are declared: for :mod:`grid.schema`, which imports them all, and nobody else."""
    Base.metadata.info[_COMPLETE] = True


def require_complete() -> None:
    """Raise ``RuntimeError`` unless every table is declared: only then is it known what refers to what."""
    if not Base.metadata.info.get(_COMPLETE):
        raise RuntimeError("not all tables are declared: import grid.schema before anything is removed")
