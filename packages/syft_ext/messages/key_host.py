"""A key host: makes keys for rounds, and gives each to one attested worker, for one manifest, once it is charged.

Statements travel as ``bytes``, in their canonical encoding and as they were signed
(:mod:`syft_ext.confidential`); the host decodes them strictly and believes no field beside them. A worker's asks
come through its Domain, which is not trusted: what leaves for the worker is sealed to it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Limit, Offset, Words
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, SIGNED, flag

__all__ = [
    "Answer",
    "AskAttest",
    "AskChallenge",
    "AskConfirm",
    "AskGrant",
    "AskWitness",
    "CheckManifest",
    "DecidePolicy",
    "DenialKind",
    "DenialList",
    "DenialView",
    "Deny",
    "DescribeKeyHost",
    "DomainRound",
    "DomainRounds",
    "GetHead",
    "GetHostLog",
    "GetLedgerRows",
    "GetLogCopy",
    "HostLedger",
    "HostLog",
    "HostPolicies",
    "HostPolicy",
    "Ineligible",
    "IneligibleEntries",
    "KeyHostView",
    "LedgerRowView",
    "ListDenials",
    "ListDomainRounds",
    "ListHostPolicies",
    "ListLedgerRows",
    "LogCopy",
    "OpenHostRounds",
    "PolicyState",
    "Recover",
    "Recovered",
    "RegisterPolicy",
    "RoundKeys",
    "ScopeView",
]

_OPERATOR = flag("can_manage_infrastructure")
_STATEMENT = 256 << 10
_MANIFEST = 64 << 20
_Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""SHA-256 of a statement, or a verify key, in hex digits."""

PolicyState = Literal["registered", "approved", "retired", "revoked"]
"""registered: its operator has not decided; retired: no new rounds; revoked: no grants either."""


class KeyHostView(Reply):
    """What a key host says of itself; participants know it by the key that they pinned, not by this.

    Attributes:
        key: its verify key. name: how its operator calls it. version: of the software.
        head: where its ledger stands: the signed :class:`~syft_ext.confidential.sessions.HostHead`.
        time: its clock, seconds since the epoch. halted: why it grants nothing, "" while it does.
        erasure: what is claimed of keys that were erased, in words.
    """

    key: str
    name: str
    version: str
    head: bytes
    time: int
    halted: str
    erasure: str


@operation("key_host.describe", rest="GET /key-host", reply=KeyHostView, permission=ANYONE)
class DescribeKeyHost(Message):
    """Who this key host is, and how it is."""


class Answer(Reply):
    """A canonical statement: which, the request says."""

    statement: bytes


@operation("key_host.head", rest="GET /key-host/head", reply=Answer, permission=ANYONE)
class GetHead(Message):
    """Where the ledger stands: a signed :class:`~syft_ext.confidential.sessions.HostHead`."""


class HostLog(Reply):
    """Signed entries of the log in their order. ``size``: how many there are."""

    entries: list[bytes]
    size: int


@operation("key_host.log", rest="GET /key-host/log", reply=HostLog, permission=ANYONE)
class GetHostLog(Message):
    """The host's public log: policies approved, retired and revoked, what is denied, recoveries."""

    limit: Limit = 100
    offset: Offset = 0


# -- a Domain --------------------------------------------------------------------------------------------


class HostPolicy(Reply):
    """A policy here.

    Attributes:
        digest: what the operator approves. scope: id of the scope that it spends from.
        simulated: it takes evidence that protects nothing.
        decided_at: when its operator decided last, seconds since the epoch; None: not yet.
        hosts: the URL of each of its key hosts, by verify key. domains: which may open rounds; none: any.
    """

    digest: str
    scope: str
    state: PolicyState
    simulated: bool
    registered_at: int
    decided_at: int | None
    hosts: dict[str, str] = {}
    domains: list[str] = []


@operation(
    "key_host.register_policy",
    rest="POST /key-host/policies",
    reply=HostPolicy,
    permission=SIGNED,
    max_bulk=_STATEMENT,
)
class RegisterPolicy(Message):
    """Hand in a policy that names this host, signed by its scope's owner; or ask what was decided about it.
    ``successions``: how its hosts follow others (:mod:`syft_ext.confidential.transparency.succession`)."""

    policy: bytes
    successions: Annotated[list[bytes], msgspec.Meta(max_length=64)] = []


class RoundKeys(Reply):
    """The signed round keys of the contexts that were asked for, in their order."""

    keys: list[bytes]


@operation(
    "key_host.open_rounds",
    rest="POST /key-host/rounds",
    reply=RoundKeys,
    permission=SIGNED,
    max_bulk=_STATEMENT,
)
class OpenHostRounds(Message):
    """Make keys for rounds of a training, ahead of it: ``request`` is an ``OpenRounds`` that the Domain signed
    (:mod:`syft_ext.confidential.rounds`). Asked again for a round, the key is the same."""

    request: bytes


