"""A Domain as it was before there was consent to trainings: for tests that are about something else.

By default a training is reviewed, and only accounts and accepted Workers take part: see
:mod:`tests.federated.consent`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from grid.access.tables import PolicyRow
from grid.storage.sql.database import Database
from syft_ext.messages.policy import SetPolicy, SitePolicy

__all__ = ["OPEN", "open_policy", "open_site"]

OPEN = {"trainings": "open", "participation": "open", "trained_models": "users"}
"""What an owner sets who lets anybody host, take part and read."""


def open_site(database: Database, **demands: Any) -> None:
    """Set the policy of a node, or a pipeline, in this process, with further demands."""
    document = msgspec.to_builtins(open_policy(**demands).policy)
    with database.transaction() as session:
        session.merge(PolicyRow(id=1, document=document, changed_at=0.0, changed_by="owner"))


def open_policy(**demands: Any) -> SetPolicy:
    """The owner's message that sets it, with further demands."""
    return SetPolicy(policy=msgspec.convert(OPEN | demands, SitePolicy))
