"""Split networks over real Domains: what is learned, who approves, what crosses and who sees it, how runs end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import chi2  # type: ignore[import-untyped]
from torch import nn

import syft_ext as sy
from grid.mpc.service import SharedRunService
from grid.storage.objects.tables import ObjectRow
from syft_ext.client.plan_requests import create_plan_request
from syft_ext.client.requests import DataRequest
from syft_ext.errors import (
    BadRequest,
    Forbidden,
    GridError,
    NotFound,
    ProtocolAborted,
    SessionLost,
    TooLarge,
    Unsupported,
)
from syft_ext.messages import shared_runs as m
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.ledger import GetLedger
from syft_ext.messages.objects import GetObject
from syft_ext.messages.plan_requests import RunPlanRequest, TryPlan
from syft_ext.messages.policy import SitePolicy
from syft_ext.nodes.intersection import MatchedTables
from syft_ext.tensors import decode_tensors
from syft_ext.vertical.split_plans import bottom_plan
from tests.intersections.hospitals import Hospitals
from tests.split.pooled import WIDTH, modules, pooled, pooled_output

PEOPLE = 40
LR = 0.2


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    sites = Hospitals(tmp_path_factory.mktemp("split"))
    yield sites
    sites.close()


@pytest.fixture(autouse=True)
def fresh(sites: Hospitals) -> None:
    sites.fresh()


@pytest.fixture(scope="module")
def tables(sites: Hospitals) -> tuple[str, str]:
    """North has two columns, South one more and the label; each has people whom the other has not."""
    rng = np.random.default_rng(3)

    def columns(ids: Any, **values: Any) -> dict[str, torch.Tensor]:
        found = {name: torch.tensor(each[ids], dtype=torch.float32) for name, each in values.items()}
        return {"id": torch.tensor(ids), **found}

    north, south = rng.permutation(PEOPLE + 9), rng.permutation(np.arange(9, PEOPLE + 20))
    a, b, c = rng.normal(size=(3, 100))
    y = np.tanh(a) - b * c
    return sites.table(0, columns(north, a=a, b=b)), sites.table(1, columns(south, c=c, y=y))


ROWS = ({"x": ["a", "b"]}, {"x": ["c"], "y": ["y"]})


def intersection(sites: Hospitals, tables: tuple[str, str]) -> Any:
    return sites.approve(sites.ask(tables, most=100, minimum=10, rows=ROWS))


@pytest.fixture(scope="module")
def matched(sites: Hospitals, tables: tuple[str, str]) -> MatchedTables:
    found: MatchedTables = intersection(sites, tables).run()
    return found


def with_clients(sites: Hospitals, matched: MatchedTables) -> MatchedTables:
    """Of this test's clients, which see what goes through them."""
    clients: Any = tuple(sites.clients[:2])
    return MatchedTables(matched.size, matched.objects, clients, matched.rows, matched.common)


def network(**crossing: Any) -> Any:
    bottom, own, top = modules()
    boundary = sy.vertical.Boundary(width=WIDTH, **crossing)
    return sy.vertical.SplitNetwork((bottom, own), top, loss=nn.functional.mse_loss, boundary=boundary)


def ask(sites: Hospitals, matched: MatchedTables, crossing: Any = None, **options: Any) -> Any:
    made = {"epochs": 1, "batch_size": 20, "lr": LR, "seed": 5, **options}
    return network(**(crossing or {})).request(with_clients(sites, matched), **made)


def approve(sites: Hospitals, asked: Any, **conditions: Any) -> Any:
    for place, request in enumerate(asked.requests):
        sites.decided(request, place).approve(**conditions)
    return asked


def stored(sites: Hospitals, place: int, object_id: str) -> dict[str, torch.Tensor]:
    """As it lies on the node's disk."""
    node = sites.labs[place].node
    with node.db.read() as session:
        digest = session.get_one(ObjectRow, object_id).blob_digest
    return decode_tensors(bytes(node.blobs.map(digest)))


def rows_of(sites: Hospitals, matched: MatchedTables) -> dict[str, torch.Tensor]:
    north, south = (stored(sites, place, matched.objects[place]) for place in (0, 1))
    return {"x0": north["x"], "x1": south["x"], "y": south["y"]}


def kept(sites: Hospitals) -> list[int]:
    counts = []
    for lab in sites.labs:
        with lab.node.db.read() as session:
            counts.append(session.query(ObjectRow).filter(ObjectRow.kind == "matched").count())
    return counts


