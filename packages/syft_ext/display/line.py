"""One line to whoever runs this program: what they must not miss, and need not answer."""

from __future__ import annotations

import sys

from syft_ext.readable import readable

__all__ = ["announce"]


def announce(text: str) -> None:
    """Write ``text`` as one line of output, wherever that goes."""
    sys.stdout.write(f"{readable(text)}\n")
    sys.stdout.flush()
