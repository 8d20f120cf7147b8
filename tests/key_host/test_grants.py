"""A key is given for one manifest, to an attested worker, once it is charged; and every refusal of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import select

from grid.key_host.chain import is_whole
from grid.key_host.charging import spent_in
from grid.key_host.core import HostCore
from grid.key_host.denials import deny
from grid.key_host.granting import check, grant_key
from grid.key_host.machines.round import MOST_ATTEMPTS
from grid.key_host.policies import decide
from grid.key_host.tables import KeyHostLedgerRow, KeyHostRound, KeyHostScope, KeyHostSession
from syft_ext.attestation.nitro.policy import NitroImage, NitroReferences
from syft_ext.attestation.policy import AttestationPolicy, encode_policy
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.grants import Grant
from syft_ext.confidential.hpke import public_key
from syft_ext.confidential.manifest import Manifest, ManifestEntry
from syft_ext.confidential.policy import ConfidentialPolicy, Mechanism
from syft_ext.confidential.rounds import RoundContext, RoundKey
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.errors import BadSignature, GridError, InvalidStatement, KeyRefused, LedgerRolledBack
from syft_ext.identity import Identity
from syft_ext.messages.key_host import DecidePolicy, Deny
from tests.key_host.parties import NANO, RHO, Party, WorkerSession

Keys = list[Signed[RoundKey]]


def refused(call: Callable[[], object]) -> str:
    """The reason of the refusal."""
    with pytest.raises(KeyRefused) as refusal:
        call()
    return str(refusal.value.extra["reason"])


class Round:
    """One round that is open everywhere, with a manifest, and a worker's session."""

    def __init__(self, party: Party, policy: ConfidentialPolicy | None = None, sequence: int = 1) -> None:
        self.party = party
        self.policy = policy or party.approved(party.policy())
        self.context: RoundContext = party.context(self.policy, sequence)
        self.keys: Keys = party.open(self.policy, self.context)
        self.manifest = party.manifest(self.context, self.keys)
        self.worker: WorkerSession = party.session(self.policy)
        self.host: HostCore = party.ordered(self.policy)[0]

    def grant(self, manifest: Signed[Manifest] | None = None) -> Signed[Grant]:
        return self.worker.grant(self.host, manifest or self.manifest, self.keys)

    def all(self) -> None:
        for core in self.party.ordered(self.policy):
            self.worker.grant(core, self.manifest, self.keys)


def _spent(core: HostCore) -> list[tuple[int, int]]:
    with core.db.read() as session:
        return [(row.spent, row.rounds) for row in session.scalars(select(KeyHostScope))]


def test_each_host_gives_the_worker_the_key_that_it_signed(party: Party) -> None:
    one = Round(party)
    for core, key in zip(party.ordered(one.policy), one.keys, strict=True):
        signed = one.worker.grant(core, one.manifest, one.keys)
        opened = signed.open(Grant, core.key)
        assert public_key("x25519", one.worker.opened(core, signed)) == key.open(RoundKey, core.key).upload
        assert (opened.rho, opened.head.sequence) == (RHO, 1)
        assert _spent(core) == [(RHO, 1)]
        with core.db.read() as session:
            assert is_whole(session)


def test_the_same_manifest_gets_the_same_key_again_without_another_charge(party: Party) -> None:
    one = Round(party)
    first = one.worker.opened(one.host, one.grant())
    for _ in range(MOST_ATTEMPTS - 1):
        assert one.worker.opened(one.host, one.grant()) == first
    assert refused(one.grant) == "attempts"
    assert _spent(one.host) == [(RHO, 1)]


def test_the_same_is_granted_again_after_a_certificate_has_ended(party: Party) -> None:
    policy = party.approved(party.policy(erase=600 * 4, windows=party.policy(erase=2400).windows))
    context = party.context(policy)
    keys = party.open(policy, context)
    ids = tuple(key.digest_as(RoundKey) for key in keys)
    brief = Identity.generate()
    certificate = party.certificate("brief", brief, not_after=party.now + 60)
    upload = UploadStatement.decode(party.entry("ada", context, ids).upload.body)
    entry = party.entry(
        "brief",
        context,
        ids,
        participant=key_of(brief),
        certificate=certificate.digest_as(ParticipantCertificate),
        ck_commit=upload.ck_commit,
    )
    statement = UploadStatement.decode(entry.upload.body)
    signed = ManifestEntry(upload=Signed.make(statement, brief), certificate=certificate)
    manifest = party.manifest(context, keys, entries=[signed, party.entry("ben", context, ids)])
    core = party.ordered(policy)[0]
    party.session(policy).grant(core, manifest, keys)
    party.clock.advance(120)
    party.session(policy).grant(core, manifest, keys)


