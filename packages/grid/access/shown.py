"""What else shows that an object is there: a dataset names assets to people who may not find the object itself.

Who is shown an object knows of it; telling them that there is none would be untrue, and tell nobody how to ask.
What shows objects (:mod:`grid.catalogue`) is above this room, and says so when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from grid.access.viewer import Viewer

__all__ = ["ShownAs", "is_shown", "name_shown", "register_shown"]

#: As what a viewer is shown an object; None where they are not.
ShownAs = Callable[[Session, Viewer, str], str | None]

_SOURCES: list[ShownAs] = []


def register_shown(source: ShownAs) -> ShownAs:
    """Let ``source`` be asked, too."""
    if source not in _SOURCES:
        _SOURCES.append(source)
    return source


def name_shown(session: Session, viewer: Viewer, object_id: str) -> str:
    """As what the viewer is shown the object; "" where they are not."""
    return next((found for source in _SOURCES if (found := source(session, viewer, object_id))), "")


def is_shown(session: Session, viewer: Viewer, object_id: str) -> bool:
    """Whether anything shows the viewer that the object is there."""
    return any(source(session, viewer, object_id) is not None for source in _SOURCES)
