"""Recorded evidence, which is material beside the checkout and no part of it: whoever lacks it skips."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from syft_ext.attestation.evidence import Companion, Evidence

__all__ = ["EVIDENCE", "companion", "entries", "evidence", "expected", "moment"]

ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = Path(os.environ.get("GRID_SHARED") or ROOT.parent / "shared") / "confidential" / "evidence"

_LISTED = EVIDENCE / "expected.json"


def entries(*kinds: str) -> list[str]:
    """Names of the recorded pieces of these kinds; without the material one name, whose tests skip."""
    if not _LISTED.exists():
        return ["not here"]
    said = json.loads(_LISTED.read_text())
    return [name for name, entry in said.items() if entry["kind"] in kinds]


def expected(name: str) -> dict[str, Any]:
    """What a recorded piece yields."""
    if not _LISTED.exists():
        pytest.skip(f"recorded evidence is not at {EVIDENCE}")
    return cast(dict[str, Any], json.loads(_LISTED.read_text())[name])


def companion(name: str) -> Companion:
    """A recorded file beside evidence."""
    return Companion(name, (EVIDENCE / name).read_bytes())


def evidence(kind: str, name: str, *beside: str) -> Evidence:
    """A recorded piece with what lies beside it."""
    return Evidence(kind, (EVIDENCE / name).read_bytes(), tuple(companion(one) for one in beside))


def moment(text: str) -> datetime:
    """A time of ``expected.json``: in UTC, whether it says so or not."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
