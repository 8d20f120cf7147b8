"""Where this distribution's own code lies, told once.

Nothing else may count how deep a file lies in the tree: the sandbox lets a plan's process read the source root and
nothing beside it, so a root that is one folder off would either stop plans or show them what is not theirs.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["PACKAGE", "SOURCE_ROOT"]


def _package() -> Path:
    spec = find_spec(__name__.partition(".")[0])
    if spec is None or spec.origin is None:
        raise ImportError(
            "syft_ext lies in no folder; the sandbox needs a real one to start its processes from"
        )
    return Path(spec.origin).resolve().parent


PACKAGE = _package()
"""The folder of ``syft_ext`` itself."""

SOURCE_ROOT = PACKAGE.parent
"""The folder from which ``syft_ext`` and ``grid`` are imported: one entry of ``sys.path``."""