class DomainRound(msgspec.Struct, kw_only=True):
    """A round that this host has made a key for. ``state``: "open", "granted", "released", "expired";
    ``manifest``, ``output``: digests, "" before."""

    sequence: int
    state: str
    manifest: str
    output: str


class DomainRounds(Reply):
    """In their order."""

    rounds: list[DomainRound]


@operation("key_host.rounds", rest="GET /key-host/rounds", reply=DomainRounds, permission=SIGNED)
class ListDomainRounds(Message):
    """The rounds of one of the caller's own trainings that this host knows: for a Domain whose database was
    restored."""

    process_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]


class Ineligible(msgspec.Struct, kw_only=True):
    """An entry of a manifest with which it would be refused, and why in one word: ``signature``, ``twice``,
    ``participations``, ``separation``, ``denied``."""

    assignment: str
    reason: str


class IneligibleEntries(Reply):
    """What to leave out, in the manifest's order; empty when all may stay. Nothing was charged or promised."""

    entries: list[Ineligible]


@operation(
    "key_host.check",
    rest="POST /key-host/check",
    reply=IneligibleEntries,
    permission=SIGNED,
    audited=False,
    max_bulk=_MANIFEST,
)
class CheckManifest(Message):
    """Ask before a manifest is fixed whether its entries would be refused: signed by the Domain, as for a grant.

    Raises for what concerns the whole of it (policy, round, keys, budget), as a grant would.
    """

    manifest: bytes


@operation(
    "key_host.confirm",
    rest="POST /key-host/releases",
    reply=Answer,
    permission=SIGNED,
    max_bulk=_STATEMENT,
)
class AskConfirm(Message):
    """Ask for this host's share of the key of a sealed output, which the Domain has on its disk: the first output
    of a round is the only one. Answered with the signed :class:`~syft_ext.confidential.grants.Release`.

    Attributes:
        request: a signed :class:`~syft_ext.confidential.grants.ConfirmRequest`.
        shares: the signed :class:`~syft_ext.confidential.grants.ReleaseShares` of the worker.
        session: this host's signed :class:`~syft_ext.confidential.sessions.SessionStatement` of that worker.
    """

    request: bytes
    shares: bytes
    session: bytes


@operation(
    "key_host.witness",
    rest="POST /key-host/logs",
    reply=Answer,
    permission=SIGNED,
    max_bulk=_STATEMENT,
)
class AskWitness(Message):
    """Have a head of a Domain's transparency log signed by this host, which has rounds of that Domain: answered
    with the signed :class:`~syft_ext.confidential.transparency.log.TreeHead`.

    The host keeps a copy of the log. It signs what continues that, and nothing else, ever. ``wrong-size`` (with
    ``size``, how far its copy is) says where to begin.

    Attributes:
        head: signed by the Domain. entries: encoded, from number ``first`` (from 0) to the head's size.
    """

    head: bytes
    first: Offset
    entries: Annotated[list[bytes], msgspec.Meta(max_length=64)]


class LogCopy(Reply):
    """A host's copy of a Domain's log.

    Attributes:
        entries: encoded, in their order. size: how many there are.
        head: the newest that the Domain signed. conflict: one that it signed too, and that shows another
            beginning: proof that it had two views; "" while there is none.
    """

    entries: list[bytes]
    size: int
    head: bytes
    conflict: bytes


@operation("key_host.log_copy", rest="GET /key-host/logs/{log}", reply=LogCopy, permission=ANYONE)
class GetLogCopy(Message):
    """This host's copy of the transparency log of the Domain with the key ``log`` (hex)."""

    log: _Hex
    limit: Limit = 100
    offset: Offset = 0


# -- a worker, through its Domain ------------------------------------------------------------------------


@operation(
    "key_host.challenge",
    rest="POST /key-host/challenges",
    reply=Answer,
    permission=SIGNED,
    audited=False,
)
class AskChallenge(Message):
    """``ask`` is a :class:`~syft_ext.confidential.asks.ChallengeAsk`; answered with a
    :class:`~syft_ext.confidential.sessions.Challenge`. Nothing is kept of it."""

    ask: bytes


@operation(
    "key_host.attest",
    rest="POST /key-host/sessions",
    reply=Answer,
    permission=SIGNED,
    max_bulk=2 << 20,
)
class AskAttest(Message):
    """``ask`` is an :class:`~syft_ext.confidential.asks.AttestAsk`; answered with a signed
    :class:`~syft_ext.confidential.sessions.SessionStatement`, once for each challenge."""

    ask: bytes