def test_another_manifest_is_refused_for_ever(party: Party) -> None:
    one = Round(party)
    one.grant()
    other = party.manifest(one.context, one.keys, ["ada", "cy"])
    assert refused(lambda: one.grant(other)) == "other-manifest"
    party.clock.advance(200)
    later = party.session(one.policy)
    assert refused(lambda: later.grant(one.host, other, one.keys)) == "other-manifest"
    assert refused(lambda: check(one.host, other)) == "other-manifest"


def test_a_round_that_is_over_gives_nothing(party: Party) -> None:
    one = Round(party)
    one.grant()
    party.clock.advance(86_400)
    later = party.session(one.policy)
    assert refused(lambda: later.grant(one.host, one.manifest, one.keys)) == "over"


def test_a_policy_counts_while_it_is_approved_or_retired(party: Party) -> None:
    one = Round(party)
    digest = one.policy.digest().hex()
    decide(one.host, DecidePolicy(digest=digest, state="retired"))
    one.grant()
    decide(one.host, DecidePolicy(digest=digest, state="revoked"))
    assert refused(one.grant) == "policy"


def test_a_peer_that_revoked_the_policy_is_heard(party: Party) -> None:
    one = Round(party)
    other = party.ordered(one.policy)[1]
    decide(other, DecidePolicy(digest=one.policy.digest().hex(), state="retired"))
    stated = party.session(one.policy)
    deny(other, Deny(kind="workload", value=f"simulator:{'07' * 32}"))
    assert refused(lambda: party.session(one.policy)) == "denied"
    stated.grant(one.host, one.manifest, one.keys)


def test_a_manifest_is_signed_by_the_domain_of_its_round(party: Party) -> None:
    one = Round(party)
    forged = Signed.make(one.manifest.open(Manifest, key_of(party.domain)), Identity.generate())
    with pytest.raises(BadSignature):
        one.grant(forged)


def _altered(one: Round, **changes: object) -> Signed[Manifest]:
    manifest = Manifest.decode(one.manifest.body)
    return Signed.make(msgspec.structs.replace(manifest, **changes), one.party.domain)


def test_entries_are_signed_by_their_participants(party: Party) -> None:
    """An operator cannot list people who never uploaded (A8)."""
    one = Round(party)
    ids = tuple(key.digest_as(RoundKey) for key in one.keys)
    ada, ben = (party.entry(name, one.context, ids) for name in ("ada", "ben"))
    invented = ManifestEntry(
        upload=Signed.make(UploadStatement.decode(ben.upload.body), party.domain), certificate=ben.certificate
    )
    with pytest.raises(BadSignature):
        one.grant(party.manifest(one.context, one.keys, entries=[ada, invented]))
    stranger = Identity.generate()
    foreign = ManifestEntry(
        upload=ben.upload,
        certificate=Signed.make(ParticipantCertificate.decode(ben.certificate.body), stranger),
    )
    with pytest.raises(BadSignature):
        one.grant(party.manifest(one.context, one.keys, entries=[ada, foreign]))
    for change in ({"base": bytes([1]) * 32}, {"context": bytes(32)}, {"keys": (bytes(32), bytes([1]) * 32)}):
        with pytest.raises(InvalidStatement):
            other = party.entry("ben", one.context, ids, **change)
            one.grant(party.manifest(one.context, one.keys, entries=[ada, other]))
    assert _spent(one.host) == []


def test_nobody_is_in_a_manifest_twice(party: Party) -> None:
    """Neither under two assignments, nor under two keys with one subject."""
    one = Round(party)
    ids = tuple(key.digest_as(RoundKey) for key in one.keys)
    twice = [party.entry("ada", one.context, ids) for _ in range(2)]
    with pytest.raises(InvalidStatement, match="twice"):
        one.grant(party.manifest(one.context, one.keys, entries=twice))
    first = party.entry("ada", one.context, ids)
    party.people["ada"] = Identity.generate()
    second = party.entry("ada", one.context, ids)
    with pytest.raises(InvalidStatement, match="twice"):
        one.grant(party.manifest(one.context, one.keys, entries=[first, second]))
    same = party.entry("ben", one.context, ids, blob=UploadStatement.decode(first.upload.body).blob)
    with pytest.raises(InvalidStatement, match="twice"):
        one.grant(party.manifest(one.context, one.keys, entries=[first, same]))


