"""The sum of a cycle's encrypted reports, as a training's host and their Domain speak of it: who holds the key
opens it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.federated import ProcessView
from syft_ext.messages.fields import Id
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER

__all__ = ["AdvanceTraining", "EncryptedSumView", "GetEncryptedSum"]


class EncryptedSumView(Reply):
    """What comes with an encrypted sum.

    Attributes:
        cycle: its number. count: how many reports are in it.
        kind: of its content, as that of an object: a frame of :mod:`syft_ext.encrypted.frames`.
    """

    process_id: str
    cycle: int
    count: int
    digest: str
    size: int
    kind: str


@operation(
    "federated.encrypted_sum",
    rest="GET /federated/processes/{process_id}/encrypted-sum",
    reply=EncryptedSumView,
    permission=USER,
    downloads=True,
)
class GetEncryptedSum(Message):
    """Download the encrypted sum that a training waits for you to open; of trainings that you host."""

    process_id: Id


@operation(
    "federated.advance",
    rest="PUT /federated/processes/{process_id}/encrypted-sum/{cycle}",
    reply=ProcessView,
    permission=USER,
    uploads=True,
)
class AdvanceTraining(Message):
    """Say what is in the encrypted sum of a cycle: a tensor file with one tensor ``sum``, float64, on the
    training's grid. The next model is made of it. Of trainings that you host."""

    process_id: Id
    cycle: Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
