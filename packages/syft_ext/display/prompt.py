"""Asking the user, where somebody can answer: in a notebook or at a terminal."""

from __future__ import annotations

import sys
from getpass import getpass

from syft_ext.display.progress import surface
from syft_ext.errors import BadRequest

__all__ = ["agreed", "ask", "given_or_asked"]


def ask(label: str) -> str | None:
    """What the user types, unseen; None where nobody can be asked."""
    return getpass(f"{label}: ") if _answers() else None


def agreed(question: str) -> bool:
    """Whether the user types "yes"; False where nobody can be asked."""
    if not _answers():
        return False
    try:
        return input(f'{question} Type "yes" to agree: ').strip().lower() == "yes"
    except (EOFError, NotImplementedError):  # a notebook that somebody else runs
        return False


def _answers() -> bool:
    where = surface()
    try:
        return where == "notebook" or (where == "terminal" and sys.stdin.isatty())
    except ValueError:  # closed
        return False


def given_or_asked(value: str, label: str, argument: str) -> str:
    """``value``, or what the user types; raises :class:`BadRequest`, naming the argument, when neither."""
    found = value or ask(label)
    if not found:
        raise BadRequest(f"give {argument}=, or call this in a terminal or notebook to be asked for it")
    return found