def test_the_cohort_is_as_large_as_the_policy_says(party: Party) -> None:
    one = Round(party, party.approved(party.policy(least=3, most=4)))
    for names in (["a", "b"], ["a", "b", "c", "d", "e"]):
        with pytest.raises(InvalidStatement, match="the policy takes 3 to 4"):
            one.grant(party.manifest(one.context, one.keys, names))
    one.grant(party.manifest(one.context, one.keys, ["a", "b", "c"]))


def test_keys_of_a_manifest_are_those_that_hosts_signed(party: Party) -> None:
    """A11: a second key for a round, or the key of another round, is none."""
    one, two = Round(party), None
    two = Round(party, one.policy, sequence=2)
    mixed = [two.keys[0], one.keys[1]]
    with pytest.raises((InvalidStatement, KeyRefused)):
        one.worker.grant(one.host, party.manifest(one.context, mixed), mixed)
    ids = tuple(key.digest_as(RoundKey) for key in one.keys)
    doubled = _altered(one, keys=(ids[0], ids[0]))
    with pytest.raises(InvalidStatement):
        one.grant(doubled)
    # Its own is what it signed, whatever another says beside.
    with pytest.raises((InvalidStatement, KeyRefused, BadSignature)):
        one.worker.grant(one.host, one.manifest, two.keys)


def test_two_hosts_have_not_the_same_key(party: Party) -> None:
    one = Round(party)
    hosts = party.ordered(one.policy)
    first = RoundKey.decode(one.keys[0].body)
    copied = msgspec.structs.replace(RoundKey.decode(one.keys[1].body), upload=first.upload)
    keys = [one.keys[0], Signed.make(copied, hosts[1].identity)]
    with pytest.raises(InvalidStatement, match="same key"):
        one.worker.grant(one.host, party.manifest(one.context, keys), keys)


def test_a_round_that_nobody_opened_gives_nothing(party: Party) -> None:
    one = Round(party)
    context = party.context(one.policy, 9)
    manifest = party.manifest(context, one.keys)
    assert refused(lambda: one.worker.grant(one.host, manifest, one.keys)) == "unknown-round"


# -- sessions --------------------------------------------------------------------------------------------


def test_statements_of_all_hosts_are_needed_in_their_order(party: Party) -> None:
    one = Round(party)
    first, second = one.worker.statements
    for given in ([first, first], [second, first]):
        with pytest.raises((KeyRefused, BadSignature)):
            grant_key(one.host, one.worker.ask(one.host, one.manifest, one.keys, given), one.manifest)
    three = [first, second, second]
    assert (
        refused(
            lambda: grant_key(one.host, one.worker.ask(one.host, one.manifest, one.keys, three), one.manifest)
        )
        == "session"
    )


def test_statements_are_of_one_session_for_this_training(party: Party) -> None:
    one = Round(party)
    other = party.session(one.policy)
    mixed = [one.worker.statements[0], other.statements[1]]
    ask = one.worker.ask(one.host, one.manifest, one.keys, mixed)
    assert refused(lambda: grant_key(one.host, ask, one.manifest)) == "session"
    elsewhere = party.session(one.policy, process="f" * 32)
    assert refused(lambda: elsewhere.grant(one.host, one.manifest, one.keys)) == "session"


def test_the_request_is_signed_by_the_session_for_this_host_and_manifest(party: Party) -> None:
    one = Round(party)
    other = party.session(one.policy)
    ask = other.ask(one.host, one.manifest, one.keys, one.worker.statements)
    with pytest.raises(BadSignature):
        grant_key(one.host, ask, one.manifest)
    for change in ({"host": party.ordered(one.policy)[1].key}, {"manifest": bytes(32)}):
        with pytest.raises(GridError, match="another host or manifest"):
            grant_key(one.host, one.worker.ask(one.host, one.manifest, one.keys, **change), one.manifest)
    ask = one.worker.ask(one.host, one.manifest, one.keys, sessions=(bytes(32), bytes(32)))
    assert refused(lambda: grant_key(one.host, ask, one.manifest)) == "session"