def members(sites: Hospitals) -> list[Any]:
    services = [lab.node.service(SharedRunService) for lab in sites.labs]
    return [member for service in services for member in service._members._members.values()]


def frames(data: bytes) -> list[bytes]:
    try:
        return [bytes(each[3]) for each in msgspec.msgpack.decode(data)] if data else []
    except (msgspec.MsgspecError, TypeError, IndexError, KeyError):
        return []


def test_it_equals_a_pooled_training_and_stays_with_its_owners(
    sites: Hospitals, matched: MatchedTables
) -> None:
    asked = approve(sites, ask(sites, matched, epochs=10, opened=["loss"]))
    assert asked.terms.batches == 20 and "train" in repr(asked)
    trained = asked.run()
    rows = rows_of(sites, matched)
    bottom, parts, means = pooled(asked.terms, modules(), rows, LR)
    for place, module in ((0, bottom), (1, parts)):
        found = stored(sites, place, trained.objects[place])
        for number, right in enumerate(module.parameters()):
            assert float((found[str(number)] - right.detach()).abs().max()) < 1e-5
    assert np.allclose(trained.opened["loss"], means, atol=1e-5) and means[-1] < means[0]
    assert members(sites) == []
    # What the client carried is sealed: uniform bytes, of the sizes that the terms say, and nobody's numbers.
    with torch.no_grad():
        first = modules()[0](rows["x0"])
    secrets = [each.numpy().tobytes() for each in (first, *rows.values())]
    for client in sites.clients:
        seen = b"".join(client.seen)
        sealed = b"".join(frame for data in client.seen for frame in frames(data))
        counts = np.bincount(np.frombuffer(sealed, np.uint8), minlength=256)
        expected = len(sealed) / 256
        assert len(sealed) >= 20 * 20 * WIDTH * 4
        assert float(((counts - expected) ** 2 / expected).sum()) < float(chi2.isf(1e-6, 255))
        assert not any(each[start : start + 8] in seen for each in secrets for start in range(0, 160, 4))
    for lab, object_id in zip(sites.labs, trained.objects, strict=True):
        for person in (lab.sue, lab.owner):
            with pytest.raises((Forbidden, NotFound)):
                person.connection.download(GetObject(object_id=object_id))

    for lab in sites.labs:  # of rows: parameters have fewer, and are no rows
        lab.policy(SitePolicy(min_rows=PEOPLE))
    predicting = approve(sites, trained.predict(opened=True))
    predicted = predicting.run()
    with torch.no_grad():
        right = pooled_output(bottom, parts, rows)
    assert float((predicted.opened - right).abs().max()) < 1e-5
    assert torch.equal(stored(sites, 1, predicted.object_id)["predictions"], predicted.opened)
    again = approve(sites, trained.predict())
    assert again.run().opened is None


def test_owners_read_what_crosses_and_both_have_to_agree(sites: Hospitals, matched: MatchedTables) -> None:
    asked = ask(sites, matched, epochs=3, batch_size=16)
    before = kept(sites)
    for place, request in enumerate(asked.requests):
        review = sites.decided(request, place).plan
        assert review.review.facts.agreement == asked.agreement
        said = repr(review)
        assert (
            "activations cross from party 0 to party 1: f32[16, 4] in each batch, 1,920 bytes in all" in said
        )
        assert "gradients cross from party 1 to party 0: f32[16, 4] in each batch, 1,920 bytes in all" in said
        assert "as they are: they tell of the rows, and nothing is promised" in said
        assert "(9 batches; order from 5)" in said and "nothing is opened to anybody" in said
        assert all(text in said for text in [*asked.terms.plans, *asked.terms.parties, matched.common])
        assert review.cost is not None and review.cost.output_bytes == 1920
        assert "party" in {each.source for each in review.inputs}
        trial = sites.labs[place].owner.call(TryPlan(request_id=request.id))
        assert "comes from another Domain" in str(trial)
    with pytest.raises(Forbidden):
        asked.run()
    sites.decided(asked.requests[0], 0).approve()
    with pytest.raises(Forbidden, match="pending"):
        asked.run()
    assert members(sites) == [] and kept(sites) == before
    assert not any(isinstance(each, m.AdvanceSharedRun) for each in sites.clients[0].messages)
    with pytest.raises(Forbidden, match="with other Domains"):
        sites.labs[0].sue.call(RunPlanRequest(request_id=asked.requests[0].id))


