"""The operations of a key host."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from sqlalchemy import select

from grid.concurrency.offload import offload
from grid.config import KeyHostSettings
from grid.key_host import (
    denials,
    granting,
    policies,
    recovery,
    releasing,
    revocation,
    rounds,
    sessions,
    succession,
    witnessing,
)
from grid.key_host.chain import head_of
from grid.key_host.core import HostCore, HostLimits
from grid.key_host.epochs import EpochKeys
from grid.key_host.erasing import erase
from grid.key_host.log import log_entries, log_size
from grid.key_host.peers import ended
from grid.key_host.tables import KeyHostRound, KeyHostState
from grid.key_host.tokens import TokenKeys
from grid.key_host.views import ledger_view
from grid.node import Context, Node, Principal, Service, handles
from syft_ext._version import __version__
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.grants import ConfirmRequest, ReleaseShares
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import OpenRounds
from syft_ext.confidential.sessions import HostHead, SessionStatement
from syft_ext.confidential.transparency.log import TreeHead
from syft_ext.errors import Unavailable
from syft_ext.identity import node_id_of
from syft_ext.messages import key_host as m
from syft_ext.messages import key_host_revocations as lists
from syft_ext.messages import key_host_successions as keys

__all__ = ["KeyHostService"]

logger = logging.getLogger(__name__)
_INTERVAL = 30.0
"""Seconds between two looks at what is over. No key is given for what is over, looked at or not."""


class KeyHostService(Service):
    """Takes the operations ``key_host.*``; the rules are in the other modules of this room."""

    def __init__(self, node: Node, *, settings: KeyHostSettings) -> None:
        super().__init__(node)
        limits = HostLimits(settings.simulator, settings.max_policies, settings.max_rounds)
        epochs = _epochs(settings, node.home)
        self.core = HostCore(node.db, node.identity, node.clock, epochs, limits)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.core.prepare()
        self._thread = threading.Thread(target=self._erase_until_stopped, name="key-erasure", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)

    def _erase_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                offload(erase, self.core)
            except Exception:
                logger.exception("what is over cannot be erased")
            self._stopping.wait(_INTERVAL)

    checks = "ledger"

    def check(self) -> None:
        with self.core.db.read() as session:
            state = session.get(KeyHostState, 1)
        if state is not None and state.halted:
            raise Unavailable("the ledger is older than what others have seen: run `grid key-host recover`")

    def warning(self) -> str:
        return "policies with simulated evidence may be approved here" if self.core.limits.simulator else ""

    def principal_of_key(self, verify_key: str) -> Principal | None:
        """A Domain that has rounds here is somebody: its manifests are larger than what strangers may send."""
        with self.core.db.read() as session:
            known = select(KeyHostRound.context).where(KeyHostRound.domain_key == verify_key).limit(1)
            if session.scalar(known) is None:
                return None
        return Principal("node", id=node_id_of(verify_key), verify_key=verify_key, name="domain")

    # -- anyone -------------------------------------------------------------------------------------

    @handles(m.DescribeKeyHost)
    def describe(self, ctx: Context, message: m.DescribeKeyHost) -> m.KeyHostView:
        with self.core.db.read() as session:
            state = session.get_one(KeyHostState, 1)
            given_up = ended(session, [self.core.key])
        return m.KeyHostView(
            key=self.node.identity.verify_key,
            name=self.node.name,
            version=__version__,
            head=self._head(),
            time=self.core.now(),
            halted=given_up or state.halted,
            erasure=self.core.epochs.erasure,
        )

    @handles(m.GetHead)
    def head(self, ctx: Context, message: m.GetHead) -> m.Answer:
        return m.Answer(statement=self._head())

    def _head(self) -> bytes:
        with self.core.db.read() as session:
            state = session.get_one(KeyHostState, 1)
            head = head_of(session, bytes.fromhex(state.incarnation))
        return Signed.make(HostHead(host=self.core.key, head=head), self.core.identity).encode()

    @handles(m.GetHostLog)
    def log(self, ctx: Context, message: m.GetHostLog) -> m.HostLog:
        with self.core.db.read() as session:
            entries = log_entries(self.core, session, message.offset, message.limit)
            return m.HostLog(entries=list(entries), size=log_size(session))

    # -- a Domain -----------------------------------------------------------------------------------

    @handles(m.RegisterPolicy)
    def register(self, ctx: Context, message: m.RegisterPolicy) -> m.HostPolicy:
        signed = Signed[ConfidentialPolicy].decode(message.policy)
        offload(succession.learn_successions, self.core, message.successions)
        view = policies.register(self.core, signed, ctx.principal.verify_key)
        ctx.note(policy=view.digest, state=view.state)
        return view

    @handles(m.OpenHostRounds)
    def open_rounds(self, ctx: Context, message: m.OpenHostRounds) -> m.RoundKeys:
        signed = Signed[OpenRounds].decode(message.request)
        keys = offload(rounds.open_rounds, self.core, signed)
        ctx.note(rounds=len(keys))
        return m.RoundKeys(keys=[key.encode() for key in keys])

    @handles(m.ListDomainRounds)
    def domain_rounds(self, ctx: Context, message: m.ListDomainRounds) -> m.DomainRounds:
        with self.core.db.read() as session:
            return rounds.rounds_of(session, ctx.principal.verify_key, message.process_id)

    @handles(m.CheckManifest)
    def check_manifest(self, ctx: Context, message: m.CheckManifest) -> m.IneligibleEntries:
        return offload(granting.check, self.core, Signed[Manifest].decode(message.manifest))

    @handles(m.AskConfirm)
    def confirm(self, ctx: Context, message: m.AskConfirm) -> m.Answer:
        request = Signed[ConfirmRequest].decode(message.request)
        shares = Signed[ReleaseShares].decode(message.shares)
        session = Signed[SessionStatement].decode(message.session)
        ctx.note(request=request.digest_as(ConfirmRequest).hex())
        release = offload(releasing.confirm_output, self.core, request, shares, session)
        return m.Answer(statement=release.encode())

    @handles(m.AskWitness)
    def witness(self, ctx: Context, message: m.AskWitness) -> m.Answer:
        head = Signed[TreeHead].decode(message.head)
        signed = offload(witnessing.witness, self.core, head, message.first, message.entries)
        return m.Answer(statement=signed.encode())

    @handles(m.GetLogCopy)
    def log_copy(self, ctx: Context, message: m.GetLogCopy) -> m.LogCopy:
        with self.core.db.read() as session:
            return witnessing.log_copy(session, message.log, message.offset, message.limit)

    # -- a worker, through its Domain ---------------------------------------------------------------

    @handles(m.AskChallenge)
    def challenge(self, ctx: Context, message: m.AskChallenge) -> m.Answer:
        return m.Answer(statement=sessions.challenge(self.core, ChallengeAsk.decode(message.ask)).encode())

    @handles(m.AskAttest)
    def attest(self, ctx: Context, message: m.AskAttest) -> m.Answer:
        ask = AttestAsk.decode(message.ask)
        ctx.note(policy=ask.policy.hex(), domain=ask.domain.hex(), process=ask.process)
        return m.Answer(statement=offload(sessions.attest, self.core, ask).encode())

    @handles(m.AskGrant)
    def grant(self, ctx: Context, message: m.AskGrant) -> m.Answer:
        manifest = Signed[Manifest].decode(message.manifest)
        ctx.note(manifest=manifest.digest_as(Manifest).hex())
        granted = offload(granting.grant_key, self.core, GrantAsk.decode(message.ask), manifest)
        return m.Answer(statement=granted.encode())

    # -- another host, and the operator -------------------------------------------------------------

    @handles(m.GetLedgerRows)
    def rows(self, ctx: Context, message: m.GetLedgerRows) -> m.Answer:
        told = offload(recovery.tell_rows, self.core, ctx.principal.verify_key)
        return m.Answer(statement=told.encode())

    @handles(m.ListHostPolicies)
    def policies(self, ctx: Context, message: m.ListHostPolicies) -> m.HostPolicies:
        with self.core.db.read() as session:
            return policies.views(session)

    @handles(m.DecidePolicy)
    def decide(self, ctx: Context, message: m.DecidePolicy) -> m.HostPolicy:
        ctx.note(policy=message.digest, state=message.state)
        return policies.decide(self.core, message)

    @handles(m.ListLedgerRows)
    def ledger(self, ctx: Context, message: m.ListLedgerRows) -> m.HostLedger:
        with self.core.db.read() as session:
            return offload(ledger_view, session, message.offset, message.limit)

    @handles(m.ListDenials)
    def denials(self, ctx: Context, message: m.ListDenials) -> m.DenialList:
        with self.core.db.read() as session:
            return denials.listed(session)

    @handles(m.Deny)
    def deny(self, ctx: Context, message: m.Deny) -> m.DenialList:
        ctx.note(kind=message.kind, value=message.value, lift=message.lift)
        denials.deny(self.core, message)
        with self.core.db.read() as session:
            return denials.listed(session)

    @handles(lists.ListRevocationLists)
    def revocation_lists(self, ctx: Context, message: lists.ListRevocationLists) -> lists.RevocationListing:
        with self.core.db.read() as session:
            return revocation.listed(session)

    @handles(lists.KeepRevocationList)
    def keep_revocation_list(
        self, ctx: Context, message: lists.KeepRevocationList
    ) -> lists.RevocationListing:
        offload(revocation.keep_lists, self.core, message.content)
        with self.core.db.read() as session:
            return revocation.listed(session)

    @handles(lists.DropRevocationList)
    def drop_revocation_list(
        self, ctx: Context, message: lists.DropRevocationList
    ) -> lists.RevocationListing:
        ctx.note(issuer=message.issuer)
        revocation.drop_list(self.core, message.issuer)
        with self.core.db.read() as session:
            return revocation.listed(session)

    @handles(keys.GetSuccessions)
    def successions(self, ctx: Context, message: keys.GetSuccessions) -> keys.Successions:
        with self.core.db.read() as session:
            return keys.Successions(successions=succession.own_line(self.core, session))

    @handles(keys.HandOver)
    def hand_over(self, ctx: Context, message: keys.HandOver) -> keys.HandedOver:
        ctx.note(new=message.new, end_rounds=message.end_rounds)
        return offload(succession.hand_over, self.core, message)

    @handles(keys.TakeOver)
    def take_over(self, ctx: Context, message: keys.TakeOver) -> keys.TakenOver:
        return offload(succession.take_over, self.core, message)

    @handles(m.Recover)
    def recover(self, ctx: Context, message: m.Recover) -> m.Recovered:
        done = offload(recovery.recover_ledger, self.core, message)
        ctx.note(expired=done.expired, learned=done.learned, burnt=len(done.burnt))
        return done


def _epochs(settings: KeyHostSettings, home: Path) -> EpochKeys:
    if settings.epoch_token:
        return TokenKeys(settings.epoch_token, settings.epoch_interval)
    folder = Path(settings.epochs).expanduser() if settings.epochs else home / "epochs"
    return EpochKeys(folder, settings.epoch_interval)
