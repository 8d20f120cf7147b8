"""Whether memory that is to be used again is still looked at by somebody."""

from __future__ import annotations

__all__ = ["is_read"]


def is_read(memory: bytearray) -> bool:
    """Whether somebody looks at ``memory``: Python changes no size of what is looked at."""
    try:
        memory.append(memory.pop())
    except BufferError:
        return True
    return False