def test_noise_is_said_and_charged_and_what_has_none_is_said_too(
    sites: Hospitals, tables: tuple[str, str], matched: MatchedTables
) -> None:
    crossing = {"activations": sy.vertical.Crossing(clip=1.0, noise_multiplier=40.0)}
    asked = ask(sites, matched, crossing, epochs=2)
    said = repr(sites.decided(asked.requests[0], 0).plan)
    assert (
        "each row clipped to a norm of 1, with noise of deviation 40 in each number: ρ = 0.1 (zCDP)" in said
    )
    sites.labs[0].policy(SitePolicy(statistics_epsilon=0.5, statistics_total=0.5))
    approve(sites, asked)
    with pytest.raises(Forbidden, match="have told what their owner lets out"):
        asked.run()
    assert members(sites) == []
    sites.labs[0].policy(SitePolicy())
    asked.run()
    for place in (0, 1):
        ledger = sites.labs[place].owner.call(GetLedger(object_id=tables[place]))
        charged = [each for each in ledger.charges if asked.requests[place].id in each.what]
        assert len(charged) == 1 and ("outside of the guarantee" in charged[0].what) == (place == 1)
        assert ("activations of 4 batches" if place == 0 else "gradients of 4 batches") in charged[0].what


def test_another_plan_or_other_terms_are_refused(sites: Hospitals, matched: MatchedTables) -> None:
    asked = ask(sites, matched)
    terms = asked.terms
    client: Any = sites.clients[0]
    leaves = [each.detach() for each in modules()[0].parameters()]
    given = {"x": (matched.objects[0], "x")}
    plan = bottom_plan(modules()[0], 2, WIDTH, LR)
    doctored = bottom_plan(nn.Sequential(nn.Linear(2, WIDTH), nn.ReLU()), 2, WIDTH, LR)
    with pytest.raises(BadRequest, match="another plan"):
        create_plan_request(client, doctored, given, "", {"params": leaves}, split=terms)
    with pytest.raises(BadRequest, match="other values"):
        create_plan_request(client, plan, given, "", {"params": [2 * each for each in leaves]}, split=terms)
    for changed, error, text in (
        ({"common": "ab" * 32}, Forbidden, "rows in common with its other party"),
        ({"parties": [terms.parties[1], "ab" * 32]}, BadRequest, "none of the parties"),
        ({"parties": [terms.parties[0], "ab" * 32]}, Forbidden, "rows in common with its other party"),
    ):
        other = msgspec.structs.replace(terms, **changed)
        with pytest.raises(error, match=text):
            create_plan_request(client, plan, given, "", {"params": leaves}, split=other)
    # What would tell who asks of sizes is told to the owner, who cannot approve it then.
    for changed, text in (({"rows": 39}, "has not 39 rows"), ({"width": 3}, "takes another shape")):
        other = msgspec.structs.replace(terms, **changed)
        view = create_plan_request(client, plan, given, "", {"params": leaves}, split=other)
        assert view.plan is not None and not view.plan.problem
        seen = sites.decided(DataRequest(client, view), 0)
        assert re.search(text, seen.plan.review.facts.problem)
        with pytest.raises(GridError):
            seen.approve()
    # Terms that one party approved are not those of another request, though everything else is the same.
    longer = ask(sites, matched, epochs=2)
    approve(sites, asked)
    approve(sites, longer)
    asked.requests[1] = longer.requests[1]
    with pytest.raises(ProtocolAborted):
        asked.run()
    assert members(sites) == []


def before_each(sites: Hospitals, place: int, act: Callable[[], object], which: str, turn: int = 0) -> None:
    seen = iter(range(10_000))

    def hook(message: Any) -> None:
        if type(message).__name__ == which and next(seen) == turn:
            act()

    sites.clients[place].before = hook  # type: ignore[assignment]


@pytest.mark.parametrize(("which", "turn"), [("AdvanceSharedRun", 2), ("FinishSharedRun", 0)])
def test_what_is_revoked_in_the_middle_ends_and_keeps_nothing(
    sites: Hospitals, matched: MatchedTables, which: str, turn: int
) -> None:
    asked = approve(sites, ask(sites, matched, epochs=3))
    before = kept(sites)
    before_each(sites, 1, lambda: sites.decided(asked.requests[1], 1).revoke(), which, turn)
    with pytest.raises(Forbidden, match="revoked"):
        asked.run()
    assert members(sites) == [] and kept(sites) == before
    turns = [each for each in sites.clients[0].messages if isinstance(each, m.AdvanceSharedRun)]
    assert which == "FinishSharedRun" or len(turns) <= 3


