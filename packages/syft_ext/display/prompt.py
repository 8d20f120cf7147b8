"""Asking the user for a secret, where somebody can answer: in a notebook or at a terminal."""

from __future__ import annotations

import sys
from getpass import getpass

from syft_ext.display.progress import surface
from syft_ext.errors import BadRequest

__all__ = ["ask", "given_or_asked"]


def ask(label: str) -> str | None:
    """What the user types, unseen; None where nobody can be asked."""
    where = surface()
    try:
        interactive = where == "notebook" or (where == "terminal" and sys.stdin.isatty())
    except ValueError:  # closed
        interactive = False
    return getpass(f"{label}: ") if interactive else None


def given_or_asked(value: str, label: str, argument: str) -> str:
    """``value``, or what the user types; raises :class:`BadRequest`, naming the argument, when neither."""
    found = value or ask(label)
    if not found:
        raise BadRequest(f"give {argument}=, or call this in a terminal or notebook to be asked for it")
    return found
