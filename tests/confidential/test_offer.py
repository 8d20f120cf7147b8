"""Condition 6: each check of a participant, by what the operator would do about it. Nothing that fails passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from syft_ext.attestation.evidence import Evidence
from syft_ext.attestation.policy import policy_to_json
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.odometer import Odometer, RoundGiven
from syft_ext.confidential.offer import Expected, Offer, RecordedSession, VerifiedOffer, verify_offer
from syft_ext.confidential.policy import NANO, ConfidentialPolicy, Host
from syft_ext.confidential.rounds import Head, ReportLayout, ReportTensor
from syft_ext.confidential.sessions import Denials, SessionStatement
from syft_ext.confidential.transparency.log import LogEntry, LogShown
from syft_ext.confidential.trust import Trust
from syft_ext.errors import InvalidConfig, OfferRefused
from syft_ext.identity import Identity
from tests.confidential.world import BASE, HEAD, NOW, PROCESS, World, changed, digest, evidence_policy
from tests.shared_material import shared

ASSIGNMENT = "a" * 32


def trust_of(world: World, **fields: Any) -> Trust:
    kept: dict[str, Any] = {
        "hosts": [host.verify_key for host in world.hosts],
        "authorities": [world.authority.verify_key],
        "owners": [world.owner.verify_key],
        "evidence": [evidence_policy(world.production)],
        "certificate": world.signed_certificate(0),
        "rho": 1.0,
        "rounds": 10,
        "production": world.production,
        "session_age": None,
    }
    return Trust(**{**kept, **fields})


def expected_of(world: World, **fields: Any) -> Expected:
    expected = Expected(
        key_of(world.domain),
        PROCESS,
        ASSIGNMENT,
        world.policy.digest(),
        BASE,
        (digest("plan"),),
        world.layout,
        key_of(world.participants[0]),
    )
    return replace(expected, **fields)


def offer_of(world: World, **fields: Any) -> Offer:
    offer = Offer(
        world.signed_policy,
        world.context,
        world.layout,
        world.round_keys,
        BASE,
        ASSIGNMENT,
        (),
        world.shown(),
    )
    return changed(offer, **fields)


def verified(
    world: World,
    offer: Offer | None = None,
    trust: Trust | None = None,
    expected: Expected | None = None,
    odometer: Odometer | None = None,
    at: int = NOW,
) -> VerifiedOffer:
    return verify_offer(
        (offer or offer_of(world)).encode(),
        expected or expected_of(world),
        trust or trust_of(world),
        odometer or Odometer(),
        at,
    )


def refused(check: str, verify: Callable[[], VerifiedOffer]) -> OfferRefused:
    with pytest.raises(OfferRefused) as caught:
        verify()
    assert caught.value.extra["check"] == check, caught.value
    return caught.value


WORLD = World()
ME = key_of(WORLD.participants[0])
PRODUCTION = World(production=True)


@pytest.mark.parametrize("world", [WORLD, PRODUCTION], ids=["development", "production"])
def test_an_honest_offer_holds(world: World) -> None:
    found = verified(world)
    assert found.policy == world.policy
    assert found.place.keys == world.keys
    assert found.rho == world.policy.mechanism.rho
    assert found.appraisal is None
    assert not found.fresh
    checks = [finding.check for finding in found.findings]
    assert len(set(checks)) == len(checks) >= 15
    assert not any(finding.advisory for finding in found.findings)


def test_bytes_that_are_no_offer() -> None:
    encoded = offer_of(WORLD).encode()
    for damaged in (b"", encoded[:-1], encoded + b"\0", b"\x90"):
        with pytest.raises(OfferRefused) as caught:
            verify_offer(damaged, expected_of(WORLD), trust_of(WORLD), Odometer(), NOW)
        assert caught.value.extra["check"] == "encoding"


def test_a_policy_of_another_owner_or_under_a_forged_signature() -> None:
    mallory = Identity.generate()
    stolen = Signed.make(WORLD.policy, mallory)
    refused("owner", lambda: verified(WORLD, offer_of(WORLD, policy=stolen)))
    unpinned = trust_of(WORLD, owners=[])
    refused("owner", lambda: verified(WORLD, offer_of(WORLD, policy=stolen), unpinned))
    assert verified(WORLD, trust=unpinned)
    forged = changed(WORLD.signed_policy, signature=bytes(64))
    refused("owner", lambda: verified(WORLD, offer_of(WORLD, policy=forged)))


def swapped(world: World, **fields: Any) -> World:
    """The same people under another policy of the same owner, as the operator would like it."""

    class Swapped(World):
        @property
        def policy(self) -> ConfidentialPolicy:
            return changed(world.policy, **fields)

    other = Swapped(
        owner=world.owner,
        domain=world.domain,
        authority=world.authority,
        participants=world.participants,
        worker=world.worker,
        production=world.production,
    )
    other.hosts = world.hosts
    return other


def test_a_policy_that_is_swapped_after_the_keys_were_made() -> None:
    weak = swapped(WORLD, cohort=changed(WORLD.policy.cohort, participations=99))
    refused("round", lambda: verified(WORLD, offer_of(WORLD, policy=weak.signed_policy)))
    swapped_offer = offer_of(WORLD, policy=weak.signed_policy, context=weak.context)
    refused("agreed", lambda: verified(WORLD, swapped_offer))
    refused("log", lambda: verified(WORLD, swapped_offer, expected=expected_of(weak)))
    logged = changed(swapped_offer, log=weak.shown())
    refused("keys", lambda: verified(WORLD, logged, expected=expected_of(weak)))


def test_a_policy_that_is_not_in_the_log() -> None:
    other = WORLD.shown(policy=digest("another policy"))
    refused("log", lambda: verified(WORLD, offer_of(WORLD, log=other)))
    moved = changed(WORLD.shown(), inclusion=changed(WORLD.shown().inclusion, index=1))
    refused("log", lambda: verified(WORLD, offer_of(WORLD, log=moved)))
    refused("log", lambda: verified(WORLD, offer_of(WORLD, log=WORLD.shown(keeper=Identity.generate()))))
    refused("log", lambda: verified(WORLD, offer_of(WORLD, log=WORLD.shown(at=NOW + 700))))


def test_a_head_that_too_few_hosts_have_signed() -> None:
    strangers = [Identity.generate() for _ in range(3)]
    for witnesses in ([], strangers, [WORLD.domain]):
        offer = offer_of(WORLD, log=WORLD.shown(witnesses=witnesses))
        found = refused("log", partial(verified, WORLD, offer))
        assert found.extra["yet"]  # they may sign it yet
        assert verified(WORLD, offer, trust_of(WORLD, least_witnesses=0))
    two = offer_of(WORLD, log=WORLD.shown(witnesses=WORLD.hosts[:2]))
    assert verified(WORLD, two, trust_of(WORLD, least_witnesses=2))
    refused("log", lambda: verified(WORLD, two, trust_of(WORLD, least_witnesses=3)))
    with pytest.raises(InvalidConfig):
        trust_of(WORLD, least_witnesses=4)


@pytest.mark.parametrize("witnesses", [0, 1, 3])
def test_a_log_that_shows_two_views_or_takes_something_back(witnesses: int) -> None:
    """Whoever signs it: what this participant saw is enough."""
    trust = trust_of(WORLD, least_witnesses=witnesses)
    first = LogEntry("host", digest("host"), NOW - 600, "")
    seen = verified(WORLD, offer_of(WORLD, log=WORLD.shown(first)), trust).odometer
    assert seen.head_of(key_of(WORLD.domain)) is not None

    def again(log: LogShown, size: int = 3) -> VerifiedOffer:
        expected = expected_of(WORLD, log_size=size)
        return verified(WORLD, offer_of(WORLD, log=log), trust, expected, seen)

    grown = again(WORLD.shown(first, after=5, since=3))
    head = grown.odometer.head_of(key_of(WORLD.domain))
    assert head is not None and head.size == 7
    assert again(WORLD.shown(first), size=0)  # the very head that was seen
    other = LogEntry("host", digest("another host"), NOW - 600, "")
    refused("log", lambda: again(WORLD.shown(other)))  # of the same size, another root
    refused("log", lambda: again(WORLD.shown(other, after=5, since=3)))
    refused("log", lambda: again(WORLD.shown(first, after=5)))  # without the proof
    refused("log", lambda: again(WORLD.shown(first, after=0)))  # shorter
    late = refused("log", lambda: again(WORLD.shown(first, after=5, since=2), size=2))
    assert late.extra["yet"]  # another job of this participant has seen more meanwhile
    # An offer that was taken earlier is still one, when its update is sealed after another job saw more.
    expected = expected_of(WORLD, log_size=0)
    assert verified(WORLD, offer_of(WORLD, log=WORLD.shown(first)), trust, expected, grown.odometer)
    split = offer_of(WORLD, log=WORLD.shown(other))
    refused("log", lambda: verified(WORLD, split, trust, expected, grown.odometer))


def test_a_policy_that_leaves_out_a_host_of_its_scope() -> None:
    """The hosts that know what was spent: with others in their place the budget would begin anew."""
    given = Odometer().given(WORLD.context, ME, WORLD.policy, NOW, trust_of(WORLD))
    own = sorted(
        (*WORLD.policy.hosts[1:], Host(key_of(Identity.generate()), "new", "http://localhost:1")),
        key=lambda host: host.key,
    )
    everybody = [host.key.hex() for host in (*WORLD.policy.hosts, *own)]
    trust = trust_of(WORLD, hosts=dict.fromkeys(everybody))
    for hosts in (tuple(own), WORLD.policy.hosts[:2]):
        less = swapped(WORLD, hosts=hosts, threshold=len(hosts))
        refused("scope", partial(verified, less, trust=trust, odometer=given))
        elsewhere = swapped(
            WORLD, hosts=hosts, threshold=len(hosts), budget=changed(WORLD.policy.budget, scope="other")
        )
        # Another scope is another budget, of which this participant counts all.
        given.check_scope(elsewhere.policy.scope, [host.key for host in hosts])
    given.check_scope(WORLD.policy.scope, [bytes.fromhex(key) for key in everybody])


def test_a_host_or_an_authority_of_the_operators() -> None:
    own = Identity.generate()
    hosts = sorted(
        (*WORLD.policy.hosts[1:], Host(key_of(own), "mine", "http://localhost:1")), key=lambda host: host.key
    )
    refused("hosts", lambda: verified(swapped(WORLD, hosts=tuple(hosts)), trust=trust_of(WORLD)))
    authorities = tuple(sorted((*WORLD.policy.cohort.authorities, key_of(own))))
    other = swapped(WORLD, cohort=changed(WORLD.policy.cohort, authorities=authorities))
    refused("authorities", lambda: verified(other, trust=trust_of(WORLD)))
    fewer = trust_of(WORLD, hosts=[host.verify_key for host in WORLD.hosts[:2]])
    refused("hosts", lambda: verified(WORLD, trust=fewer))


def test_a_policy_with_fewer_hosts_than_are_wanted() -> None:
    """Two of three pinned hosts are easier to win over than all."""
    two = swapped(WORLD, hosts=WORLD.policy.hosts[:2], threshold=2)
    refused("hosts", lambda: verified(two, trust=trust_of(WORLD, least_hosts=3)))
    assert verified(WORLD, trust=trust_of(WORLD, least_hosts=3))


def test_a_policy_that_protects_nobody_is_no_production_policy() -> None:
    trust = trust_of(PRODUCTION, hosts=[host.verify_key for host in WORLD.hosts])
    trust = trust_of(
        PRODUCTION,
        hosts=[host.verify_key for host in WORLD.hosts],
        authorities=[WORLD.authority.verify_key],
        owners=[],
        certificate=WORLD.signed_certificate(0),
    )
    refused("production", lambda: verified(WORLD, trust=trust))
    simulated = [Signed.make(PRODUCTION.round_key(h, simulated=True), h) for h in PRODUCTION.hosts]
    refused("keys", lambda: verified(PRODUCTION, offer_of(PRODUCTION, keys=tuple(simulated))))


def test_other_terms_for_evidence() -> None:
    other = [changed(evidence_policy(False), max_age=299)]
    refused("terms", lambda: verified(WORLD, trust=trust_of(WORLD, evidence=other)))


def test_a_small_cohort_or_another_suite() -> None:
    refused("cohort", lambda: verified(WORLD, trust=trust_of(WORLD, least_cohort=3)))
    refused("suite", lambda: verified(WORLD, trust=trust_of(WORLD, suites=["mlkem768-x25519"])))


@pytest.mark.parametrize(
    ("check", "fields"),
    [
        ("round", {"domain": bytes(32)}),
        ("round", {"process": "e" * 32}),
        ("round", {"plans": (bytes(32),)}),
        ("round", {"assignment": "e" * 32}),
        ("layout", {"layout": ReportLayout((ReportTensor("w", "F32", (6,)), ReportTensor("b", "F64", ())))}),
        ("base", {"base": bytes(32)}),
        ("certificate", {"participant": bytes(32)}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_round_of_something_else(check: str, fields: dict[str, Any]) -> None:
    refused(check, lambda: verified(WORLD, expected=expected_of(WORLD, **fields)))


@pytest.mark.parametrize("name", ["domain", "process", "sequence", "layout"])
def test_keys_of_another_round(name: str) -> None:
    other: dict[str, Any] = {"process": "e" * 32, "sequence": 2}
    context = changed(WORLD.context, **{name: other.get(name, bytes(32))})
    keys = tuple(Signed.make(WORLD.round_key(host, context), host) for host in WORLD.hosts)
    refused("keys", lambda: verified(WORLD, offer_of(WORLD, keys=keys)))
    if name != "sequence":
        refused(
            "layout" if name == "layout" else "round",
            lambda: verified(WORLD, offer_of(WORLD, keys=keys, context=context)),
        )


def test_forged_or_missing_round_keys() -> None:
    one, two, three = WORLD.round_keys
    mallory = Identity.generate()
    forged = Signed.make(WORLD.round_key(WORLD.hosts[2]), mallory)
    claimed = changed(forged, signer=three.signer)
    for keys in ((one, two), (one, two, forged), (one, two, claimed), (one, two, two), (two, one, three)):
        offer = offer_of(WORLD, keys=keys)
        refused("keys", partial(verified, WORLD, offer))


@pytest.mark.parametrize(
    "fields",
    [
        {"upload_until": NOW},
        {"not_before": NOW + 700},
        {"upload_until": NOW + 3541, "erase_at": NOW + 7000},
        {"erase_at": NOW + 7141},
    ],
    ids=["over", "early", "longer", "kept"],
)
def test_keys_that_are_early_over_or_kept_too_long(fields: dict[str, int]) -> None:
    keys = tuple(Signed.make(WORLD.round_key(host, **fields), host) for host in WORLD.hosts)
    refused("time", lambda: verified(WORLD, offer_of(WORLD, keys=keys)))


def test_after_the_end_of_the_policy() -> None:
    ended = swapped(WORLD, not_after=NOW - 1)
    refused("time", lambda: verified(ended, trust=trust_of(WORLD)))


def test_a_certificate_that_is_over_or_of_an_unpinned_authority() -> None:
    over = trust_of(WORLD, certificate=WORLD.signed_certificate(0, not_after=NOW - 1))
    refused("certificate", lambda: verified(WORLD, trust=over))
    mallory = Identity.generate()
    own = Signed.make(WORLD.certificate(0, authority=key_of(mallory)), mallory)
    refused("certificate", lambda: verified(WORLD, trust=trust_of(WORLD, certificate=own)))


def test_the_domain_as_its_own_authority_in_production() -> None:
    """A policy whose authority runs the Domain: it could fill the cohort with people of its own making."""
    world = World(production=True)
    world.domain = world.authority
    refused("round", lambda: verified(world))


# -- what the hosts said of the worker -------------------------------------------------------------


def with_session(recorded: RecordedSession | None = None, at: int = NOW, **trust: Any) -> VerifiedOffer:
    offer = offer_of(WORLD, recorded=(recorded or WORLD.recorded(),))
    return verified(WORLD, offer, trust_of(WORLD, session_age=86_400, **trust), at=at)


def test_a_recorded_session_holds_and_its_evidence_is_advisory() -> None:
    found = with_session()
    assert found.fresh
    assert found.appraisal is not None
    assert found.appraisal.simulated
    assert [finding.check for finding in found.findings if finding.advisory] == ["evidence"]
    assert found.odometer.hosts.keys() == {host.verify_key for host in WORLD.hosts}
    later = with_session(at=NOW + 3000)
    assert not later.fresh


def test_without_a_session_only_where_none_is_asked_for() -> None:
    refused("sessions", lambda: verified(WORLD, trust=trust_of(WORLD, session_age=86_400)))


@pytest.mark.parametrize(
    "fields",
    [
        {"policy": bytes(32)},
        {"domain": bytes(32)},
        {"process": "e" * 32},
        {"host": bytes(32)},
        {"at": NOW + 700, "not_after": NOW + 900},
        {"at": NOW - 90_000},
        {"head": Head(b"\5" * 32, 7, b"\2" * 32)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_statements_about_something_else_too_old_or_of_another_incarnation(fields: dict[str, Any]) -> None:
    refused("sessions", lambda: with_session(WORLD.recorded(**fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {"evidence": bytes(32)},
        {"challenges": bytes(32)},
        {"workloads": ("simulator:00",)},
        {"simulated": False},
        {"at": NOW - 400},
        {"worker": changed(WORLD.worker_keys, sign=bytes(32))},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_hosts_that_do_not_say_the_same(fields: dict[str, Any]) -> None:
    recorded, host = WORLD.recorded(), WORLD.hosts[1]
    session = recorded.statements[1].open(SessionStatement, key_of(host))
    other = Signed.make(changed(session, **fields), host)
    mixed = changed(recorded, statements=(recorded.statements[0], other, recorded.statements[2]))
    refused("sessions", lambda: with_session(mixed))
    forged = Signed.make(session, Identity.generate())
    refused(
        "sessions", lambda: with_session(changed(recorded, statements=(forged, *recorded.statements[1:])))
    )
    refused("sessions", lambda: with_session(changed(recorded, statements=recorded.statements[:2])))


def test_what_one_hosts_owner_refuses() -> None:
    certificate = WORLD.signed_certificate(0).digest_as(ParticipantCertificate)
    for denied in (
        Denials(policies=(WORLD.policy.digest(),)),
        Denials(workloads=WORLD.session(WORLD.hosts[0]).workloads),
        Denials(certificates=(certificate,)),
    ):
        recorded, host = WORLD.recorded(), WORLD.hosts[2]
        session = recorded.statements[2].open(SessionStatement, key_of(host))
        other = Signed.make(changed(session, denied=denied), host)
        given = changed(recorded, statements=(*recorded.statements[:2], other))
        refused("denied", partial(with_session, given))


def test_a_host_on_an_older_database() -> None:
    seen = with_session().odometer
    recorded = WORLD.recorded(head=Head(b"\1" * 32, 6, b"\2" * 32), at=NOW - 9)
    offer = offer_of(WORLD, recorded=(recorded,))
    trust = trust_of(WORLD, session_age=86_400)
    refused("heads", lambda: verified(WORLD, offer, trust, odometer=seen))


def test_evidence_of_another_session_or_program() -> None:
    honest, signer = WORLD.ask(), key_of(Identity.generate())
    keys = changed(WORLD.worker_keys, sign=signer)
    backwards = changed(honest.challenges, challenges=honest.challenges.challenges[::-1])
    # What is beside the hosts' statements is of another session than they speak of.
    for fields in ({"worker": keys}, {"process": "e" * 32}, {"challenges": backwards}, {"policy": bytes(32)}):
        given = changed(WORLD.recorded(), ask=changed(honest, **fields))
        assert "another session" in str(refused("evidence", partial(with_session, given)))
    other = changed(honest, evidence=WORLD.ask(process="e" * 32).evidence)
    given = changed(WORLD.recorded(), ask=other)
    assert "other evidence" in str(refused("evidence", partial(with_session, given)))
    # What the hosts speak of is wrong, and they did not see it.
    assert "challenges" in str(
        refused("evidence", lambda: with_session(WORLD.recorded(WORLD.ask(challenges=backwards))))
    )
    assert "challenges" in str(
        refused("evidence", lambda: with_session(WORLD.recorded(WORLD.ask(worker=keys))))
    )
    assert "another session" in str(refused("evidence", lambda: with_session(WORLD.recorded(other))))
    for evidence in (Evidence("simulator", b"x"), Evidence("nothing", b"x"), Evidence("", b"")):
        error = refused("evidence", partial(with_session, WORLD.recorded(changed(honest, evidence=evidence))))
        assert error.extra["reason"]


def test_a_host_that_says_something_else_than_the_evidence() -> None:
    for fields in ({"workloads": ("simulator:ff",)}, {"simulated": False}):
        error = refused("evidence", partial(with_session, WORLD.recorded(**fields)))
        assert "something else than the hosts" in str(error)


def test_simulated_evidence_in_production() -> None:
    """The policy was switched to production after the hosts appraised a simulator."""
    trust = trust_of(PRODUCTION, session_age=86_400)
    for simulated in (True, False):
        offer = offer_of(PRODUCTION, recorded=(PRODUCTION.recorded(simulated=simulated),))
        refused("sessions" if simulated else "evidence", partial(verified, PRODUCTION, offer, trust))


def test_recorded_evidence_in_debug_mode() -> None:
    folder = shared("confidential", "evidence", "confidential-space")
    contents = [path.read_bytes().strip() for path in sorted(folder.glob("*debug*.jwt"))]
    assert contents
    for content in contents:
        ask = PRODUCTION.ask(evidence=Evidence("confidential-space", content))
        offer = offer_of(PRODUCTION, recorded=(PRODUCTION.recorded(ask),))
        trust = trust_of(PRODUCTION, session_age=86_400)
        assert refused("evidence", partial(verified, PRODUCTION, offer, trust)).extra["reason"]


# -- the participant's own count -------------------------------------------------------------------


def test_the_odometer_ends_what_the_hosts_would_allow() -> None:
    rho = WORLD.policy.mechanism.rho
    trust = trust_of(WORLD, rho=rho * 2.5 / NANO, rounds=10)
    odometer = Odometer()
    for sequence in (1, 2):
        context = changed(WORLD.context, sequence=sequence)
        odometer = odometer.given(context, ME, WORLD.policy, NOW, trust)
    assert odometer.rho == 2 * rho
    with pytest.raises(OfferRefused):  # another participant of the same owner gives again
        odometer.check(WORLD.context, bytes(32), rho, trust)
    assert odometer.given(WORLD.context, ME, WORLD.policy, NOW, trust) == odometer
    assert verified(WORLD, trust=trust, odometer=odometer)  # the round that it is of already
    third = changed(WORLD.context, sequence=3)
    with pytest.raises(OfferRefused) as caught:
        odometer.check(third, ME, rho, trust)
    assert caught.value.extra["check"] == "odometer"
    elsewhere = Odometer({"f" * 64: RoundGiven(2 * rho, "", "", "", NOW)})
    refused("odometer", lambda: verified(WORLD, trust=trust, odometer=elsewhere))
    few = trust_of(WORLD, rounds=1)
    refused("odometer", lambda: verified(WORLD, trust=few, odometer=elsewhere))


def test_a_chain_that_went_back_is_seen() -> None:
    session = WORLD.session(WORLD.hosts[0])
    seen = Odometer().seeing(session)
    assert seen.seeing(session) == seen

    def with_head(sequence: int, at: int, hash: bytes = b"\3" * 32, incarnation: bytes = b"\1" * 32) -> Any:
        return changed(session, at=at, head=Head(incarnation, sequence, hash))

    for back in (with_head(6, session.at + 1), with_head(7, session.at + 1), with_head(8, session.at - 1)):
        with pytest.raises(OfferRefused) as caught:
            seen.seeing(back)
        assert caught.value.extra["check"] == "heads"
    assert seen.seeing(with_head(8, session.at + 1)).hosts[session.host.hex()].sequence == 8
    assert seen.seeing(with_head(6, session.at - 1)) == seen
    recovered = seen.seeing(with_head(2, session.at + 1, incarnation=b"\4" * 32))
    assert recovered.seeing(session) == recovered
    assert recovered.seeing(with_head(3, session.at + 2, incarnation=b"\4" * 32))
    for back in (with_head(9, session.at + 2), with_head(7, session.at + 2)):
        # Restored to before its recovery: hosts that spoke to it since would know, and so does the participant.
        with pytest.raises(OfferRefused) as caught:
            recovered.seeing(back)
        assert caught.value.extra["check"] == "heads"
    assert HEAD.sequence == 7


# -- pins ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"hosts": []},
        {"authorities": []},
        {"evidence": []},
        {"hosts": ["x"]},
        {"suites": ["rot13"]},
        {"suites": []},
        {"production": True},
        {"rho": float("nan")},
        {"rho": float("inf")},
        {"rho": -1},
        {"rounds": 0},
        {"least_cohort": 1},
        {"least_hosts": 1},
        {"least_hosts": 4},
        {"session_age": 0},
        {"clock_skew": -1},
        {"certificate": b"no"},
    ],
    ids=str,
)
def test_what_pins_nothing_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        trust_of(WORLD, **fields)


def test_terms_may_come_as_documents() -> None:
    document = json.dumps(policy_to_json(evidence_policy(False))).encode()
    assert verified(WORLD, trust=trust_of(WORLD, evidence=[document]))
    with pytest.raises(InvalidConfig):
        trust_of(WORLD, evidence=[b"{"])


def test_a_certificate_may_come_as_bytes() -> None:
    signed = WORLD.signed_certificate(0)
    assert trust_of(WORLD, certificate=signed.encode()).own_certificate == signed
