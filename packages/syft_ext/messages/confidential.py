"""Confidential trainings at a Domain: policies, what a participant verifies before it uploads, rounds, receipts.

Statements travel as ``bytes``, in their canonical encoding and as they were signed
(:mod:`syft_ext.confidential.canonical`): whoever takes them decodes strictly and compares digests, and believes
nothing of them that the Domain says beside. The Domain carries them; it is the party that is not trusted.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Digest, Id, Limit, Offset, Size
from syft_ext.messages.operation import Empty, Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, USER, WORKER, flag

__all__ = [
    "AppendLog",
    "ConfidentialPolicies",
    "ConfidentialPolicyView",
    "ConfidentialReceipt",
    "ConfidentialRound",
    "ConfidentialRounds",
    "DeclareUpload",
    "GetConfidentialPolicy",
    "GetConsistency",
    "GetInclusion",
    "GetLogHead",
    "GetOffer",
    "GetReceipt",
    "HostStanding",
    "ListConfidentialPolicies",
    "ListConfidentialRounds",
    "ListLogEntries",
    "LogEntries",
    "LogKind",
    "LogProof",
    "LogStanding",
    "LogStatement",
    "OfferReply",
    "PublishPolicy",
    "Resync",
    "Resynced",
]

_KEY = {"request_key": "Grid-Request-Key"}
_Statement = Annotated[bytes, msgspec.Meta(min_length=1, max_length=128 << 10)]

RoundState = Literal["asked", "opened", "bound", "closed", "sealed", "released", "failed"]


# -- policies --------------------------------------------------------------------------------------


class HostStanding(Reply):
    """What a key host said of a policy when it was asked last.

    Attributes:
        host: its id. state: "approved", "registered" (its owner has not decided), "retired", "revoked", "refused",
            or "unreachable".
        detail: why, in words.
    """

    host: str
    state: str
    detail: str = ""


class ConfidentialPolicyView(Reply):
    """A policy as it was published.

    Attributes:
        digest: of the policy (SHA-256, in hex): what hosts approve, and participants see.
        policy: the signed policy, canonical.
        published_at: seconds since the epoch. published_by: e-mail address.
        hosts: what each of its key hosts says of it.
    """

    digest: str
    policy: bytes
    published_at: float
    published_by: str
    hosts: list[HostStanding] = []


class ConfidentialPolicies(Reply):
    """Without the hosts' word: :class:`GetConfidentialPolicy` asks them."""

    policies: list[ConfidentialPolicyView]


@operation(
    "confidential.publish_policy",
    rest="POST /confidential/policies",
    reply=ConfidentialPolicyView,
    permission=USER,
)
class PublishPolicy(Message):
    """Keep a confidential policy, signed by its scope's owner, and hand it to the key hosts that it names. Each
    host's own people decide on it (``grid key-host approve DIGEST``). Published again, it is handed out again.

    ``successions``: how hosts of it follow others, for participants who have pinned these
    (:class:`~syft_ext.confidential.transparency.succession.Succession`, encoded).
    """

    policy: _Statement
    successions: Annotated[list[_Statement], msgspec.Meta(max_length=64)] = []


@operation(
    "confidential.policies",
    rest="GET /confidential/policies",
    reply=ConfidentialPolicies,
    permission=USER,
)
class ListConfidentialPolicies(Message):
    """All policies that were published here, the newest first."""


@operation(
    "confidential.policy",
    rest="GET /confidential/policies/{digest}",
    reply=ConfidentialPolicyView,
    permission=ANYONE,
)
class GetConfidentialPolicy(Message):
    """One policy, by its digest. ``ask``: what its key hosts say of it now is asked for; users only."""

    digest: Digest
    ask: bool = False


# -- participants ----------------------------------------------------------------------------------


class OfferReply(Reply):
    """An encoded :class:`syft_ext.confidential.offer.Offer`: policy, round, the hosts' keys for it, and the newest
    statements of theirs about sessions of the confidential worker."""

    offer: bytes


