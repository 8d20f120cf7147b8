"""Entries of an audit log, each sealed to the one before it; signed checkpoints, and signed heads of archives.

An entry's ``hash`` is the BLAKE3 digest of all its fields and of the hash before it, so no entry can be
changed, moved or taken out without changing all that follow. Whoever can write to the database could change
all that follow too: against that stand checkpoints, which say "entry n had this hash", signed with the node's
key and kept outside the database. ``digests`` holds a short digest of each field. It adds no safety: it lets
a verifier say *which* field was changed.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from blake3 import blake3

from syft_ext.errors import BadSignature
from syft_ext.identity import Identity, node_id_of, verify

__all__ = [
    "DIGESTS_LENGTH",
    "FIELDS",
    "ArchiveHead",
    "Checkpoint",
    "Entry",
    "digest_of_field",
    "genesis_previous",
    "hash_of",
    "seal",
    "stored_digests",
]

_CONTEXT = "grid audit entry v1"
_FIELD_BYTES = 8

#: What an entry's hash covers, in this order.
FIELDS = (
    "seq",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "operation",
    "objects",
    "grants",
    "outcome",
    "detail",
    "previous",
)
DIGESTS_LENGTH = 2 * _FIELD_BYTES * len(FIELDS)
_pack = msgspec.msgpack.Encoder().encode


class Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who did what to which object by which grant.

    Attributes:
        seq: 0 for the first entry, which names the node, then one more each.
        at: seconds since the epoch, by the node's clock.
        actor_kind: anonymous, key, user, worker, node, or system (the node itself).
        actor_id: id of the user, worker or node; of a key its 64 hex digits.
        operation: its name, as on the message plane.
        objects, grants: JSON lists of ids; what objects are depends on the operation.
        outcome: "ok", or the code of the error that was answered.
        detail: a JSON object of facts.
        previous: the hash of the entry before.
        digests: 16 hex digits for each of :data:`FIELDS`.
    """

    seq: int
    at: float
    actor_kind: str
    actor_id: str
    actor_name: str
    operation: str
    objects: msgspec.Raw
    grants: msgspec.Raw
    outcome: str
    detail: msgspec.Raw
    previous: str
    hash: str = ""
    digests: str = ""


class Checkpoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A signed statement that entry ``seq`` of ``node_id``'s log had this hash ``at`` this time."""

    node_id: str
    seq: int
    hash: str
    at: float
    signature: str = ""

    def _signed_part(self) -> bytes:
        return b"grid audit checkpoint v1\0" + _pack([self.node_id, self.seq, self.hash, self.at])

    def sign(self, identity: Identity) -> Checkpoint:
        """Sign it as the node that it is of; itself, for chaining."""
        self.signature = identity.sign(self._signed_part()).hex()
        return self

    def check(self, verify_key: str) -> None:
        """Raise :class:`BadSignature` unless the node with this key signed exactly this."""
        _check("checkpoint", self, verify_key, self._signed_part())


class ArchiveHead(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A signed statement that ``node_id`` archived its entries ``first`` to ``last`` ``at`` this time.

    A checkpoint does not stand for it: whoever finds one could cut the log there, and say it were archived.

    Attributes:
        hash: of the entry ``last``; what follows the archive follows that.
        digest: BLAKE3 of the archive's file, 64 hex digits.
    """

    node_id: str
    first: int
    last: int
    hash: str
    digest: str
    at: float
    signature: str = ""

    def _signed_part(self) -> bytes:
        said = [self.node_id, self.first, self.last, self.hash, self.digest, self.at]
        return b"grid audit archive v1\0" + _pack(said)

    def sign(self, identity: Identity) -> ArchiveHead:
        """Sign it as the node that it is of; itself, for chaining."""
        self.signature = identity.sign(self._signed_part()).hex()
        return self

    def check(self, verify_key: str) -> None:
        """Raise :class:`BadSignature` unless the node with this key signed exactly this."""
        _check("archive's head", self, verify_key, self._signed_part())


def _check(what: str, statement: Checkpoint | ArchiveHead, verify_key: str, said: bytes) -> None:
    if node_id_of(verify_key) != statement.node_id:
        raise BadSignature(f"the {what} is of another node")
    try:
        signature = bytes.fromhex(statement.signature)
    except ValueError as error:
        raise BadSignature(f"the {what}'s signature is no hex number") from error
    verify(verify_key, said, signature)


def genesis_previous(node_id: str) -> str:
    """What stands for the hash before the first entry: it binds the whole chain to its node."""
    return str(blake3(node_id.encode(), derive_key_context="grid audit genesis v1").hexdigest())


def _plain(entry: Entry) -> Mapping[str, object]:
    """Each field as what is hashed: JSON texts byte for byte."""
    values: dict[str, object] = {}
    for name in FIELDS:
        value = getattr(entry, name)
        values[name] = bytes(value) if isinstance(value, msgspec.Raw) else value
    return values


def hash_of(entry: Entry) -> str:
    """The hash that the entry ought to have, by its fields; 64 hex digits."""
    return str(blake3(_pack(list(_plain(entry).values())), derive_key_context=_CONTEXT).hexdigest())


def digest_of_field(name: str, value: object) -> str:
    """BLAKE3 of name and value, 16 hex digits: what stays of a field that an export leaves out."""
    value = bytes(value) if isinstance(value, msgspec.Raw) else value
    return str(blake3(_pack([name, value])).hexdigest(length=_FIELD_BYTES))


def seal(entry: Entry) -> Entry:
    """Set the entry's ``digests`` and ``hash`` by its other fields."""
    entry.digests = "".join(digest_of_field(name, value) for name, value in _plain(entry).items())
    entry.hash = hash_of(entry)
    return entry


def stored_digests(entry: Entry) -> dict[str, str]:
    """The digest of each field as the entry itself holds it."""
    width = 2 * _FIELD_BYTES
    return {name: entry.digests[index * width : (index + 1) * width] for index, name in enumerate(FIELDS)}
