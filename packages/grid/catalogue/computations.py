"""How stored objects were computed, as whoever decides on them reads it."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.catalogue.tables import ObjectComputation
from grid.storage.objects.tables import ObjectRow

__all__ = ["add_computation", "computation_of"]

_LOADED = re.compile(r"\bload ([0-9a-f]{32})\b")
_MOST = 64
"""Computed objects whose steps are shown; that there are more is said where the first of them would stand."""
_LABEL = 80


def add_computation(session: Session, object_id: str, text: str) -> None:
    """Write down, in the transaction that makes the object, what was computed; objects as ``load ID``."""
    session.add(ObjectComputation(object_id=object_id, text=text))


def computation_of(session: Session, object_id: str) -> str:
    """Every step behind the object, after those of what it was computed from; "" if nobody computed it here."""
    parts: list[str] = []
    _collect(session, object_id, parts, set())
    return "\n".join(parts)


def _collect(session: Session, object_id: str, parts: list[str], seen: set[str]) -> None:
    if object_id in seen:
        return
    text = session.scalar(select(ObjectComputation.text).where(ObjectComputation.object_id == object_id))
    if text is None:
        return
    if len(seen) >= _MOST:
        parts.append(f"object {object_id}: it was computed here, too, and its steps are not shown")
        return
    seen.add(object_id)
    for source in dict.fromkeys(_LOADED.findall(text)):
        _collect(session, source, parts, seen)
        text = text.replace(f"load {source}", f"load {source}{_label(session, source)}")
    parts += [f"object {object_id}:", *(f"  {line}" for line in text.splitlines())]


def _label(session: Session, object_id: str) -> str:
    found = session.get(ObjectRow, object_id)
    if found is None:
        return " (deleted)"
    return f" ({found.description[:_LABEL]!r})" if found.description else ""