def test_statements_are_five_minutes_old_at_most(party: Party) -> None:
    one = Round(party)
    party.clock.advance(301)
    assert refused(one.grant) == "time"


def test_hosts_whose_clocks_differ_do_not_grant_together(party: Party) -> None:
    """A clock that another party froze, or set ahead (A10)."""
    one = Round(party)
    before = one.worker.statements[0]
    party.clock.advance(290)
    again = party.session(one.policy)
    # The first host's clock stood still.
    core = party.ordered(one.policy)[1]
    late = msgspec.structs.replace(
        SessionStatement.decode(again.statements[1].body), at=party.now + 20, not_after=party.now + 320
    )
    first = msgspec.structs.replace(
        SessionStatement.decode(again.statements[0].body),
        at=SessionStatement.decode(before.body).at,
        not_after=party.now + 300,
    )
    given = [Signed.make(first, one.host.identity), Signed.make(late, core.identity)]
    ask = again.ask(one.host, one.manifest, one.keys, given)
    assert refused(lambda: grant_key(one.host, ask, one.manifest)) == "time"


def test_simulated_evidence_is_not_granted_under_a_policy_that_takes_none(party: Party) -> None:
    """Even where a host of it stated such a session: the third of the four places (design 12)."""
    registers = bytes([1]) * 48
    image = NitroImage(pcr0=registers, pcr1=registers, pcr2=registers)
    strict = AttestationPolicy(production=True, nitro=NitroReferences(images=(image,)))
    policy = party.approved(party.policy(attestation=encode_policy(strict)))
    context = party.context(policy)
    keys = party.open(policy, context)
    manifest = party.manifest(context, keys)
    loose = party.session(party.approved(party.policy(scope="other")))
    stated = [
        Signed.make(
            msgspec.structs.replace(SessionStatement.decode(each.body), policy=policy.digest()), core.identity
        )
        for each, core in zip(loose.statements, party.ordered(policy), strict=True)
    ]
    core = party.ordered(policy)[0]
    ask = loose.ask(core, manifest, keys, stated)
    assert refused(lambda: grant_key(core, ask, manifest)) == "simulated"


# -- budgets ---------------------------------------------------------------------------------------------


def test_no_round_is_granted_that_the_budget_does_not_pay_for(party: Party) -> None:
    policy = party.approved(party.policy(rounds=3))
    for sequence in (1, 2, 3):
        Round(party, policy, sequence).all()
    last = Round(party, policy, 4)
    assert refused(last.grant) == "budget"
    assert _spent(last.host) == [(3 * RHO, 3)]
    assert refused(last.grant) == "budget"


def test_trainings_and_policies_of_a_scope_share_its_budget(party: Party) -> None:
    """And the strictest of the approved policies says how much that is."""
    generous = party.approved(party.policy(rounds=5))
    Round(party, generous, 1).all()
    party.process = "e" * 32
    strict = party.approved(party.policy(rounds=2))
    Round(party, strict, 1).all()
    assert refused(Round(party, strict, 2).grant) == "budget"
    assert refused(Round(party, generous, 3).grant) == "budget"
    for core in party.hosts:
        decide(core, DecidePolicy(digest=strict.digest().hex(), state="retired"))
    Round(party, generous, 4).all()


def test_another_owners_scope_of_the_same_name_is_another(party: Party) -> None:
    Round(party, party.approved(party.policy(rounds=1))).all()
    party.owner, party.process = Identity.generate(), "d" * 32
    Round(party, party.approved(party.policy(rounds=1))).all()


def test_rounds_without_noise_are_not_paid_by_a_budget(party: Party) -> None:
    silent = Mechanism(clip=1 << 20, grid_bits=20, noise_multiplier=0, denominator=2)
    party.approved(party.policy(rounds=2))
    budget = msgspec.structs.replace(party.policy().budget, rho=0)
    bare = party.approved(party.policy(mechanism=silent, budget=budget))
    assert refused(Round(party, bare).grant) == "budget"


