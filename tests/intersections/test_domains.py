"""Between two Domains: consent, what is told to whom, what guessing costs, what becomes of a run cut off."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import chi2  # type: ignore[import-untyped]

from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    Forbidden,
    GridError,
    NotFound,
    ProtocolAborted,
    SessionLost,
    TooFewInCommon,
    TooLarge,
    Unsupported,
)
from syft_ext.messages import intersections as m
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.datasets import Column
from syft_ext.messages.ledger import GetLedger
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.rules import CreateRule, DeleteRule
from tests.intersections.hospitals import Hospitals

NORTH, SOUTH = list(range(100, 120)), list(range(110, 135))


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    sites = Hospitals(tmp_path_factory.mktemp("hospitals"))
    yield sites
    sites.close()


@pytest.fixture(autouse=True)
def fresh(sites: Hospitals) -> None:
    sites.fresh()


def numbers(sites: Hospitals, north: list[int] = NORTH, south: list[int] = SOUTH) -> tuple[str, str]:
    made = [
        sites.table(place, {"id": torch.tensor(ids, dtype=torch.int64)})
        for place, ids in enumerate((north, south))
    ]
    return made[0], made[1]


def test_it_is_the_plain_intersection(sites: Hospitals) -> None:
    rng = random.Random(7)
    north, south = (
        [rng.randrange(-(2**62), 2**62) for _ in range(5)] + list(range(many)) for many in (20, 12)
    )
    asked = sites.approve(sites.ask(numbers(sites, north, south)))
    assert all(client.name in repr(asked) for client in sites.clients) and ".run()" in repr(asked)
    found = asked.run()
    assert found.size == 12 and found.objects == ("", "") and sites.quiet()
    # What the client carried is sealed: uniform, and nobody's ids.
    carried = {  # each once, though it is taken from one and brought to the other
        bytes(frame[3])
        for client in sites.clients
        for data in client.seen
        if data
        for frame in msgspec.msgpack.decode(data)
    }
    frames = b"".join(carried)
    counts = np.bincount(np.frombuffer(frames, np.uint8), minlength=256)
    expected = len(frames) / 256
    assert float(((counts - expected) ** 2 / expected).sum()) < float(chi2.isf(1e-6, 255))
    assert not any(b"%d" % number in frames for number in north if abs(number) > 10**6)


def test_words_by_a_declared_rule(sites: Hospitals) -> None:
    north = ["Ann Müller", "bob", "", "Chloé", "Straße"]
    south = ["  ANN MU\u0308LLER", "Bob", "", "dora", "strasse"]
    tables = sites.words(0, north), sites.words(1, south)
    folded = sites.approve(sites.ask(tables, kind="text", normalisation="folded"))
    assert folded.run().size == 3
    with pytest.raises(TooFewInCommon):
        sites.approve(sites.ask(tables, kind="text")).run()
    assert sites.quiet()


def test_duplicates_count_once_or_are_refused(sites: Hospitals) -> None:
    tables = numbers(sites, [*NORTH, *NORTH[10:], NORTH[0]], SOUTH)
    asked = sites.approve(sites.ask(tables))
    with pytest.raises(Conflict, match="several rows"):
        asked.run()
    assert sites.approve(sites.ask(tables, duplicates="first")).run().size == 10
    few = sites.approve(sites.ask(tables, duplicates="first", most=(19, 64)))
    with pytest.raises(TooLarge):
        few.run()
    assert sites.quiet()


def test_an_empty_table_has_too_few_in_common(sites: Hospitals) -> None:
    with pytest.raises(TooFewInCommon):
        sites.approve(sites.ask(numbers(sites, [], SOUTH))).run()


def test_kind_and_unit_are_compared_with_the_owners_schema(sites: Hospitals) -> None:
    whole = numbers(sites)[0]
    words = sites.words(1, ["a", "b"])
    described = [Column(name="id", dtype="int64", unit="NHS number")]
    said = sites.table(1, {"id": torch.tensor(SOUTH)}, described)
    for tables, options in (
        ((whole, words), {}),  # whole numbers at one, words at the other
        ((said, words), {"kind": "text"}),
        ((whole, said), {}),  # another unit
        ((whole, said), {"column": "ids"}),
        ((whole, said), {"rows": ({"x": ["id"]}, {"x": ["id"]})}),
    ):
        with pytest.raises((BadRequest, NotFound)):
            sites.ask(tables, **options)
    # Of a table that is not published Sue is told nothing; its owner is, and cannot approve.
    secret = sites.table(1, {"id": torch.tensor(SOUTH).double()})
    found = sites.ask((whole, secret))
    assert found.requests[1].view.intersection.problem == ""
    assert "no whole numbers" in sites.decided(found.requests[1], 1).view.intersection.problem
    sites.decided(found.requests[0], 0).approve()
    with pytest.raises(Conflict, match="not what the terms say"):
        sites.decided(found.requests[1], 1).approve()
    with pytest.raises(Forbidden):
        found.run()
    assert sites.quiet()


def test_both_owners_read_the_terms_and_have_to_agree(sites: Hospitals) -> None:
    found = sites.ask(numbers(sites), minimum=5)
    owner = sites.decided(found.requests[0], 0)
    assert owner.view.kind == "intersection" and owner.view.intersection.agreement == found.agreement
    text = repr(owner)
    keys = [*found.terms.parties, found.terms.reader]
    assert all(key in "".join(text.split()) for key in keys) and "below 5" in " ".join(text.split())
    with pytest.raises(Forbidden):
        found.run()
    owner.approve(uses=1)
    with pytest.raises(Forbidden):
        found.run()
    assert sites.quiet()
    sites.decided(found.requests[1], 1).approve()
    with pytest.raises(Forbidden):  # the use went with the try
        found.run()


def test_standing_rules_never_approve_and_may_deny(sites: Hospitals) -> None:
    tables = numbers(sites)
    owner = sites.labs[0].owner
    rule = owner.call(CreateRule(action="accept"))
    found = sites.ask(tables)
    assert [request.state for request in found.requests] == ["pending", "pending"]
    owner.call(DeleteRule(rule_id=rule.id))
    rule = owner.call(CreateRule(action="deny", object_id=tables[0]))
    assert sites.ask(tables).requests[0].state == "denied"
    owner.call(DeleteRule(rule_id=rule.id))


def test_guessing_ids_one_by_one_runs_into_the_budget(sites: Hospitals) -> None:
    """South is Sue's own, with ids that Sue made up: what Sue learns of North is bounded by how many they are."""
    sites.labs[0].policy(SitePolicy(intersection_ids=30))
    people = list(range(300, 320))  # another content than that of other tests, and so another budget
    north = sites.table(0, {"id": torch.tensor(people)})
    told = []
    for guess in (people[0], 999, people[1], 998):
        south = sites.table(1, {"id": torch.tensor([*people[5:14], guess])})
        asked = sites.ask((north, south), most=(64, 10), minimum=10)
        sites.approve(asked)
        try:
            told.append(asked.run().size)
        except TooFewInCommon:
            told.append(0)
        except Forbidden as refused:
            assert "other Domain may not test" in refused.detail
            told.append(-1)
    # Ten ids a guess: who knows nine of a table's people learns of one more at a time, three times.
    assert told == [10, 0, 10, -1]
    key = sites.clients[1].verify_key
    assert sites.tested(0, north) == {f"node:{key}": 30, f"user:{sites.labs[0].sue.id}": 30}
    # A guess alone is below the minimum, whatever it is; and it costs as much.
    alone = sites.table(1, {"id": torch.tensor([people[0]])})
    sites.labs[0].policy(SitePolicy(intersection_ids=40))
    with pytest.raises(TooFewInCommon):
        sites.approve(sites.ask((north, alone), most=(64, 10), minimum=10)).run()
    assert sites.tested(0, north)[f"node:{key}"] == 40
    for outsider in (sites.labs[0].sue, sites.labs[0].sam):
        with pytest.raises(NotFound):
            sites.tested(0, north, outsider)


