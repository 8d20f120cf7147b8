"""Parties are Domains' sandboxed hosts: consent, what each of them sees, what becomes of a run that is cut off."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import chi2  # type: ignore[import-untyped]

import syft_ext as sy
from grid.mpc.service import SharedRunService
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Forbidden,
    GridError,
    InvalidPlan,
    NotAgreed,
    OutOfRange,
    ProtocolAborted,
    SessionLost,
    TooLarge,
    Unsupported,
)
from syft_ext.messages import shared_runs as m
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.ledger import GetLedger
from syft_ext.messages.plan_requests import RunPlanRequest
from syft_ext.messages.policy import SitePolicy
from tests.compute.test_processes import hosts
from tests.mpc.three_sites import ROWS, Client, Sites, regression


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    sites = Sites(tmp_path_factory.mktemp("sites"))
    yield sites
    sites.close()


@pytest.fixture(autouse=True)
def fresh(sites: Sites) -> Iterator[None]:
    sites.north, sites.south, sites.registry = sites.clients()
    yield
    for lab in sites.labs:
        lab.policy(SitePolicy())


def test_a_training_on_shares_of_two_domains(sites: Sites) -> None:
    request = sites.ask(steps=3)
    assert "shares of a, b;" in repr(request)
    sites.approve(request)
    found = request.run()
    for result, right in zip(found.values(), sites.expected(3), strict=True):
        assert float((result - right).abs().max()) < 1e-3
    assert [sites.members(place) for place in range(3)] == [[], [], []]
    # What the client carried, and each node passed on, is uniform; and nobody's numbers are in it.
    for client in (sites.north, sites.south, sites.registry):
        frames = [frame for data in client.seen for frame in _frames(data)]
        assert frames
        seen = b"".join(frames)
        assert _uniform(seen), client.name
        assert sites.xs.numpy().tobytes()[:16] not in b"".join(client.seen)
    # The dealer's node was sent the plan, the public rate and nothing else: no frame of a party comes to it.
    sent = [each for each in sites.registry.messages if isinstance(each, m.AdvanceSharedRun)]
    assert len(sent) == 3
    assert not any(isinstance(each, m.FinishSharedRun) for each in sites.registry.messages)


def _frames(data: bytes) -> list[bytes]:
    try:
        return [bytes(each[3]) for each in msgspec.msgpack.decode(data)] if data else []
    except (msgspec.MsgspecError, TypeError, IndexError, KeyError):
        return []


def _uniform(seen: bytes) -> bool:
    counts = np.bincount(np.frombuffer(seen, np.uint8), minlength=256)
    expected = len(seen) / 256
    return float(((counts - expected) ** 2 / expected).sum()) < float(chi2.isf(1e-6, 255))


def test_owners_read_the_plan_and_its_terms_and_all_have_to_agree(sites: Sites) -> None:
    request = sites.ask()
    review = sites.seen_by_owner(request, 0).plan
    assert review.review.facts.agreement == request.agreement
    assert "on shares (Beaver, semi-honest, 16 bits, 2 steps)" in repr(review)
    keys = [sites.north.verify_key, sites.south.verify_key, sites.registry.verify_key, request.terms.reader]
    assert all(key in repr(review) for key in keys)
    assert {each.name: each.source for each in review.inputs} == {
        "xs": "object",
        "ys": "party",
        "params.0": "party",
        "lr": "value",
    }
    with pytest.raises(Forbidden):
        request.run()
    sites.seen_by_owner(request, 0).approve(uses=1)
    with pytest.raises(Forbidden):
        request.run()  # the other one has not agreed; what has begun here is gone, and the use with it
    assert [sites.members(place) for place in range(3)] == [[], [], []]
    with pytest.raises(Forbidden):
        sites.north.call(RunPlanRequest(request_id=request.requests[0].id))
    price = request.price()
    assert price.rounds > 10 and price.nbytes > 1000


def test_what_leaves_is_counted_as_it_leaves(sites: Sites) -> None:
    """Of a plan in single precision too, a number on shares is a word of 64 bits."""
    request = sites.ask(opened=[regression.outputs[1].name])
    cost = sites.seen_by_owner(request, 0).plan.cost
    assert cost is not None and cost.output_bytes == 3 * 8
    sites.approve(request, max_output_bytes=3 * 8 - 1)
    with pytest.raises(TooLarge):
        request.run()


def test_session_run_asks_first(sites: Sites) -> None:
    session: Any = sites.session()
    inputs: Any = {
        "xs": (sites.north, sites.objects["xs"]),
        "ys": (sites.south, sites.objects["ys"]),
        "params.0": (sites.south, sites.objects["params.0"]),
    }
    terms: dict[str, Any] = {"bounds": {"": 8.0}, "values": {"lr": torch.tensor(0.1)}, "sizes": {"B": 16}}
    terms["opened"] = [regression.outputs[1].name]
    with pytest.raises(NotAgreed):
        session.run(regression, inputs, **terms)
    (request,) = session._asked.values()
    sites.approve(request)
    found = session.run(regression, inputs, **terms)
    assert list(found) == terms["opened"]
    assert float((found[regression.outputs[1].name] - sites.expected(1)[1]).abs().max()) < 1e-3


def test_what_was_revoked_while_it_ran_opens_nothing(sites: Sites) -> None:
    request = sites.ask(steps=1)
    sites.approve(request)

    def revoke(message: Any) -> None:
        if isinstance(message, m.FinishSharedRun):
            sites.seen_by_owner(request, 0).revoke()

    sites.north.before = revoke  # type: ignore[assignment]
    with pytest.raises(Forbidden):
        request.run()
    assert not any(isinstance(each, m.FinishSharedRun) for each in sites.south.messages)
    assert [sites.members(place) for place in range(3)] == [[], [], []]


def test_a_killed_party_opens_nothing_and_the_run_ends_at_all(sites: Sites) -> None:
    request = sites.ask()
    sites.approve(request)
    seen = iter(range(1000))

    def kill(message: Any) -> None:
        if isinstance(message, m.AdvanceSharedRun) and next(seen) == 9:
            sites.members(1)[0].channel.close()  # as when its process dies

    sites.south.before = kill  # type: ignore[assignment]
    with pytest.raises(SessionLost):
        request.run()
    assert [sites.members(place) for place in range(3)] == [[], [], []]
    assert not any(isinstance(each, m.FinishSharedRun) for each in sites.north.messages)


def test_a_changed_frame_or_key_ends_the_run(sites: Sites) -> None:
    request = sites.ask()
    sites.approve(request)
    call = Client.call

    def tampering(client: Client, message: Any, payload: Any = (), **options: Any) -> Any:
        data = b"".join(payload)
        if isinstance(message, m.AdvanceSharedRun) and len(data) > 200:
            payload = [data[:-1] + bytes([data[-1] ^ 1])]
        return call(client, message, payload, **options)

    sites.south.call = tampering.__get__(sites.south)  # type: ignore[method-assign]
    with pytest.raises(ProtocolAborted):
        request.run()
    del sites.south.call  # type: ignore[misc]

    def another(message: Any) -> None:
        if isinstance(message, m.BeginSharedRun):
            message.statements[0] = msgspec.structs.replace(message.statements[0], key="ab" * 32)

    sites.south.before = another  # type: ignore[assignment]
    with pytest.raises(BadSignature):
        request.run()
    assert [sites.members(place) for place in range(3)] == [[], [], []]


def test_a_node_takes_no_larger_rounds_from_its_host_than_it_carries(sites: Sites) -> None:
    request = sites.ask()
    sites.approve(request)
    service = sites.labs[2].node.service(SharedRunService)
    usual = service._settings

    def little(message: Any) -> None:
        if isinstance(message, m.AdvanceSharedRun):
            service._settings = msgspec.structs.replace(usual, compute_payload=100)

    try:
        sites.registry.before = little  # type: ignore[assignment]
        with pytest.raises(TooLarge):
            request.run()
    finally:
        service._settings = usual
    assert [sites.members(place) for place in range(3)] == [[], [], []]


def test_nobody_else_reaches_a_member(sites: Sites) -> None:
    request = sites.ask()
    sites.approve(request)
    view = sites.north.call(m.JoinSharedRun(request_id=request.requests[0].id, run="ab" * 16))
    with pytest.raises(SessionLost):
        sites.labs[0].sam.call(m.AdvanceSharedRun(session_id=view.session_id))
    with pytest.raises(GridError):
        sites.labs[0].sam.call(m.JoinSharedRun(request_id=request.requests[0].id, run="ab" * 16))
    with pytest.raises(ProtocolAborted):
        sites.north.call(m.AdvanceSharedRun(session_id=view.session_id))
    with pytest.raises(SessionLost):
        sites.north.call(m.EndSharedRun(session_id=view.session_id))


def test_data_beyond_the_stated_range_is_refused_by_its_owners_host(sites: Sites) -> None:
    request = sites.ask(bounds={"": 0.25})
    sites.approve(request)
    with pytest.raises(OutOfRange):
        request.run()


@pytest.mark.parametrize(
    "policy", [SitePolicy(clip_norm=1.0, noise_multiplier=1.0), SitePolicy(clip_norm=1.0)]
)
def test_a_policy_on_results_lets_nothing_be_computed_on_shares(sites: Sites, policy: SitePolicy) -> None:
    request = sites.ask()
    sites.approve(request)
    sites.labs[0].policy(policy)
    with pytest.raises(Unsupported):
        request.run()


def test_terms_must_name_this_node_and_what_it_brings(sites: Sites) -> None:
    with pytest.raises(BadRequest, match="different nodes"):
        parties: Any = [sites.north, sites.south]
        dealer: Any = sites.south
        type(sites.session())(parties, dealer)
    request = sites.ask()
    terms = request.terms
    from syft_ext.client.plan_requests import create_plan_request

    client: Any = sites.registry
    there = sites.labs[2].owner.put(sites.xs, finders=[sites.labs[2].sue.id])
    with pytest.raises(BadRequest, match="none of the parties"):
        create_plan_request(client, regression, {"xs": there}, "", {}, shared=terms)
    north: Any = sites.north
    other = sites.labs[0].owner.put(torch.zeros(3, 7), finders=[sites.labs[0].sue.id])
    with pytest.raises(InvalidPlan, match=r"shape that the terms say, \[\d+, \d+\]; where the plan"):
        create_plan_request(north, regression, {"xs": other}, "", {}, shared=terms)
    with pytest.raises(BadRequest, match="another node"):
        deal = m.DealSharedRun(terms=terms, run="ab" * 16, plan_size=0)
        sites.north.call(deal, [regression.dumps()])


def test_every_use_is_in_the_audit_log(sites: Sites) -> None:
    request = sites.ask(steps=1)
    sites.approve(request)
    request.run()
    for place, operations in ((0, ["join", "begin", "finish"]), (2, ["deal", "begin", "end"])):
        entries = sites.labs[place].owner.call(ListAudit(limit=50)).entries
        found = {entry.operation for entry in entries if request.agreement in str(entry.detail)}
        assert {f"shares.{each}" for each in operations} <= found
    for place, name in ((0, "xs"), (1, "ys")):
        ledger = sites.labs[place].owner.call(GetLedger(object_id=sites.objects[name]))
        assert any(request.requests[place].id in charge.what for charge in ledger.charges)


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
def test_a_training_on_shares_of_three_domains_without_a_dealer(sites: Sites, security: str) -> None:
    request = sites.ask(steps=3, session=sites.three(security_type=security))
    review = sites.seen_by_owner(request, 2).plan
    assert f"on shares (Falcon, {security}, 16 bits, 3 steps)" in repr(review)
    assert "dealer" not in repr(review)
    assert all(client.verify_key in repr(review) for client in sites.clients())
    with pytest.raises(Forbidden):
        request.run()
    sites.approve(request)
    found = request.run()
    for result, right in zip(found.values(), sites.expected(3), strict=True):
        assert float((result - right).abs().max()) < 1e-3
    assert [sites.members(place) for place in range(3)] == [[], [], []]
    for client, own in ((sites.north, sites.xs), (sites.south, sites.ys), (sites.registry, sites.ys)):
        frames = [frame for data in client.seen for frame in _frames(data)]
        assert frames and _uniform(b"".join(frames)), client.name
        assert own.numpy().tobytes()[:16] not in b"".join(client.seen)
    price = request.price()
    assert price.rounds > 10 and price.nbytes > 1000


def test_a_third_party_that_dies_in_a_round_opens_nothing(sites: Sites) -> None:
    request = sites.ask(session=sites.three())
    sites.approve(request)
    seen = iter(range(1000))
    before: set[int] = set()

    def kill(message: Any) -> None:
        if isinstance(message, m.JoinSharedRun):  # the last of the three
            before.update(hosts())
        if isinstance(message, m.AdvanceSharedRun) and next(seen) == 9:
            for pid in hosts() - before:  # its host, and what that was forked from
                os.kill(pid, signal.SIGKILL)

    sites.registry.before = kill  # type: ignore[assignment]
    with pytest.raises(SessionLost):
        request.run()
    assert [sites.members(place) for place in range(3)] == [[], [], []]
    for client in (sites.north, sites.south, sites.registry):
        assert not any(isinstance(each, m.FinishSharedRun) for each in client.messages)


def test_the_first_listing_of_the_page_runs_as_printed(sites: Sites) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mpc.md").read_text()
    listing = page.split("```python\n")[1].split("```")[0]
    before, run = listing.split("results = ")
    xs = torch.randn(64, 3)
    ys, w = xs @ torch.tensor([[1.0], [-2.0], [0.5]]), torch.zeros(3, 1)

    def stored(place: int, tensor: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(id=sites.labs[place].owner.put(tensor, finders=[sites.labs[place].sue.id]))

    names: dict[str, Any] = {
        "sy": sy,
        "torch": torch,
        "north": sites.north,
        "south": sites.south,
        "registry": sites.registry,
        "xs": stored(0, xs),
        "ys": stored(1, ys),
        "w": stored(1, w),
    }
    exec(compile(before, "docs/mpc.md", "exec"), names)
    sites.approve(names["request"])
    exec(compile(f"results = {run}", "docs/mpc.md", "exec"), names)
    for _ in range(20):
        w = w - 0.1 * (xs.t() @ (xs @ w - ys)) / 64
    assert any(
        found.shape == w.shape and (found - w).abs().max() < 1e-3 for found in names["results"].values()
    )


def test_an_expression_over_three_domains_is_asked_for_as_one_plan(sites: Sites) -> None:
    session, (north, south, east) = sites.three(), (sites.north, sites.south, sites.registry)
    where: Any = ((north, sites.objects["xs"]), (east, sites.third), (south, sites.objects["ys"]))
    x, w, y = (
        sy.MPCTensor(secret, session, bound=8.0, shape=shape)
        for secret, shape in zip(where, ([ROWS, 3], [3, 1], [ROWS, 1]), strict=True)
    )
    error = ((x @ w - y) ** 2).mean()
    with pytest.raises(NotAgreed):
        error.reconstruct()
    (request,) = session._asked.values()
    assert "on shares (Falcon" in repr(sites.seen_by_owner(request, 0).plan)
    with pytest.raises(Forbidden):
        error.reconstruct()
    sites.approve(request)
    right = ((sites.xs @ sites.w - sites.ys) ** 2).mean()
    assert abs(float(error.reconstruct()) - float(right)) < 1e-3
    with pytest.raises(BadRequest, match="every party brings"):
        (w * 2).request()  # nothing of the two others, who would have nothing to agree to
    with pytest.raises(BadRequest, match="at Domains"):
        (x + sy.MPCTensor(sites.xs, session, bound=8.0)).request()
