"""A job's part in a training that may be confidential: the guard against plaintext, the offer, the sealing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from blake3 import blake3

from syft_ext.clock import Clock, SystemClock
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.kernel.reports import report_layout
from syft_ext.confidential.odometer import Odometer
from syft_ext.confidential.offer import Expected, VerifiedOffer, heard, verify_offer
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import ReportLayout
from syft_ext.confidential.trust import Trust
from syft_ext.errors import Conflict, InvalidStatement, OfferRefused, Unavailable
from syft_ext.federated.sealed.book import ParticipantBook
from syft_ext.federated.sealed.outbox import SealedOutbox, StoredUpload
from syft_ext.federated.sealed.views import ConfidentialOffer
from syft_ext.federated.session import WorkerSession
from syft_ext.identity import Identity
from syft_ext.messages.confidential import GetOffer, OfferReply
from syft_ext.messages.federated import CheckInReply
from syft_ext.messages.training_reviews import DefinitionFacts
from syft_ext.tensors import read_layout

__all__ = ["SEALED", "ConfidentialPart"]

SEALED = "sealed"
"""The report format of confidential trainings."""
MASKED = "secure_aggregation"
"""That of secure aggregation."""
Buffer = bytes | bytearray | memoryview


class _Participant(Protocol):
    @property
    def identity(self) -> Identity:
        """Who takes part."""

    @property
    def trust(self) -> Trust | None:
        """What they pin."""


class ConfidentialPart:
    """Of one job.

    Args:
        session: the job's part in the training.
    """

    def __init__(self, client: _Participant, session: WorkerSession, clock: Clock | None = None) -> None:
        self._client, self._session, self._clock = client, session, clock or SystemClock()
        self._said = b""
        self._expected: Expected | None = None

    @property
    def _trust(self) -> Trust:
        trust = self._client.trust
        if trust is None:
            raise OfferRefused(
                "the training is confidential, and this client pins nobody: FLClient(…, trust=sy.Trust(…)); "
                "for a Worker, `grid worker trust`",
                check="trust",
            )
        return trust

    def _now(self) -> int:
        return int(self._clock.now())

    def guard(self, report_format: str, assignment: CheckInReply | None = None) -> bool:
        """Whether reports of this format are sealed. Called before a training is joined, before its plan runs, and
        before a report is written.

        Args:
            assignment: what the report is for, once there is one.

        Raises :class:`~syft_ext.errors.OfferRefused` for any other format where the client has pins, or the
        training was confidential once, whatever the Domain says now; for masked ones of fewer than the pins
        demand; and for a sealed one where there are no pins.
        """
        training = f"{self._session.node_key}/{self._session.name}/{self._session.version}"
        book = ParticipantBook()
        if report_format == SEALED:
            book.remember(training)
            _ = self._trust
            return True
        trust = self._client.trust
        masked = report_format == MASKED and trust is not None and trust.secure_aggregation
        if book.is_confidential(training) or (trust is not None and not masked):
            raise OfferRefused(
                f"{self._session.name} {self._session.version} asks for reports that are not sealed: this client "
                "takes part sealed, or not at all",
                check="plaintext",
            )
        if trust is not None and assignment is not None:
            survivors = assignment.report_options.get("minimum")
            if not isinstance(survivors, int) or survivors < trust.least_cohort:
                raise OfferRefused(
                    f"sums of as few as {survivors} would be opened, you want {trust.least_cohort}",
                    check="cohort",
                )
        return False

    def take(self, reply: CheckInReply, facts: DefinitionFacts, model: Buffer) -> ConfidentialOffer:
        """Fetch and verify what the Domain offers for this assignment, before anything is trained for it.

        Args:
            facts: the definition that was agreed to.
            model: the whole file that was downloaded.

        Raises :class:`~syft_ext.errors.OfferRefused`; :class:`~syft_ext.errors.Unavailable` until the hosts
        have made the round's keys.
        """
        trust, self._expected = self._trust, None
        domain = key_of(self._session.node_key)
        seen = ParticipantBook().odometer.head_of(domain)
        message = GetOffer(
            assignment_id=reply.assignment_id,
            request_key=reply.request_key,
            log_size=0 if seen is None else seen.size,
        )
        offered: OfferReply = self._session.call(message)
        expected = Expected(
            domain=domain,
            process=self._session.process_id,
            assignment=reply.assignment_id,
            policy=_agreed_policy(facts),
            base=blake3(model).digest(),
            plans=tuple(sorted(bytes.fromhex(digest) for digest in facts.plans.values())),
            layout=report_layout(read_layout(model)),
            participant=key_of(self._client.identity),
            log_size=message.log_size,
        )
        try:
            verified = self._seen(offered.offer, expected, trust)
        except OfferRefused as error:
            if error.extra.get("yet"):
                raise Unavailable(error.detail) from error
            raise
        SealedOutbox().find(verified.place)  # a round has one upload: seen before the plan runs
        self._said, self._expected = offered.offer, expected
        return ConfidentialOffer(verified)

    def _seen(self, offered: bytes, expected: Expected, trust: Trust) -> VerifiedOffer:
        """The offer, verified. How far its hosts are is remembered whatever comes of the assignment: a Domain
        that takes it back has shown it all the same. So is, of one that is refused, which keys were given up."""
        found: list[VerifiedOffer] = []
        refusals: list[OfferRefused] = []

        def look(odometer: Odometer) -> Odometer:
            try:
                found.append(verify_offer(offered, expected, trust, odometer, self._now()))
            except OfferRefused as error:
                refusals.append(error)
                return heard(offered, trust, odometer)
            return found[0].odometer

        ParticipantBook().count(look)
        if refusals:
            raise refusals[0]
        return found[0]

    def seal(self, length: int, pieces: Callable[[ReportLayout], Iterable[Buffer]]) -> StoredUpload:
        """The sealed update of this assignment, on disk. The offer is verified again, at this time; the round is
        counted before the update is sealed.

        Args:
            length: bytes of the update; ``pieces`` makes them, for the round's layout.

        Raises :class:`~syft_ext.errors.OfferRefused`, or :class:`~syft_ext.errors.Conflict` without an offer.
        """
        if self._expected is None:
            raise Conflict("nothing was offered for this assignment", reason="state")
        expected, trust, at = self._expected, self._trust, self._now()
        book, outbox = ParticipantBook(), SealedOutbox()
        verified = verify_offer(self._said, expected, trust, book.odometer, at)
        found = outbox.find(verified.place)
        if found is not None:
            return found
        book.count(lambda odometer: self._counted(verified, odometer, at))
        outbox.sweep(at)
        return outbox.seal(verified.place, pieces(expected.layout), length, self._client.identity)

    def _counted(self, verified: VerifiedOffer, odometer: Odometer, at: int) -> Odometer:
        # Verified once more against the count as it is under the lock: two jobs at once are two rounds.
        again = verify_offer(self._said, self._known, self._trust, odometer, at)
        return again.odometer.given(
            verified.place.context, self._known.participant, verified.policy, at, self._trust
        )

    @property
    def _known(self) -> Expected:
        assert self._expected is not None
        return self._expected


def _agreed_policy(facts: DefinitionFacts) -> bytes:
    """The digest of the policy that a definition names. Its signature is checked of the one that is offered."""
    said = facts.server_config.get("confidential")
    try:
        policy = said["policy"] if isinstance(said, Mapping) else None
        signed: Signed[ConfidentialPolicy] = Signed.decode(base64.b64decode(str(policy), validate=True))
    except (KeyError, ValueError, InvalidStatement) as error:
        raise OfferRefused("the training that you agreed to names no policy", check="agreed") from error
    return signed.digest_as(ConfidentialPolicy)