def test_a_copy_of_a_table_has_its_budget(sites: Hospitals) -> None:
    sites.labs[0].policy(SitePolicy(intersection_ids=100))
    south = sites.table(1, {"id": torch.tensor(SOUTH)})
    content = {"id": torch.tensor([*NORTH, 5000])}
    sites.approve(sites.ask((sites.table(0, content), south))).run()
    copy = sites.table(0, content)
    with pytest.raises(Forbidden, match="too many ids"):
        sites.approve(sites.ask((copy, south))).run()
    assert sites.quiet()


def test_the_sites_policy_holds(sites: Hospitals) -> None:
    found = sites.approve(sites.ask(numbers(sites), minimum=5))
    for policy, error in (
        (SitePolicy(min_rows=6), Forbidden),
        (SitePolicy(allowed_operations=["statistics.mean"]), Forbidden),
        (SitePolicy(clip_norm=1.0), Unsupported),
        (SitePolicy(clip_norm=1.0, noise_multiplier=1.0), Unsupported),
        (SitePolicy(intersection_ids=63), Forbidden),
    ):
        sites.labs[1].policy(policy)
        with pytest.raises(error):
            found.run()
    sites.labs[1].policy(SitePolicy(min_rows=5, allowed_operations=["intersections.size"]))
    assert found.run().size == 10
    assert sites.quiet()


