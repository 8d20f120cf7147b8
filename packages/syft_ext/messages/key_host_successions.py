"""How a key host goes on under another key: what its operator has it sign, and what the other one takes over."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, flag

__all__ = ["GetSuccessions", "HandOver", "HandedOver", "Successions", "TakeOver", "TakenOver"]

_OPERATOR = flag("can_manage_infrastructure")


class HandedOver(Reply):
    """What the new host takes over.

    Attributes:
        succession: the :class:`~syft_ext.confidential.transparency.succession.HostSuccession`, signed by the old
            key.
        rows: the signed :class:`~syft_ext.confidential.asks.ScopeRows`: all that was spent, for the new key alone.
    """

    succession: bytes
    rows: bytes


@operation("key_host.hand_over", rest="POST /key-host/succession", reply=HandedOver, permission=_OPERATOR)
class HandOver(Message):
    """End this host for ever, in favour of another key: it makes and gives no key any more.

    Attributes:
        new: the verify key of the host that follows it.
        end_rounds: rounds that are under way are over; else that is refused while there are any.
    """

    new: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    end_rounds: bool = False


class TakenOver(Reply):
    """``succession``: the :class:`~syft_ext.confidential.transparency.succession.Succession`, signed by both
    keys: what policies are published with."""

    succession: bytes


@operation(
    "key_host.take_over",
    rest="PUT /key-host/succession",
    reply=TakenOver,
    permission=_OPERATOR,
    max_bulk=64 << 20,
)
class TakeOver(Message):
    """Go on for a host that ended in favour of this one: what was spent there is spent here. Fields as in
    :class:`HandedOver`."""

    succession: bytes
    rows: bytes


class Successions(Reply):
    """Encoded :class:`~syft_ext.confidential.transparency.succession.Succession` statements, the last first."""

    successions: list[bytes]


@operation("key_host.successions", rest="GET /key-host/succession", reply=Successions, permission=ANYONE)
class GetSuccessions(Message):
    """How this host follows others: what those who pinned one of them follow it by."""