def test_the_end_of_the_intersection_ends_runs_and_what_was_learned(
    sites: Hospitals, tables: tuple[str, str]
) -> None:
    found = intersection(sites, tables)
    rows = found.run()
    trained = approve(sites, ask(sites, rows)).run()
    asked = approve(sites, ask(sites, rows, epochs=3))
    predicting = approve(sites, trained.predict())
    before_each(sites, 0, lambda: sites.decided(found.requests[0], 0).revoke(), "AdvanceSharedRun", 1)
    with pytest.raises(Forbidden, match="intersection that these rows are of was revoked"):
        asked.run()
    with pytest.raises(Forbidden, match="was revoked"):
        predicting.run()
    assert members(sites) == []


def test_a_lost_party_ends_the_run_at_both(sites: Hospitals, matched: MatchedTables) -> None:
    asked = approve(sites, ask(sites, matched, epochs=3))
    before = kept(sites)

    def kill() -> None:
        (member,) = sites.labs[1].node.service(SharedRunService)._members._members.values()
        member.channel.close()  # as when its process dies

    before_each(sites, 1, kill, "AdvanceSharedRun", 2)
    with pytest.raises(SessionLost):
        asked.run()
    assert members(sites) == [] and kept(sites) == before


def test_every_use_is_in_the_audit_logs(sites: Hospitals, matched: MatchedTables) -> None:
    asked = approve(sites, ask(sites, matched))
    trained = asked.run()
    for place, lab in enumerate(sites.labs):
        entries = lab.owner.call(ListAudit(limit=50)).entries
        found = {each.operation: each for each in entries if asked.agreement in str(each.detail)}
        assert {"shares.join", "shares.begin", "shares.finish", "requests.create_plan"} <= found.keys()
        said = str(msgspec.to_builtins(found["shares.finish"]))
        assert matched.objects[place] in said and trained.objects[place] in said


def test_the_sites_policy_holds(sites: Hospitals, matched: MatchedTables) -> None:
    asked = approve(sites, ask(sites, matched, opened=["loss"]), max_output_bytes=PEOPLE * WIDTH * 4)
    for policy, error in (
        (SitePolicy(min_rows=PEOPLE + 1), Forbidden),
        (SitePolicy(allowed_operations=["split.gradients", *_operations(sites, asked)]), Forbidden),
        (SitePolicy(clip_norm=1.0, noise_multiplier=1.0), Unsupported),
        (SitePolicy(max_output_bytes=PEOPLE * WIDTH * 4 - 1), TooLarge),
    ):
        sites.labs[0].policy(policy)
        with pytest.raises(error):
            asked.run()
    sites.labs[0].policy(SitePolicy(min_rows=PEOPLE))
    with pytest.raises(TooLarge):  # at the top what is opened leaves, too
        asked.run()
    assert members(sites) == []


def _operations(sites: Hospitals, asked: Any) -> list[str]:
    return list(sites.decided(asked.requests[0], 0).plan.load().document.ops)


def test_what_a_split_network_takes(sites: Hospitals, matched: MatchedTables) -> None:
    there = with_clients(sites, matched)
    bottom, own, top = modules()
    boundary = sy.vertical.Boundary(width=WIDTH)

    def made(bottoms: Any, **changed: Any) -> Any:
        parts: Any = {"top": top, "loss": nn.functional.mse_loss, "boundary": boundary, **changed}
        return sy.vertical.SplitNetwork(bottoms, **parts)

    for bottoms in ((None, own), (bottom, None)):
        with pytest.raises(BadRequest, match="a bottom for each"):
            made(bottoms).request(there)
    with pytest.raises(BadRequest, match="one bottom for each"):
        made((bottom,))
    with pytest.raises(BadRequest, match="no buffers"):
        made((nn.Sequential(bottom, nn.BatchNorm1d(WIDTH)), own)).request(there)
    with pytest.raises(BadRequest, match="clipped"):
        noise = sy.vertical.Crossing(noise_multiplier=1.0)
        made((bottom, own), boundary=sy.vertical.Boundary(WIDTH, noise)).request(there)
    with pytest.raises(BadRequest, match="opened twice, or is what crosses"):
        made((bottom, own)).request(there, opened=["gradients"])
    with pytest.raises(BadRequest, match="has no result"):
        made((bottom, own)).request(there, opened=["accuracy"])