def test_what_was_revoked_while_it_ran_tells_nothing(sites: Hospitals) -> None:
    found = sites.approve(sites.ask(numbers(sites)))

    def revoke(message: Any) -> None:
        if isinstance(message, m.FinishIntersection):
            sites.decided(found.requests[1], 1).revoke()

    sites.clients[1].before = revoke  # type: ignore[assignment]
    with pytest.raises(Forbidden):
        found.run()  # North's half was handed out: alone it is a random word
    assert sites.quiet()
    with pytest.raises(Forbidden):
        found.run()


def test_of_two_that_finish_a_member_at_once_one_has_it(sites: Hospitals) -> None:
    found = sites.approve(sites.ask(numbers(sites)))
    outcomes: list[Any] = []

    def twice(message: Any) -> None:
        if not isinstance(message, m.FinishIntersection):
            return
        (member,) = sites.members(0)
        with ThreadPoolExecutor(2) as pool:
            with member.lock:
                calls = [pool.submit(sites.labs[0].sue.call, message) for _ in range(2)]
                wait(calls, timeout=0.3)  # both wait for their turn
            outcomes.extend(each.exception(timeout=30) for each in calls)

    sites.clients[0].before = twice  # type: ignore[assignment]
    with pytest.raises(SessionLost):  # the third
        found.run()
    assert sorted(type(each).__name__ for each in outcomes) == ["NoneType", "SessionLost"]
    assert sites.quiet()


def test_a_killed_party_tells_nothing_and_the_run_ends_at_both(sites: Hospitals) -> None:
    found = sites.approve(sites.ask(numbers(sites)))

    def kill(message: Any) -> None:
        if isinstance(message, m.AdvanceIntersection):
            sites.members(1)[0].channel.close()  # as when its process dies

    sites.clients[1].before = kill  # type: ignore[assignment]
    with pytest.raises(SessionLost):
        found.run()
    assert sites.quiet()
    assert not any(isinstance(each, m.FinishIntersection) for each in sites.clients[0].messages)


def test_altered_and_replayed_frames_and_keys_end_the_run(sites: Hospitals) -> None:
    found = sites.approve(sites.ask(numbers(sites)))
    client, call = sites.clients[1], type(sites.clients[1]).call

    def altered(data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1])

    def replayed(data: bytes) -> bytes:
        frames = msgspec.msgpack.decode(data)
        return msgspec.msgpack.encode(frames * 2)

    for change in (altered, replayed):

        def tampering(self: Any, message: Any, payload: Any = (), change: Any = change) -> Any:
            data = b"".join(payload)
            return call(self, message, [change(data)] if data else payload)

        client.call = tampering.__get__(client)  # type: ignore[method-assign]
        with pytest.raises(ProtocolAborted):
            found.run()
    del client.call  # type: ignore[misc]

    def another(message: Any) -> None:
        if isinstance(message, m.BeginIntersection):
            message.statements[0] = msgspec.structs.replace(message.statements[0], key="ab" * 32)

    client.before = another  # type: ignore[assignment]
    with pytest.raises(BadSignature):
        found.run()
    assert sites.quiet()


def test_nobody_else_reaches_a_member(sites: Hospitals) -> None:
    found = sites.approve(sites.ask(numbers(sites)))
    sue, sam = sites.labs[0].sue, sites.labs[0].sam
    view = sue.call(m.JoinIntersection(request_id=found.requests[0].id, run="ab" * 16))
    for message in (
        m.AdvanceIntersection(session_id=view.session_id),
        m.FinishIntersection(session_id=view.session_id),
        m.EndIntersection(session_id=view.session_id),
    ):
        with pytest.raises(SessionLost):
            sam.call(message)
    with pytest.raises(GridError):
        sam.call(m.JoinIntersection(request_id=found.requests[0].id, run="ab" * 16))
    with pytest.raises(Conflict):
        sue.call(m.FinishIntersection(session_id=view.session_id))
    sue.call(m.EndIntersection(session_id=view.session_id))
    assert sites.quiet()
    with pytest.raises(BadRequest, match="none of the parties"):
        terms = msgspec.structs.replace(found.terms, parties=["ab" * 32, "cd" * 32])
        sue.call(
            m.CreateIntersectionRequest(object_id=sites.table(0, {"id": torch.tensor(NORTH)}), terms=terms)
        )


def test_every_use_is_in_the_audit_log_and_the_ledger(sites: Hospitals) -> None:
    tables = numbers(sites)
    found = sites.approve(sites.ask(tables))
    found.run()
    for place in (0, 1):
        owner = sites.labs[place].owner
        entries = owner.call(ListAudit(limit=30)).entries
        seen = {entry.operation for entry in entries if found.agreement in str(entry.detail)}
        wanted = {f"intersections.{each}" for each in ("request", "join", "begin", "finish")}
        assert wanted <= seen
        charges = owner.call(GetLedger(object_id=tables[place])).charges
        assert any(found.requests[place].id in charge.what for charge in charges)
