"""Private tensors: sums over rows of one table or several, published under noise that covers each person whole.

Steps are data (:mod:`syft_ext.privacy.expressions`). A Domain works out the bounds itself, from its owners'
schemas.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.privacy.steps import MAX_STEPS, Step

__all__ = ["PrivateTable", "PublishTensor", "Published"]


class PrivateTable(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A table that rows are taken of. ``subjects``: the column that says whom a row is about, as its owner has
    it; "": the owner's, whichever it is."""

    object_id: Id
    subjects: Annotated[str, msgspec.Meta(max_length=255)] = ""


class Published(Reply):
    """The numbers, with noise.

    Attributes:
        values: of the last step. deviation: standard deviation of the noise in each of them.
        epsilon: of the release, at the delta of ledgers (1e-6).
        shares: what it took of each table's ledger now; 0 where the same was published before.
    """

    values: list[float] = []
    deviation: float = 0.0
    epsilon: float = 0.0
    shares: list[float] = []


@operation("private_tensors.publish", rest="POST /private-tensors", reply=Published, permission=USER)
class PublishTensor(Message):
    """Publish the last step, a sum, under Gaussian noise. Spends one use of the grants that it rests on.

    Each table's ledger is charged, and so is each person who has rows in any of them, once, however many tables
    they are in: whoever has nothing left is left out before the sum, and nobody is told.

    Attributes:
        epsilon: how much the release may tell of a person, at the delta of ledgers.
        dry: only say what it would take, and how much noise there would be. Spends nothing.
    """

    tables: Annotated[list[PrivateTable], msgspec.Meta(min_length=1, max_length=16)]
    steps: Annotated[list[Step], msgspec.Meta(min_length=1, max_length=MAX_STEPS)]
    epsilon: Annotated[float, msgspec.Meta(ge=1e-6, le=100.0)]
    dry: bool = False
