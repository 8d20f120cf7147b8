"""Makers' revocation lists of the host's own: they count at appraisal, grant and release, whatever lies beside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_crl

from grid.key_host.revocation import drop_list, keep_lists, listed
from grid.key_host.sessions import attest
from grid.key_host.tables import KeyHostSession
from syft_ext.attestation.policy import AttestationPolicy, encode_policy
from syft_ext.attestation.snp.policy import SnpMinimum, SnpReferences
from syft_ext.confidential.asks import AttestAsk
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.errors import Conflict, EvidenceRefused, NotFound
from tests.attestation.makers.amd import House, Report, trusting
from tests.key_host.parties import T0, Party, WorkerSession
from tests.key_host.test_grants import Round, refused

AT = datetime.fromtimestamp(T0, UTC)
HOUSE = House(not_before=AT - timedelta(days=100), not_after=AT + timedelta(days=100))
MINIMUM = SnpMinimum(product="Milan", boot_loader=4, tee=0, snp=24, microcode=219)
MIDDLE = HOUSE.serial
"""The serial number of AMD's intermediate certificate, which its root may revoke."""


@pytest.fixture
def policy(party: Party, monkeypatch: pytest.MonkeyPatch) -> ConfidentialPolicy:
    """One that takes SEV-SNP only, of :data:`HOUSE`."""
    trusting(monkeypatch, HOUSE)
    references = SnpReferences(measurements=(b"m" * 48,), minima=(MINIMUM,))
    strict = AttestationPolicy(production=False, snp=references)
    return party.approved(party.policy(attestation=encode_policy(strict)))


def attested(party: Party, policy: ConfidentialPolicy, *beside: bytes) -> tuple[WorkerSession, AttestAsk]:
    """A session whose evidence was not stated yet; ``beside``: lists that its operator chose."""
    session = WorkerSession(party, policy, party.process)
    unbound = session.attest_ask()
    report = Report(report_data=unbound.binding().digest).signed()
    values = {name: getattr(unbound, name) for name in ("challenges", "worker")}
    return session, session.attest_ask(**values, evidence=HOUSE.evidence(report, None, *beside))


class SnpRound(Round):
    """A round with a session that all hosts have stated, under an old list that revokes nothing."""

    def __init__(self, party: Party, policy: ConfidentialPolicy) -> None:
        self.party, self.policy = party, policy
        self.context = party.context(policy)
        self.keys = party.open(policy, self.context)
        self.manifest = party.manifest(self.context, self.keys)
        self.worker, ask = attested(party, policy, newer(days=9))
        self.worker.statements = [attest(core, ask) for core in party.ordered(policy)]
        self.host = party.ordered(policy)[0]

    def confirm(self) -> object:
        shares = self.worker.output(self.manifest, self.keys, b"o" * 32)
        return self.worker.confirm(self.host, self.manifest, shares)


def newer(*serials: int, days: int = 1, **changes: object) -> bytes:
    return HOUSE.revocations(*serials, start=AT - timedelta(days=days), **changes)  # type: ignore[arg-type]


def test_an_older_list_beside_the_evidence_does_not_undo_the_hosts_own(
    party: Party, policy: ConfidentialPolicy
) -> None:
    _, ask = attested(party, policy, newer(days=9))
    first, second = party.ordered(policy)[:2]
    keep_lists(first, newer(MIDDLE))
    assert refused(lambda: attest(first, ask)) == "revoked"
    attest(second, ask)
    drop_list(first, "ARK-Milan")
    attest(first, ask)


def test_what_is_revoked_after_the_appraisal_gets_no_key(party: Party, policy: ConfidentialPolicy) -> None:
    one = SnpRound(party, policy)
    keep_lists(one.host, newer())
    one.grant()  # the list is about others
    keep_lists(one.host, newer(MIDDLE, days=0))
    assert refused(one.grant) == "revoked"  # the same key for the same manifest, too


def test_what_is_revoked_after_the_grant_releases_nothing(party: Party, policy: ConfidentialPolicy) -> None:
    one = SnpRound(party, policy)
    one.all()
    party.clock.advance(86_000)
    keep_lists(one.host, newer(MIDDLE))
    assert refused(one.confirm) == "revoked"
    drop_list(one.host, "ARK-Milan")
    one.confirm()


def test_a_session_of_which_nothing_is_known_is_held_back_while_there_are_lists(
    party: Party, policy: ConfidentialPolicy
) -> None:
    one = SnpRound(party, policy)
    with one.host.turn() as turn:
        row = turn.session.get_one(
            KeyHostSession, SessionStatement.decode(one.worker.statements[0].body).digest().hex()
        )
        row.evidence = None  # as rows have it that were written before evidence was kept
    keep_lists(one.host, newer())
    assert refused(one.grant) == "session"
    drop_list(one.host, "ARK-Milan")
    one.grant()


def test_a_list_that_its_issuer_did_not_sign_lets_nobody_through(
    party: Party, policy: ConfidentialPolicy
) -> None:
    one = SnpRound(party, policy)
    keep_lists(one.host, newer(by="somebody"))
    assert refused(one.grant) == "revoked"


def test_simulated_evidence_is_nobodys_to_revoke(party: Party) -> None:
    one = Round(party)
    keep_lists(one.host, newer(MIDDLE))
    one.grant()


def test_the_newest_list_of_an_issuer_counts(party: Party) -> None:
    core = party.hosts[0]
    keep_lists(core, newer(MIDDLE, days=3))
    with pytest.raises(Conflict, match="newer"):
        keep_lists(core, newer(days=4))
    pem = load_der_x509_crl(newer(days=2)).public_bytes(Encoding.PEM)
    keep_lists(core, pem)
    with core.db.read() as session:
        (view,) = listed(session).lists
    assert (view.issuer, view.entries) == ("ARK-Milan", 0)
    with pytest.raises(NotFound):
        drop_list(core, "ARK-Genoa")


@pytest.mark.parametrize("content", [b"", b"hello", HOUSE.ark], ids=["nothing", "text", "a certificate"])
def test_what_is_no_list_is_said(party: Party, content: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        keep_lists(party.hosts[0], content)


def test_lists_that_would_count_for_nothing_are_not_taken(party: Party) -> None:
    other = House(product="Milan", root="elsewhere")
    content = other.revocations().replace(b"ARK-Milan", b"RSA-Milan")
    with pytest.raises(EvidenceRefused, match="RSA-Milan"):
        keep_lists(party.hosts[0], content)


def test_decisions_about_lists_are_in_the_public_log(party: Party, policy: ConfidentialPolicy) -> None:
    from grid.key_host.log import log_entries
    from syft_ext.confidential.transparency.host_log import HostLogEntry

    core = party.hosts[0]
    keep_lists(core, newer())
    drop_list(core, "ARK-Milan")
    with core.db.read() as session:
        entries = [Signed[HostLogEntry].decode(each) for each in log_entries(core, session, 0, 100)]
    said = [HostLogEntry.decode(each.body) for each in entries][-2:]
    assert [(each.action, each.what) for each in said] == [
        ("denied", "revocation list ARK-Milan"),
        ("allowed", "revocation list ARK-Milan"),
    ]
