"""Rounds of secure aggregation, as participants and their Domain speak in them.

Each message says one thing of a participant, and is answered when the phase is over that waits for it, or after
``wait``
seconds: then it is sent again. Who sends what was taken already gets the same answer. The masked words
    themselves are a
report (``federated.report``, kind "masked"). What is signed, and in which bytes:
:mod:`syft_ext.secure_aggregation`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import WORKER

_KEY = {"request_key": "Grid-Request-Key"}
_PATH = "/federated/assignments/{assignment_id}/secure-aggregation"
_Wait = Annotated[float, msgspec.Meta(ge=0, le=300)]
_Signature = Annotated[bytes, msgspec.Meta(max_length=64)]
_Sealed = Annotated[bytes, msgspec.Meta(max_length=128)]


class SumRoundView(Reply):
    """Where a round is.

    Attributes:
        phase: advertise, shares, masked, consistency, unmask or sum.
        roster: the list of keys; empty while it is open.
        shares: by place in it, what the others sealed for this participant; from the phase "masked" on.
        survivors: places of those whose masked words are in the sum; from the phase "consistency" on.
        confirmations: by place, signatures under the survivors; from the phase "unmask" on.
    """

    phase: str
    roster: bytes = b""
    shares: dict[int, bytes] = {}
    survivors: list[int] = []
    confirmations: dict[int, bytes] = {}


@operation(
    "secagg.keys",
    rest=f"POST {_PATH}/keys",
    reply=SumRoundView,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class SendSumKeys(Message):
    """Be ready for a cycle's sum: this participant's signed keys. Answered with the list of keys, when it is
    closed."""

    assignment_id: str
    request_key: str
    keys: Annotated[bytes, msgspec.Meta(max_length=4096)]
    signature: _Signature
    wait: _Wait = 0.0


@operation(
    "secagg.shares",
    rest=f"POST {_PATH}/shares",
    reply=SumRoundView,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class SendSumShares(Message):
    """Shares of this participant's secrets, sealed for every other place of the list of keys, in order.
    Answered with those that the others sealed for it."""

    assignment_id: str
    request_key: str
    shares: Annotated[list[_Sealed], msgspec.Meta(max_length=64)]
    wait: _Wait = 0.0


@operation(
    "secagg.consistency",
    rest=f"POST {_PATH}/consistency",
    reply=SumRoundView,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class ConfirmSurvivors(Message):
    """Without a signature: who has survived, once that is known. With this participant's: the others', once
    enough have signed."""

    assignment_id: str
    request_key: str
    signature: _Signature = b""
    wait: _Wait = 0.0


@operation(
    "secagg.unmask",
    rest=f"POST {_PATH}/unmask",
    reply=SumRoundView,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class OpenSum(Message):
    """One share of everybody's secret: this participant's answer, once."""

    assignment_id: str
    request_key: str
    answer: Annotated[bytes, msgspec.Meta(max_length=4096)]