@operation(
    "key_host.grant",
    rest="POST /key-host/grants",
    reply=Answer,
    permission=SIGNED,
    max_bulk=_MANIFEST,
)
class AskGrant(Message):
    """Ask for the round's key; answered with a signed :class:`~syft_ext.confidential.grants.Grant`, after the
    charge is on the host's disk.

    Attributes:
        ask: the worker's :class:`~syft_ext.confidential.asks.GrantAsk`.
        manifest: the signed :class:`~syft_ext.confidential.manifest.Manifest` that it names; the Domain adds it.
    """

    ask: bytes
    manifest: bytes


# -- another host ----------------------------------------------------------------------------------------


@operation("key_host.rows", rest="GET /key-host/rows", reply=Answer, permission=SIGNED)
class GetLedgerRows(Message):
    """All charges and participations of the scopes that the caller is a host of: a signed
    :class:`~syft_ext.confidential.asks.ScopeRows`. For a host that recovers; others get nothing."""


# -- the operator ----------------------------------------------------------------------------------------


class HostPolicies(Reply):
    """The newest first."""

    policies: list[HostPolicy]


@operation("key_host.policies", rest="GET /key-host/policies", reply=HostPolicies, permission=_OPERATOR)
class ListHostPolicies(Message):
    """All policies that were handed in here."""


@operation(
    "key_host.decide_policy",
    rest="PUT /key-host/policies/{digest}",
    reply=HostPolicy,
    permission=_OPERATOR,
)
class DecidePolicy(Message):
    """Approve, retire or revoke a policy. What was revoked is never approved again.

    ``domains``: verify keys of the Domains that may open rounds under it from now on; none: any Domain may.
    """

    digest: _Hex
    state: Literal["approved", "retired", "revoked"]
    domains: Annotated[list[_Hex], msgspec.Meta(max_length=256)] = []


class LedgerRowView(msgspec.Struct, kw_only=True):
    """A row of the ledger: ``what`` happened, the round that it concerns, and what it cost (10^−9 of ρ)."""

    sequence: int
    hash: str
    at: int
    what: str
    context: str
    manifest: str
    cost: int


class ScopeView(msgspec.Struct, kw_only=True):
    """What a scope has spent, of what its approved policies allow (both 10^−9 of ρ); ``rounds`` granted."""

    scope: str
    spent: int
    total: int
    rounds: int
    burnt: bool


class HostLedger(Reply):
    """Scopes, and the newest rows first. ``whole``: every row fits the one before it, to the first."""

    scopes: list[ScopeView]
    rows: list[LedgerRowView]
    size: int
    whole: bool


@operation("key_host.ledger", rest="GET /key-host/ledger", reply=HostLedger, permission=_OPERATOR)
class ListLedgerRows(Message):
    """What was charged here, by scope and by row."""

    limit: Limit = 100
    offset: Offset = 0


DenialKind = Literal["workload", "certificate", "subject", "platform"]


class DenialView(msgspec.Struct, kw_only=True):
    """What is refused on top of any policy, and since when."""

    kind: DenialKind
    value: str
    reason: str
    at: int


class DenialList(Reply):
    """In their order."""

    denials: list[DenialView]


@operation("key_host.denials", rest="GET /key-host/denials", reply=DenialList, permission=_OPERATOR)
class ListDenials(Message):
    """What the operator refuses."""


@operation("key_host.deny", rest="PUT /key-host/denials", reply=DenialList, permission=_OPERATOR)
class Deny(Message):
    """Refuse something from now on, whatever policies say. Rounds that were granted before stay granted, but what
    a denied program made of them leaves no more.

    Attributes:
        kind: a workload's id; the digest of a participant's certificate; a subject, as AUTHORITY:NAME; or a level
            of platforms, as NAME=VALUE or NAME<NUMBER of what appraisals say of them.
        value: which. lift: allow it again.
    """

    kind: DenialKind
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
    reason: Words = ""
    lift: bool = False


class Recovered(Reply):
    """What a recovery did: rounds that are over now, rows that peers knew and this host did not, scopes of which
    nothing is left because too few peers answered for them; where the ledger stands."""

    expired: int
    learned: int
    burnt: list[str]
    sequence: int


@operation(
    "key_host.recover",
    rest="POST /key-host/recover",
    reply=Recovered,
    permission=_OPERATOR,
    max_bulk=_MANIFEST,
)
class Recover(Message):
    """Go on with a database that was restored: every round that is not released is over, and what was spent is
    what any of the peers knows.

    Attributes:
        rows: each peer's signed :class:`~syft_ext.confidential.asks.ScopeRows`, by its verify key.
        burn: where fewer peers answered than a policy's guarantees need, its scope has nothing left; else that
            is refused.
    """

    rows: dict[str, bytes]
    burn: bool = False