def test_rho_is_rounded_up(party: Party) -> None:
    odd = Mechanism(clip=1 << 20, grid_bits=20, noise_multiplier=3 * NANO, denominator=2)
    one = Round(party, party.approved(party.policy(mechanism=odd)))
    one.all()
    assert _spent(one.host) == [(55_555_556, 1)]  # 10^9 / 18


def test_participations_are_counted_by_subject_whatever_key_they_have(party: Party) -> None:
    policy = party.approved(party.policy(participations=2))
    for sequence in (1, 2):
        party.people["ada"] = Identity.generate()
        Round(party, policy, sequence).all()
    party.people["ada"], party.process = Identity.generate(), "c" * 32
    third = Round(party, policy, 3)
    assert refused(third.grant) == "participations"
    assert [(each.reason) for each in check(third.host, third.manifest).entries] == ["participations"] * 2
    third.grant(party.manifest(third.context, third.keys, ["cy", "dan"]))


def test_separation_counts_granted_rounds_only(party: Party) -> None:
    policy = party.approved(party.policy(separation=2))
    Round(party, policy, 1).all()
    Round(party, policy, 2)  # never granted: brings nobody apart
    third = Round(party, policy, 3)
    assert refused(third.grant) == "separation"
    third.manifest = party.manifest(third.context, third.keys, ["cy", "dan"])
    third.all()
    Round(party, policy, 4).all()


# -- denials ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_a_denied_workload_gets_no_key_though_the_policy_is_approved(party: Party, place: int) -> None:
    """Denied at one host, heard by the other (A10)."""
    one = Round(party)
    denier = party.ordered(one.policy)[place]
    workload = f"simulator:{'07' * 32}"
    deny(denier, Deny(kind="workload", value=workload))
    if place == 0:
        assert refused(one.grant) == "denied"  # by a session that was stated before
    assert refused(lambda: party.session(one.policy)) == "denied"
    deny(denier, Deny(kind="workload", value=workload, lift=True))
    party.session(one.policy).grant(one.host, one.manifest, one.keys)


def test_denied_participants_and_platforms(party: Party) -> None:
    one = Round(party)
    authority = key_of(party.authority).hex()
    deny(one.host, Deny(kind="subject", value=f"{authority}:ada"))
    assert refused(one.grant) == "denied"
    assert [each.reason for each in check(one.host, one.manifest).entries] == ["denied"]
    deny(one.host, Deny(kind="subject", value=f"{authority}:ada", lift=True))
    digest = Manifest.decode(one.manifest.body).entries[0].certificate.digest_as(ParticipantCertificate).hex()
    deny(one.host, Deny(kind="certificate", value=digest))
    assert refused(one.grant) == "denied"
    deny(one.host, Deny(kind="certificate", value=digest, lift=True))
    one.grant()
    for level in ("host=here", "tcb<3"):
        deny(one.host, Deny(kind="platform", value=level))
        assert refused(lambda: party.session(one.policy)) == "denied"
        assert refused(one.grant) == "denied"  # by a session that was appraised before
        deny(one.host, Deny(kind="platform", value=level, lift=True))
    party.session(one.policy)


def test_a_platform_that_is_denied_after_the_grant_releases_nothing(party: Party) -> None:
    one = Round(party)
    one.all()
    output = bytes([9]) * 32
    shares = one.worker.output(one.manifest, one.keys, output)
    deny(one.host, Deny(kind="platform", value="host=here"))
    assert refused(lambda: one.worker.confirm(one.host, one.manifest, shares)) == "denied"
    deny(one.host, Deny(kind="platform", value="host=elsewhere"))
    deny(one.host, Deny(kind="platform", value="host=here", lift=True))
    with one.host.db.transaction() as session:  # a host that knows nothing of the session any more is careful
        kept = session.scalars(select(KeyHostSession)).all()
        for row in kept:
            session.delete(row)
    assert refused(lambda: one.worker.confirm(one.host, one.manifest, shares)) == "session"
    assert refused(one.grant) == "session"
    deny(one.host, Deny(kind="platform", value="host=elsewhere", lift=True))
    one.worker.confirm(one.host, one.manifest, shares)


# -- several authorities ---------------------------------------------------------------------------------


