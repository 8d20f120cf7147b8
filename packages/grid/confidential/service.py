"""The operations of confidential trainings, and the parts of this room put together."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, select, update

from grid.confidential.books import RoundBook
from grid.confidential.choices import open_policy, policy_of, signed_policy_of
from grid.confidential.hosts import KeyHosts
from grid.confidential.intake import SealedIntake
from grid.confidential.launching import Workers
from grid.confidential.log import DomainLog, Publication
from grid.confidential.outputs import SealedOutputs
from grid.confidential.policies import PolicyShelf
from grid.confidential.rehearsing import Rehearsals
from grid.confidential.resync import Resyncing
from grid.confidential.rounds import Rounds
from grid.confidential.sums import ConfidentialSums
from grid.confidential.tables import ConfidentialOutput, ConfidentialUpload
from grid.confidential.views import rounds_of
from grid.confidential.witnessing import Witnessing
from grid.federated.hosting.config import SEALED
from grid.federated.service import FederatedService
from grid.federated.state.machines.cycle import TERMINAL
from grid.federated.state.tables import Cycle
from grid.node import Context, Node, Service, handles
from grid.storage.objects.references import collect
from syft_ext.confidential.offer import Offer, RecordedSession
from syft_ext.errors import Conflict, NotFound, Unauthenticated, Unavailable
from syft_ext.messages import Empty
from syft_ext.messages import confidential as m
from syft_ext.transport import Transport

__all__ = ["ConfidentialService"]


class ConfidentialService(Service):
    """Policies, offers, sealed uploads, rounds and receipts of a Domain.

    Args:
        opener: makes the transport for a key host's address, which a policy's owner names.
        workers: where confidential workers run.
        aggregates_kept: seconds for which sealed outputs are kept after their release.
    """

    def __init__(
        self,
        node: Node,
        *,
        opener: Callable[[str], Transport],
        workers: Workers,
        aggregates_kept: float,
    ) -> None:
        super().__init__(node)
        self._federated = node.service(FederatedService)
        pipeline = self._federated.pipeline
        store, definitions = pipeline.store, pipeline.definitions
        self._kept = aggregates_kept
        self.hosts = KeyHosts(node.identity, node.clock, opener)
        self.log = DomainLog(node.db, node.identity, node.clock)
        self.witnessing = Witnessing(self.log, self.hosts, node.jobs)
        self.policies = PolicyShelf(node.db, self.hosts, node.clock)
        self.book = RoundBook(store)
        self.rounds = Rounds(
            store,
            self.book,
            definitions,
            pipeline.lifecycle,
            self.hosts,
            node.identity,
            node.events,
            node.jobs,
            self.log,
            self.witnessing,
        )
        self.intake = SealedIntake(
            store, self.book, self.rounds, definitions, self.hosts, node.identity, node.events
        )
        self.resyncing = Resyncing(store, self.book, self.rounds, definitions, self.hosts, self.witnessing)
        outputs = SealedOutputs(store, self.hosts, node.identity)
        rehearsals = Rehearsals(
            store, self.book, self.rounds, definitions, self.hosts, workers, node.identity, node.jobs
        )
        pipeline.outside.register(
            SEALED,
            ConfidentialSums(
                store,
                self.book,
                self.rounds,
                self.intake,
                outputs,
                rehearsals,
                self.hosts,
                workers,
                node.identity,
            ),
        )

    def start(self) -> None:
        self.rounds.start()

    def stop(self) -> None:
        self.hosts.close()

    def warning(self) -> str:
        waiting = sorted(set(self.rounds.waiting.values()))
        said = [f"confidential rounds wait: {', '.join(waiting)}"] if waiting else []
        refused = [f"{each.host}: {each.refused}" for each in self.witnessing.standing() if each.refused]
        if refused:
            said.append(f"key hosts do not sign the transparency log: {', '.join(refused)}")
        return "; ".join(said)

    def tidy(self) -> int:
        """Give up sealed outputs that were released long ago, and declarations of cycles that have ended."""
        ended = select(Cycle.id).where(Cycle.status.in_([str(status) for status in TERMINAL]))
        old = (
            ConfidentialOutput.blob_digest.is_not(None),
            ConfidentialOutput.released_at < self.node.clock.now() - self._kept,
        )
        with self.node.db.transaction() as session:
            digests = [*session.scalars(select(ConfidentialOutput.blob_digest).where(*old))]
            session.execute(update(ConfidentialOutput).where(*old).values(blob_digest=None))
            session.execute(delete(ConfidentialUpload).where(ConfidentialUpload.cycle_id.in_(ended)))
        return collect(self.node.db, self.node.blobs, [digest for digest in digests if digest])

    # -- policies

    @handles(m.PublishPolicy)
    def publish_policy(self, ctx: Context, message: m.PublishPolicy) -> m.ConfidentialPolicyView:
        view = self.policies.publish(message.policy, ctx.principal.name, message.successions)
        ctx.note(policy=view.digest)
        return view

    @handles(m.ListConfidentialPolicies)
    def list_policies(self, ctx: Context, message: m.ListConfidentialPolicies) -> m.ConfidentialPolicies:
        return m.ConfidentialPolicies(policies=[*self.policies.all()])

    @handles(m.GetConfidentialPolicy)
    def get_policy(self, ctx: Context, message: m.GetConfidentialPolicy) -> m.ConfidentialPolicyView:
        if message.ask and ctx.principal.kind != "user":
            raise Unauthenticated("who has no account here asks the key hosts themselves")
        view = self.policies.get(message.digest, ask=message.ask)
        if ctx.principal.kind != "user":
            view.published_by = ""
        return view

    def _have_signed(self) -> None:
        self.witnessing.ask_again(open_policy(each.policy)[1] for each in self.policies.all())

    # -- the transparency log

    @handles(m.GetLogHead)
    def log_head(self, ctx: Context, message: m.GetLogHead) -> m.LogStatement:
        statement = self.log.head(message.size).encode()
        return m.LogStatement(statement=statement, hosts=self.witnessing.standing())

    @handles(m.ListLogEntries)
    def log_entries(self, ctx: Context, message: m.ListLogEntries) -> m.LogEntries:
        entries, size = self.log.entries(message.offset, message.limit)
        return m.LogEntries(entries=entries, size=size)

    @handles(m.GetInclusion)
    def log_inclusion(self, ctx: Context, message: m.GetInclusion) -> m.LogProof:
        found = self.log.inclusion(bytes.fromhex(message.subject), message.size)
        return m.LogProof(proof=list(found.proof), index=found.index, entry=found.entry.encode())

    @handles(m.GetConsistency)
    def log_consistency(self, ctx: Context, message: m.GetConsistency) -> m.LogProof:
        return m.LogProof(proof=self.log.consistency(message.first, message.second))

    @handles(m.AppendLog)
    def log_append(self, ctx: Context, message: m.AppendLog) -> m.LogStatement:
        self.log.publish([Publication(message.kind, bytes.fromhex(message.subject), message.detail)])
        ctx.note(kind=message.kind, subject=message.subject)
        self._have_signed()
        return m.LogStatement(statement=self.log.head().encode(), hosts=self.witnessing.standing())

    # -- participants

    @handles(m.GetOffer)
    def offer(self, ctx: Context, message: m.GetOffer) -> m.OfferReply:
        assignment = self._federated.pipeline.collector.find_active(
            message.assignment_id, ctx.principal.id, message.request_key
        )
        server = self._federated.pipeline.definitions.get(assignment.process_id).server
        if server.confidential is None:
            raise Conflict("this training is not confidential", reason="confidential")
        found = self.intake.bound(assignment)
        session = self.book.session(assignment.process_id)
        if session is None:  # one is appraised before anybody uploads; participants want to see that
            raise Unavailable("no key host has appraised a worker for this training yet")
        signed, policy = signed_policy_of(server)
        offer = Offer(
            policy=signed,
            context=found.context,
            layout=self.rounds.layout(assignment.process_id),
            keys=found.signed_keys,
            base=bytes.fromhex(found.row.base_digest),
            assignment=assignment.id,
            recorded=(RecordedSession.decode(session.recorded),),
            log=self.log.shown(policy.digest(), message.log_size, [host.key for host in policy.hosts]),
            successions=self.policies.successions(policy.digest().hex()),
        )
        return m.OfferReply(offer=offer.encode())

    @handles(m.DeclareUpload)
    def declare(self, ctx: Context, message: m.DeclareUpload) -> Empty:
        assignment = self._federated.pipeline.collector.find_active(
            message.assignment_id, ctx.principal.id, message.request_key
        )
        self.intake.declare(assignment, message.declaration)
        return Empty()

    # -- rounds

    @handles(m.ListConfidentialRounds)
    def list_rounds(self, ctx: Context, message: m.ListConfidentialRounds) -> m.ConfidentialRounds:
        definition = self._federated.readable(ctx.principal, message.process_id)
        if definition.server.confidential is None:
            raise NotFound("this training is not confidential")
        waiting = self.rounds.waiting.get(definition.id, "")
        found = rounds_of(self.node.db, definition.id, waiting)
        return m.ConfidentialRounds(policy=policy_of(definition.server).digest().hex(), rounds=found)

    @handles(m.Resync)
    def resync(self, ctx: Context, message: m.Resync) -> m.Resynced:
        done = self.resyncing.run()
        ctx.note(rounds=done.rounds, entries=done.entries, silent=len(done.silent))
        return done

    @handles(m.GetReceipt)
    def receipt(self, ctx: Context, message: m.GetReceipt) -> m.ConfidentialReceipt:
        definition = self._federated.readable(ctx.principal, message.process_id)
        for row in self.book.of_training(definition.id):
            if row.checkpoint == message.checkpoint and row.receipt is not None:
                return m.ConfidentialReceipt(
                    receipt=row.receipt,
                    manifest=row.manifest,
                    policy=signed_policy_of(definition.server)[0].encode(),
                    simulated=bool(row.simulated),
                )
        raise NotFound(f"checkpoint {message.checkpoint} came of no confidential round")