@operation(
    "confidential.offer",
    rest="GET /federated/assignments/{assignment_id}/offer",
    reply=OfferReply,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class GetOffer(Message):
    """What there is to verify before anything of an update is sent. Answered with ``unavailable`` until the key
    hosts have made the keys of the round.

    ``log_size``: entries of the Domain's transparency log that the caller has seen; what is shown of it continues
    that. 0: none yet.
    """

    assignment_id: str
    request_key: str
    log_size: Size = 0


@operation(
    "confidential.declare_upload",
    rest="PUT /federated/assignments/{assignment_id}/upload",
    reply=Empty,
    permission=WORKER,
    headers=_KEY,
    audited=False,
)
class DeclareUpload(Message):
    """Say which sealed report will come (``federated.report`` of kind "sealed" then brings its bytes), and show
    everything about it that is public. It is checked before a byte is taken; repeated, it takes the place of what
    was declared before, until the report was counted.

    Attributes:
        declaration: a canonical :class:`~syft_ext.confidential.manifest.Declaration`.
    """

    assignment_id: str
    request_key: str
    declaration: _Statement


# -- rounds ----------------------------------------------------------------------------------------


class ConfidentialRound(Reply):
    """One round of a training.

    Attributes:
        sequence: the round's number at its hosts, which is not the cycle's: a round whose time is up is skipped.
        state: "asked" (of its hosts), "opened" (its keys are there), "bound" (to a cycle), "closed" (its manifest
            is fixed), "sealed" (the worker's output is stored), "released", "failed".
        cycle: the cycle's number; 0: none yet. checkpoint: the model that came of it; 0: none.
        upload_until, erase_at: what its hosts said, the earliest of each; seconds since the epoch.
        manifest: digest of what is summed, "" before it is fixed. uploads: how many it lists.
        reason: why it failed, or what it waits for.
    """

    sequence: int
    state: RoundState
    cycle: int
    checkpoint: int
    upload_until: float
    erase_at: float
    manifest: str
    uploads: int
    reason: str = ""


class ConfidentialRounds(Reply):
    """The rounds of a training, in order."""

    policy: str
    rounds: list[ConfidentialRound]


@operation(
    "confidential.rounds",
    rest="GET /federated/processes/{process_id}/rounds",
    reply=ConfidentialRounds,
    permission=USER,
)
class ListConfidentialRounds(Message):
    """The rounds of a confidential training that you may read."""

    process_id: Id


class ConfidentialReceipt(Reply):
    """What goes with a released checkpoint. All statements are canonical and signed.

    Attributes:
        receipt: a :class:`~syft_ext.confidential.receipts.ReceiptBundle`: what the worker says that it did, and
            what each key host said of its session.
        manifest: what it summed. policy: under which terms.
        simulated: the evidence was a simulator's, which protects nothing from whoever runs the Domain.
    """

    receipt: bytes
    manifest: bytes
    policy: bytes
    simulated: bool


@operation(
    "confidential.receipt",
    rest="GET /federated/processes/{process_id}/receipts/{checkpoint}",
    reply=ConfidentialReceipt,
    permission=USER,
)
class GetReceipt(Message):
    """The receipt of a checkpoint of a confidential training that you may read."""

    process_id: Id
    checkpoint: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


class Resynced(Reply):
    """What was put right.

    Attributes:
        rounds: that the hosts knew and this database did not, or that they have given away: they are over.
        entries: of the transparency log that witnesses had and this database had lost.
        silent: hosts that did not answer; ask again when they do.
    """

    rounds: int
    entries: int
    silent: list[str]


@operation(
    "confidential.resync",
    rest="POST /confidential/resync",
    reply=Resynced,
    permission=flag("can_manage_infrastructure"),
)
class Resync(Message):
    """After the database was restored: ask the key hosts what happened since, so that no round is opened again
    that they know, and the transparency log is what it was. Nothing is lost by asking where nothing was."""


# -- the transparency log --------------------------------------------------------------------------

LogKind = Literal["policy", "workload", "host", "revocation"]


class LogStanding(Reply):
    """How far a key host has signed the log, and what it refused with; ``size`` 0: nothing yet."""

    host: str
    size: int
    refused: str = ""


class LogStatement(Reply):
    """The head of the log: an encoded :class:`~syft_ext.confidential.transparency.log.Witnessed`, with the
    signatures of the key hosts that are of its size. ``hosts``: how far each of them is."""

    statement: bytes
    hosts: list[LogStanding] = []


@operation(
    "confidential.log_head",
    rest="GET /confidential/log/head",
    reply=LogStatement,
    permission=ANYONE,
)
class GetLogHead(Message):
    """The newest head of the Domain's transparency log, signed by the Domain and by its witnesses; or the one of
    ``size`` entries. The log has one head of each size."""

    size: Size = 0


class LogEntries(Reply):
    """Encoded :class:`~syft_ext.confidential.transparency.log.LogEntry`, in their order. ``size``: how many there
    are."""

    entries: list[bytes]
    size: int


@operation(
    "confidential.log_entries",
    rest="GET /confidential/log/entries",
    reply=LogEntries,
    permission=ANYONE,
)
class ListLogEntries(Message):
    """What was published: policies, programs, key hosts, and what was revoked of them, in the order in which it
    was."""

    limit: Limit = 100
    offset: Offset = 0


class LogProof(Reply):
    """A proof of RFC 6962. ``index``: of the entry that it is of; ``entry``: that entry, encoded; "" for a proof
    of consistency."""

    proof: list[bytes]
    index: int = 0
    entry: bytes = b""


@operation(
    "confidential.log_inclusion",
    rest="GET /confidential/log/inclusion/{subject}",
    reply=LogProof,
    permission=ANYONE,
)
class GetInclusion(Message):
    """That the first entry about ``subject`` (of a policy its digest, of a host its key, in hex) is in the log of
    ``size`` entries; 0: of all."""

    subject: Digest
    size: Size = 0


@operation(
    "confidential.log_consistency",
    rest="GET /confidential/log/consistency/{first}",
    reply=LogProof,
    permission=ANYONE,
)
class GetConsistency(Message):
    """That the log of the ``first`` entries is the beginning of that of ``second``; 0: of all."""

    first: Annotated[int, msgspec.Meta(ge=1, le=1 << 62)]
    second: Size = 0


@operation(
    "confidential.log_append",
    rest="POST /confidential/log/entries",
    reply=LogStatement,
    permission=flag("can_manage_infrastructure"),
)
class AppendLog(Message):
    """Publish something, for ever. Policies of trainings, and the key hosts that they name, are by themselves.

    Attributes:
        kind: "workload": a program that policies accept; "revocation": of anything that was published.
        subject: its digest, or key, in hex. detail: where it comes from, or why.
    """

    kind: Literal["workload", "revocation"]
    subject: Digest
    detail: Annotated[str, msgspec.Meta(max_length=1024, pattern=r"^[^\x00]*$")] = ""
