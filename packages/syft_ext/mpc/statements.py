"""What nodes say of their hosts' keys, signed and verified: the base of who can read a frame. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from blake3 import blake3

from syft_ext.errors import ProtocolAborted
from syft_ext.identity import Identity, verify
from syft_ext.messages.shared_runs import MemberStatement

__all__ = ["RunTerms", "agreed_keys", "signed_statement"]


class RunTerms(Protocol):
    """Terms of a run whose members are hosts of several nodes."""

    @property
    def members(self) -> list[str]:
        """Verify keys of these nodes, in order."""


_CONTEXT = b"grid member of a computation on shares v1\0"


def _said(run: str, agreement: str, index: int, key: str) -> bytes:
    return _CONTEXT + msgspec.msgpack.encode([run, agreement, index, key])


def signed_statement(identity: Identity, run: str, agreement: str, index: int, key: str) -> MemberStatement:
    """This node's word on the key of its host."""
    signature = identity.sign(_said(run, agreement, index, key)).hex()
    return MemberStatement(run=run, agreement=agreement, index=index, key=key, signature=signature)


def agreed_keys(
    statements: Sequence[MemberStatement], terms: RunTerms, run: str, agreement: str
) -> tuple[list[bytes], bytes]:
    """The hosts' keys, in the order of the terms' members, and the transcript that all of them share.

    Raises :class:`ProtocolAborted` for statements about something else, :class:`BadSignature` for one that its
    node did not make.
    """
    nodes = terms.members
    if len(statements) != len(nodes):
        raise ProtocolAborted("each member's node says one thing of its host")
    keys = []
    for index, (each, node) in enumerate(zip(statements, nodes, strict=True)):
        if (each.run, each.agreement, each.index) != (run, agreement, index):
            raise ProtocolAborted("a statement is about another run, agreement or place")
        verify(node, _said(run, agreement, index, each.key), bytes.fromhex(each.signature))
        keys.append(bytes.fromhex(each.key))
    if len(set(keys)) != len(keys):
        raise ProtocolAborted("two members have one key")
    said = b"".join([bytes.fromhex(run), bytes.fromhex(agreement), *keys])
    return keys, blake3(said, derive_key_context="grid 2026-11 run on shares").digest()
