"""How a node is reached, as commands tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_ext.transport.base import Path

__all__ = ["way_taken"]


def way_taken(path: Path) -> dict[str, Any]:
    """The way, and why not the others, where several were tried."""
    failed = [f"{way}: {why}" for way, why in path["failed"].items()]
    return {"way": path["taken"], **({"other_ways": failed} if failed else {})}
