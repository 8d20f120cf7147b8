"""A job in a confidential training: sealed or not at all, by its own pins, whatever the Domain says and sends."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blake3 import blake3

from grid.node import Node
from syft_ext import FLClient, FLJob
from syft_ext.clock import ManualClock
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.manifest import Declaration, check_declaration
from syft_ext.confidential.offer import Offer
from syft_ext.confidential.rounds import Head, ReportTensor
from syft_ext.confidential.sealing import MAX_HEAD, open_content_key, opener_of, read_head
from syft_ext.confidential.stream import CHUNK
from syft_ext.confidential.trust import Trust
from syft_ext.errors import BadRequest, InvalidPlan, OfferRefused, Unavailable
from syft_ext.federated.sealed import part
from syft_ext.federated.sealed.book import ParticipantBook
from syft_ext.identity import Identity
from syft_ext.messages.envelope import Envelope
from syft_ext.tensors import encode_tensors
from tests.confidential.test_offer import trust_of
from tests.confidential.test_succession import succession
from tests.confidential.world import NOW, World, changed
from tests.sdk.scripted import BrokenLine, Script, ScriptedService, Times, scripted_node

PROCESS = "0" * 32
TENSORS = (ReportTensor("w", "F32", (2,)), ReportTensor("b", "F32", (1,)))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[Node]:
    node = scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())
    node.start()
    yield node
    node.stop()


class Home:
    """A Domain, and a participant of its confidential training.

    Attributes:
        operations: everything that was sent, in order.
        fault: what goes wrong on the line.
        recorded: whether the hosts have appraised a worker.
        spoil: what the operator makes of an honest offer.
    """

    def __init__(self, node: Node, script: Script) -> None:
        self.node, self.script = node, script
        self.operations: list[str] = []
        self.fault: Callable[[Envelope], str | None] = lambda envelope: None
        self.spoil: Callable[[Offer], Offer] = lambda offer: offer
        self.recorded = False
        self.participants = [Identity.generate() for _ in range(4)]
        plan = blake3(script.plan).digest()
        self.world = World(
            domain=node.identity, participants=self.participants, process=PROCESS, plan=plan, tensors=TENSORS
        )
        script.report_format, script.offer = "sealed", self.offered
        script.policy_text = base64.b64encode(self.world.signed_policy.encode()).decode()

    def round(self) -> World:
        """The round that the Domain is in: the same people, keys of their own."""
        world = replace(
            self.world,
            sequence=len(self.script.reports) + 1,
            base=blake3(encode_tensors(self.script.model)).digest(),
        )
        world.hosts = self.world.hosts
        return world

    def offered(self, assignment: str) -> bytes:
        world = self.round()
        honest = Offer(
            world.signed_policy,
            world.context,
            world.layout,
            world.round_keys,
            world.base,
            assignment,
            (world.recorded(),) if self.recorded else (),
            world.shown(),
        )
        return self.spoil(honest).encode()

    def _on_the_line(self, envelope: Envelope) -> str | None:
        self.operations.append(envelope.operation)
        return self.fault(envelope)

    def client(self, trust: Trust | None) -> FLClient:
        return FLClient(
            "http://scripted:1",
            transport=BrokenLine(self.node, self._on_the_line),
            say=lambda line: None,
            identity=self.participants[0],
            trust=trust,
        )

    def job(self, **trust: Any) -> FLJob:
        return self.client(trust_of(self.world, **trust)).new_job("line", "1")

    def refused(self, check: str, job: FLJob | None = None) -> None:
        """A run that ends with this check, and of which the Domain has nothing."""
        ran = []
        with pytest.raises(OfferRefused) as caught:
            (job or self.job()).run(lambda job: ran.append(job))
        assert caught.value.extra["check"] == check, caught.value
        assert ran == []
        assert self.nothing_left()

    def nothing_left(self) -> bool:
        """Whether not a byte of an update, nor a word on one, was sent."""
        sent = {"federated.report", "federated.send_report_part", "confidential.declare_upload"}
        nothing = not sent & set(self.operations)
        assert nothing == (not self.script.sealed and not self.script.reports and not self.script.declared)
        return nothing

    def opened(self, world: World, number: int = -1) -> list[Any]:
        """The update that the worker would open, as numbers."""
        blob = self.script.sealed[number]
        declaration = Declaration.decode(self.script.declared[number].declaration)
        ids = tuple(key.digest() for key in world.keys)
        checked = check_declaration(declaration, world.context, world.base, ids, world.policy, NOW)
        assert (blake3(blob).digest(), len(blob)) == (checked.upload.blob, checked.upload.length)
        header, shares, start = read_head(blob[:MAX_HEAD])
        host_secrets = [world.secret(host, "upload") for host in world.hosts]
        key = open_content_key(checked.upload, shares, world.policy, world.context, world.keys, host_secrets)
        content = opener_of(key, header).open(0, blob[start:], bytearray(CHUNK))
        numbers: list[Any] = np.frombuffer(content, "<f4").tolist()
        return numbers


@pytest.fixture
def home(running: Node, monkeypatch: pytest.MonkeyPatch) -> Home:
    running.service(ScriptedService).script = script = Script(cycles=1)
    monkeypatch.setattr(part, "SystemClock", lambda: ManualClock(NOW))
    return Home(running, script)


def one_more(job: FLJob) -> list[torch.Tensor]:
    return [job.model[0] + 1.5, job.model[1] - 0.25]


def test_an_update_is_sealed_for_the_worker_and_nothing_goes_beside_it(home: Home) -> None:
    job, world = home.job(), home.round()
    summary = job.run(lambda job: job.report(one_more(job), samples=7, loss=0.5, accuracy=0.25))
    assert summary.cycles == 1
    assert home.opened(world) == [-1.5, -1.5, 0.25]
    (report,) = home.script.reports
    assert (report.kind, report.samples, report.loss, report.accuracy) == ("sealed", None, None, None)
    told = home.operations.index("confidential.declare_upload")
    assert told < home.operations.index("federated.report")
    assert home.operations.index("confidential.offer") < told
    assert job.offer is not None
    assert job.offer.policy == world.policy
    assert not job.offer.protects
    assert job.offer.text().startswith("SIMULATED")
    assert "all 3 key hosts are yours" in job.offer._repr_html_()


def test_each_cycle_is_a_round_of_its_own(home: Home) -> None:
    home.script.cycles = 3
    home.job().run(one_more)
    assert len(home.script.sealed) == 3
    declarations = [Declaration.decode(each.declaration) for each in home.script.declared]
    assert len({each.header.ck_commit for each in declarations}) == 3
    assert len({each.header.context for each in declarations}) == 3
    assert len(ParticipantBook().odometer.rounds) == 3


def test_a_lost_answer_is_followed_by_the_same_bytes(home: Home) -> None:
    home.fault = Times("federated.report", 2, "after")
    home.job().run(one_more)
    assert len(home.script.sealed) == 3
    assert len(set(home.script.sealed)) == 1
    assert len(home.script.reports) == 1


def test_a_job_that_starts_again_sends_what_is_on_the_disk(home: Home) -> None:
    """The process ended between sealing and sending: another one has the same assignment, trained differently."""
    first, world = home.job(), home.round()
    first.authenticate()
    reply = first.session.check_in("k" * 32)
    first.take(reply)
    home.fault = lambda envelope: "before" if envelope.operation == "federated.report" else None
    first._patience = 0.0
    with pytest.raises(Unavailable):
        first.report(one_more(first))
    declared = home.script.declared[0]
    home.fault = lambda envelope: None
    second = home.job()
    second.authenticate()
    second.take(second.session.check_in("k" * 32))
    second.report([second.model[0] - 9, second.model[1]])
    assert home.script.declared[-1].declaration == declared.declaration
    assert home.opened(world) == [-1.5, -1.5, 0.25]
    assert len(ParticipantBook().odometer.rounds) == 1


def test_another_upload_for_the_same_round_is_not_made(home: Home) -> None:
    job = home.job()
    job.run(one_more)
    home.script.reports.clear()  # the Domain forgets it, and hands the round out again
    sent = len(home.script.sealed)
    again = home.job()
    with pytest.raises(OfferRefused) as caught:
        again.run(one_more)
    assert caught.value.extra["check"] == "once"
    assert len(home.script.sealed) == sent


# -- what an operator might do ---------------------------------------------------------------------


def test_without_pins_nothing_is_joined(home: Home) -> None:
    job = home.client(None).new_job("line", "1")
    with pytest.raises(OfferRefused) as caught:
        job.run(one_more)
    assert caught.value.extra["check"] == "trust"
    assert home.nothing_left()
    assert "federated.check_in" not in home.operations


def test_a_confidential_training_is_never_answered_in_the_clear(home: Home) -> None:
    with pytest.raises(OfferRefused):
        home.client(None).new_job("line", "1").authenticate()
    home.script.report_format = "plain"  # and now the Domain says that it never was
    home.script.shown = None
    job = home.client(None).new_job("line", "1")
    with pytest.raises(OfferRefused) as caught:
        job.run(one_more)
    assert caught.value.extra["check"] == "plaintext"
    assert home.nothing_left()


def test_a_client_with_pins_answers_nothing_in_the_clear(home: Home) -> None:
    home.script.report_format = "plain"
    home.refused("plaintext")


@pytest.mark.parametrize(("allowed", "confidential"), [(True, False), (False, False), (True, True)])
def test_masked_reports_only_where_the_pins_allow_them(home: Home, allowed: bool, confidential: bool) -> None:
    home.script.report_format = "secure_aggregation"
    job = home.job(secure_aggregation=allowed)
    if confidential:
        ParticipantBook().remember(f"{home.node.identity.verify_key}/line/1")
    if allowed and not confidential:
        assert not job.confidential.guard("secure_aggregation")
    else:
        home.refused("plaintext", job)


def test_masked_sums_of_fewer_than_the_pins_demand(home: Home) -> None:
    home.script.report_format = "secure_aggregation"
    job = home.job(secure_aggregation=True, least_cohort=5)
    job.authenticate()
    reply = job.session.check_in("k" * 32)
    with pytest.raises(OfferRefused) as caught:
        job.take(reply)  # whose rules say nothing of it
    assert caught.value.extra["check"] == "cohort"
    for minimum, enough in ((5, True), (4, False), ("9", False)):
        reply.report_options = {"minimum": minimum}
        if enough:
            assert not job.confidential.guard("secure_aggregation", reply)
        else:
            with pytest.raises(OfferRefused, match="as few as"):
                job.confidential.guard("secure_aggregation", reply)
    assert home.nothing_left()


def test_a_format_that_changes_between_check_in_and_report(home: Home) -> None:
    job = home.job()
    job.authenticate()
    job.take(job.session.check_in("k" * 32))
    assert job.assignment is not None
    job.assignment.report_format = "plain"
    with pytest.raises(OfferRefused) as caught:
        job.report(one_more(job))
    assert caught.value.extra["check"] == "plaintext"
    assert home.nothing_left()


def spoilt(**fields: Any) -> Callable[[Offer], Offer]:
    return lambda offer: changed(offer, **fields)


def test_no_byte_leaves_when_a_check_fails(home: Home) -> None:
    """Condition 6, over the line: what each check is, test_offer says; here that nothing is sent then."""
    world, mallory = home.round(), Identity.generate()
    one, two, _ = world.round_keys
    forged = Signed.make(world.round_key(world.hosts[2]), mallory)
    late = Signed.make(world.round_key(world.hosts[2], upload_until=NOW), world.hosts[2])
    other = changed(world.policy, rounds=39)
    spoils: dict[str, list[Callable[[Offer], Offer]]] = {
        "owner": [spoilt(policy=Signed.make(world.policy, mallory))],
        "round": [
            spoilt(policy=Signed.make(other, world.owner)),
            spoilt(context=changed(world.context, process="e" * 32)),
            spoilt(assignment="e" * 32),
        ],
        "layout": [spoilt(layout=changed(world.layout, tensors=world.layout.tensors[:1]))],
        "base": [spoilt(base=bytes(32))],
        "keys": [spoilt(keys=(one, two)), spoilt(keys=(one, two, forged))],
        "time": [spoilt(keys=(one, two, late))],
    }
    for check, each in spoils.items():
        for spoil in each:
            home.spoil = spoil
            home.refused(check)
    home.spoil = lambda offer: offer
    home.refused("hosts", home.job(hosts=[host.verify_key for host in world.hosts[:2]]))
    home.refused("production", home.job(production=True, evidence=trust_of(World(production=True)).evidence))
    home.refused("odometer", home.job(rho=0.001))
    home.refused("certificate", home.job(certificate=world.signed_certificate(1)))
    assert not ParticipantBook().odometer.rounds
    told = {failure.reason for failure in home.script.failures}
    assert "the offer was refused: odometer" in told
    assert all(reason.startswith("the offer was refused: ") for reason in told)


def test_it_waits_until_the_hosts_have_appraised_a_worker(home: Home) -> None:
    job = home.job(session_age=86_400)
    job.authenticate()
    with pytest.raises(Unavailable, match="appraised"):
        job.take(job.session.check_in("k" * 32))
    assert home.nothing_left()
    home.recorded = True
    job.take(job.session.check_in("k" * 32))
    assert job.offer is not None
    assert job.offer.verified.fresh
    job.report(one_more(job))
    assert home.script.sealed
    assert set(ParticipantBook().odometer.hosts) == {host.verify_key for host in home.world.hosts}


def test_hosts_that_were_seen_are_remembered_though_the_assignment_came_to_nothing(home: Home) -> None:
    """A Domain takes the assignment back, and then shows an older database of the same hosts."""
    home.recorded = True
    job = home.job(session_age=86_400)
    job.authenticate()
    job.take(job.session.check_in("k" * 32))
    job.give_back("the Domain has cancelled it")
    older = home.round().recorded(head=Head(b"\1" * 32, 6, b"\2" * 32), at=NOW - 9)
    home.spoil = lambda offer: changed(offer, recorded=(older,))
    home.refused("heads", home.job(session_age=86_400))


def test_a_key_that_was_given_up_is_remembered_though_its_offer_was_refused(home: Home) -> None:
    """A Domain that showed it by mistake shows it no more."""
    home.spoil = spoilt(successions=(succession(home.world.hosts[0], Identity.generate()),))
    home.refused("hosts")
    home.spoil = lambda offer: offer
    home.refused("hosts")


def test_a_policy_that_is_not_the_agreed_one(home: Home) -> None:
    """Hosts, owner and authority are the same, and the operator offers their other policy."""
    other = Signed.make(changed(home.world.policy, rounds=39), home.world.owner)
    home.script.policy_text = base64.b64encode(other.encode()).decode()
    home.refused("agreed")
    for text in ("", "?", base64.b64encode(b"no").decode()):
        home.script.shown, home.script.policy_text = None, text
        home.refused("agreed")


def test_a_round_that_ended_while_the_plan_ran(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock(NOW)
    monkeypatch.setattr(part, "SystemClock", lambda: clock)
    job = home.job()
    job.authenticate()
    job.take(job.session.check_in("k" * 32))
    clock.advance(4000)
    with pytest.raises(OfferRefused) as caught:
        job.report(one_more(job))
    assert caught.value.extra["check"] == "time"
    assert home.nothing_left()
    assert not ParticipantBook().odometer.rounds


def test_two_jobs_at_once_are_counted_as_two(home: Home) -> None:
    job = home.job(rounds=1)
    job.authenticate()
    job.take(job.session.check_in("k" * 32))
    elsewhere = changed(home.world.context, sequence=9)
    ParticipantBook().count(
        lambda odometer: odometer.given(elsewhere, bytes(32), home.world.policy, NOW, trust_of(home.world))
    )
    with pytest.raises(OfferRefused) as caught:
        job.report(one_more(job))
    assert caught.value.extra["check"] == "odometer"
    assert home.nothing_left()


def test_a_damaged_book_lets_nothing_out(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path))
    (tmp_path / "confidential.json").write_text("{")
    with pytest.raises(BadRequest, match="damaged"):
        home.job().run(one_more)
    assert home.nothing_left()


def test_a_plan_that_fails_on_what_the_data_hold_is_a_sealed_zero(home: Home) -> None:
    world = home.round()

    def fails(job: FLJob) -> None:
        raise InvalidPlan("a row divides by zero", reason="values")

    home.job().run(fails)
    assert home.opened(world) == [0.0, 0.0, 0.0]
    assert not home.script.failures
    assert home.script.reports[0].samples is None
