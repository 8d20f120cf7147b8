"""Amounts for people: bytes, operations."""

from __future__ import annotations

__all__ = ["scaled"]


def scaled(count: int, unit: str) -> str:
    """``1.3 MB``, ``45.2 kFLOP``: three digits and a decimal prefix (1 MB = 1,000,000 B)."""
    if count < 1000:
        return f"{count} {unit}"
    value = float(count)
    for prefix in "kMG":
        value /= 1000
        if value < 1000:
            return f"{value:.1f} {prefix}{unit}"
    return f"{value / 1000:.1f} T{unit}"