def test_one_institution_is_one_person_whoever_vouches(party: Party) -> None:
    """In a manifest, in the counts of a scope, and where it is denied."""
    first, second = party.authority, Identity.generate()
    both = tuple(sorted((key_of(first), key_of(second))))
    cohort = msgspec.structs.replace(party.policy(participations=1).cohort, authorities=both)
    policy = party.approved(party.policy(cohort=cohort))
    one = Round(party, policy, 1)
    ids = tuple(key.digest_as(RoundKey) for key in one.keys)

    def entry(name: str, authority: Identity) -> ManifestEntry:
        party.authority, party.people[name] = authority, Identity.generate()
        return party.entry(name, one.context, ids)

    twice = [entry("ada", first), entry("ada", second)]
    with pytest.raises(InvalidStatement, match="twice"):
        one.grant(party.manifest(one.context, one.keys, entries=twice))
    named = check(one.host, party.manifest(one.context, one.keys, entries=[*twice, entry("ben", first)]))
    assert [each.reason for each in named.entries] == ["twice"]

    deny(one.host, Deny(kind="subject", value=f"{key_of(first).hex()}:cy"))
    assert refused(
        lambda: one.grant(
            party.manifest(one.context, one.keys, entries=[entry("cy", second), entry("ben", second)])
        )
    ) == ("denied")
    deny(one.host, Deny(kind="subject", value=f"{key_of(first).hex()}:cy", lift=True))
    one.manifest = party.manifest(one.context, one.keys, entries=[entry("ada", first), entry("ben", second)])
    one.all()

    two = Round(party, policy, 2)
    ids = tuple(key.digest_as(RoundKey) for key in two.keys)
    party.authority, party.people["ada"] = second, Identity.generate()
    again = [party.entry("ada", two.context, ids), party.entry("dan", two.context, ids)]
    assert (
        refused(lambda: two.grant(party.manifest(two.context, two.keys, entries=again))) == "participations"
    )


# -- rollback --------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_does_not_set_back_the_host(party: Party) -> None:
    one = Round(party)
    party.clock.advance(86_000)
    later = party.session(one.policy)
    party.clock.advance(-86_000)
    assert one.host.now() == party.now + 86_000
    later.grant(one.host, one.manifest, one.keys)
    party.clock.advance(86_399)
    party.clock.advance(1)
    over = party.session(one.policy)
    assert refused(lambda: over.grant(party.ordered(one.policy)[1], one.manifest, one.keys)) == "over"


def test_check_charges_nothing_and_names_who_cannot_stay(party: Party) -> None:
    one = Round(party)
    ids = tuple(key.digest_as(RoundKey) for key in one.keys)
    good, ben = party.entry("ada", one.context, ids), party.entry("ben", one.context, ids)
    unsigned = ManifestEntry(
        upload=Signed.make(UploadStatement.decode(ben.upload.body), party.domain), certificate=ben.certificate
    )
    again = party.entry("ada", one.context, ids)
    manifest = party.manifest(one.context, one.keys, entries=[good, unsigned, again])
    found = {each.assignment: each.reason for each in check(one.host, manifest).entries}
    assert sorted(found.values()) == ["signature", "twice"]
    assert _spent(one.host) == []
    with one.host.db.read() as session:
        assert spent_in(session, [one.policy.scope.hex()]) == []
        assert session.scalars(select(KeyHostLedgerRow)).all() == []
        assert {row.state for row in session.scalars(select(KeyHostRound))} == {"open"}


def test_nobody_leaves_somebody_else_out_by_what_they_choose(party: Party) -> None:
    """A commitment that is somebody's key, or the bytes of their name, is no second one of theirs."""
    policy = party.approved(party.policy())
    one = Round(party, policy)
    ids = tuple(key.digest_as(RoundKey) for key in one.keys)
    long = "a hospital with just 32 letters!"
    party.people[long] = Identity.generate()
    victim = party.entry(long, one.context, ids, assignment="f" * 32)
    for chosen in (long.encode(), key_of(party.people[long])):
        spoiler = party.entry("mallory", one.context, ids, assignment="0" * 32, ck_commit=chosen)
        manifest = party.manifest(one.context, one.keys, entries=[spoiler, victim])
        assert check(one.host, manifest).entries == []


def test_a_halted_host_grants_nothing(party: Party) -> None:
    one = Round(party)
    one.host.halt("for a test")
    for call in (one.grant, lambda: party.session(one.policy), lambda: check(one.host, one.manifest)):
        with pytest.raises(LedgerRolledBack, match="for a test"):
            call()
