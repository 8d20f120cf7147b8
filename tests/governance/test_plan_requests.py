"""Plans that somebody wants to run on data: reviewed, approved, run as approved. On both engines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import update

from grid.access.decision import governs
from grid.access.sources import sources_of
from grid.governance.decisions.tables import RequestRow
from grid.governance.plans.requests import MAX_BYTES
from grid.governance.plans.review_sandbox import ReviewSandbox
from grid.quotas.limits import DEFAULTS, DEFAULTS_OF_DATA_OWNERS
from grid.storage.objects.references import record, sweep
from grid.storage.objects.rows import infos_of, upsert
from grid.storage.objects.tables import ObjectRow
from syft_ext.clock import ManualClock
from syft_ext.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidPlan,
    NotFound,
    QuotaExceeded,
    TooLarge,
    TooManyRequests,
)
from syft_ext.messages.accounts import UpdateUser
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.grants import ListGrants, RevokeGrant
from syft_ext.messages.objects import DescribeObject, GetObject, PutObject
from syft_ext.messages.plan_requests import CreatePlanRequest, RunPlanRequest
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import ApproveRequest, DenyRequest, GetRequest
from syft_ext.plans import make_plan
from syft_ext.tensors import encode_tensors
from tests.accounts.people import House
from tests.governance.plan_story import ROWS, PlanStory, mean_of_rows, other_mean, product


@pytest.fixture
def story(sandbox: object, sqlite_house: House) -> PlanStory:
    return PlanStory(sqlite_house)


@pytest.fixture
def story_on_both(sandbox: object, house: House) -> PlanStory:
    """For what leans on the database's own ways."""
    return PlanStory(house)


def test_from_asking_to_the_results(story_on_both: PlanStory) -> None:
    story = story_on_both
    asked = story.ask(values={"scale": 2.0})
    assert (asked.state, asked.view.kind, asked.view.objects) == ("pending", "plan", [story.table])
    with pytest.raises(Conflict, match="pending"):
        story.ask(values={"scale": 2.0})
    story.ask(values={"scale": 3.0})  # something else
    with pytest.raises(Forbidden, match="pending, not approved"):
        asked.run()
    reviewed = story.seen_by(story.ann, asked)
    assert "returns:" in reviewed.plan.text() and reviewed.plan.id == mean_of_rows.id
    assert reviewed.plan.load() == mean_of_rows
    assert reviewed.cost is not None and reviewed.cost.output_bytes == 12
    assert reviewed.cost.operations == mean_of_rows.cost().ops
    xs, scale = reviewed.plan.inputs
    assert (xs.source, xs.object_id, xs.shape) == ("object", story.table, [ROWS, 3])
    assert (scale.source, scale.shape) == ("value", [])
    assert [each.shape for each in reviewed.plan.outputs] == [[3]]
    assert "mean_of_rows" in repr(reviewed.plan) and reviewed.view.plan.values
    assert "run the plan mean_of_rows" in repr(reviewed) and "monospace" in reviewed.plan._repr_html_()
    reviewed.approve(uses=2, max_output_bytes=12, expires_in=60.0)
    assert torch.equal(asked.run(), story.xs.mean(0) * 2)
    with pytest.raises(Forbidden):
        story.sue.download(GetObject(object_id=story.table))  # it is no grant of the content
    done = asked.run_and_keep(description="means")
    assert done.view.uses_left == 0
    with pytest.raises(Forbidden):
        asked.run()
    (grant,) = story.sue.call(ListGrants()).grants
    assert (grant.scope, grant.state, grant.plan_id) == ("plan", "used up", mean_of_rows.id)
    assert grant.inputs == [f"xs={story.table}"]


def test_what_was_kept_is_under_the_sources_of_the_inputs(story_on_both: PlanStory) -> None:
    story = story_on_both
    asked = story.ask()
    story.seen_by(story.ann, asked).approve()
    kept = asked.run_and_keep(description="means", tags=["derived"]).view.object_id
    assert story.sue.call(DescribeObject(object_id=kept)).description == "means"
    with pytest.raises(Forbidden):
        story.sue.download(GetObject(object_id=kept))
    with story.house.node.db.read() as session:
        assert sources_of(session, [kept])[kept] == {story.table}
        assert governs(session, story.ann_view.id, kept) and not governs(session, story.sue_view.id, kept)


def test_who_sees_and_decides_and_runs(story: PlanStory) -> None:
    asked = story.ask()
    for refused in (
        lambda: story.seen_by(story.eve, asked),
        lambda: story.seen_by(story.bob, asked).approve(),
    ):
        with pytest.raises((NotFound, Forbidden)):
            refused()
    with pytest.raises(NotFound):
        story.requests(story.eve).create_plan(mean_of_rows, {"xs": story.table})  # Eve may not find it
    with pytest.raises(Forbidden, match="not yours to decide"):
        asked.approve()
    story.seen_by(story.officer, asked).approve()
    for who in (story.ann, story.officer):
        with pytest.raises(Forbidden, match="only who asked"):
            who.download(RunPlanRequest(request_id=asked.id))
    with pytest.raises(NotFound):
        story.eve.download(RunPlanRequest(request_id=asked.id))
    asked.run()
    again = story.ask()
    story.ann.call(DenyRequest(request_id=again.id, reason="no"))
    with pytest.raises(Forbidden, match="denied"):
        again.run()


def test_each_owner_has_to_agree(story_on_both: PlanStory) -> None:
    story = story_on_both
    inputs = {"xs": story.table, "ys": story.labels}
    asked = story.ask(product, inputs)
    story.ann.call(ApproveRequest(request_id=asked.id, uses=5))
    assert asked.refresh().state == "pending"
    with pytest.raises(Forbidden):
        asked.run()
    assert story.bob.call(ApproveRequest(request_id=asked.id, uses=2)).state == "approved"
    results = asked.run()
    assert torch.allclose(results["slope"], story.ys @ story.xs)
    # Each owner may take their part back, and the plan is at an end.
    (mine,) = [each for each in story.bob.call(ListGrants()).grants if each.object_id == story.labels]
    assert mine.uses_left == 1
    story.bob.call(RevokeGrant(grant_id=mine.id))
    with pytest.raises(Forbidden):
        asked.run()
    # The scientist's own data need nobody's word but their own.
    own = story.put(story.ann, story.ys)
    with story.house.node.db.transaction() as session:
        session.execute(update(ObjectRow).where(ObjectRow.id == own).values(owner=story.sue_view.id))
    mixed = story.ask(product, {"xs": story.table, "ys": own})
    assert mixed.state == "pending"
    assert story.ann.call(ApproveRequest(request_id=mixed.id)).state == "approved"
    story.officer.call(ApproveRequest(request_id=story.ask(product, inputs).id))  # one officer speaks for all


def test_the_diff_against_the_earlier_plan(story_on_both: PlanStory) -> None:
    story = story_on_both
    first = story.ask()
    assert story.seen_by(story.ann, first).plan.diff() == ""
    story.seen_by(story.ann, first).approve()
    story.house.clock.advance(1)  # type: ignore[attr-defined]
    second = story.ask(other_mean)
    shown = story.seen_by(story.ann, second).plan
    assert shown.review.earlier == first.id
    added = [line for line in shown.diff().splitlines() if line.startswith("+") and "+++" not in line]
    removed = [line for line in shown.diff().splitlines() if line.startswith("-") and "---" not in line]
    assert any("add.Tensor" in line for line in added) and any("%" in line for line in removed)
    assert "compared with" in repr(shown)
    # Another's plan of the same name is compared for a reviewer, and not shown to who asks.
    with story.house.node.db.transaction() as session:
        session.execute(update(RequestRow).values(user_id=story.eve_view.id))
    story.house.clock.advance(1)  # type: ignore[attr-defined]
    third = story.ask()
    assert third.plan.review.earlier == "" and third.plan.diff() == ""
    assert story.seen_by(story.ann, third).plan.review.earlier == first.id


def test_what_was_approved_is_what_runs(story: PlanStory) -> None:
    asked = story.ask()
    story.seen_by(story.ann, asked).approve()
    asked.run()
    replace(story, story.table, story.xs + 1)
    with pytest.raises(Conflict, match="changed"):
        asked.run()
    replace(story, story.table, story.xs)  # the very content that was approved
    assert torch.equal(asked.run(), story.xs.mean(0))
    late = story.ask(other_mean)
    replace(story, story.table, story.xs + 1)
    with pytest.raises(Conflict, match="changed"):
        story.ann.call(ApproveRequest(request_id=late.id))
    assert late.refresh().state == "pending"


def replace(story: PlanStory, object_id: str, tensor: torch.Tensor) -> None:
    """Another content for the same object."""
    node = story.house.node
    with node.blobs.put([encode_tensors({"": tensor})]) as blob, node.db.transaction() as session:
        record(session, blob)
        (info,) = infos_of(session, [object_id])
        upsert(session, info, blob.digest)


def test_conditions_and_policy_hold_for_each_run(story: PlanStory) -> None:
    asked = story.ask()
    story.seen_by(story.ann, asked).approve(max_output_bytes=11)
    with pytest.raises(TooLarge, match="grant"):
        asked.run()
    asked = story.ask()
    story.seen_by(story.ann, asked).approve(uses=4, expires_in=60.0)
    refusals: dict[str, tuple[Any, type[Exception]]] = {
        "allowed_operations": (["aten.add.Tensor"], Forbidden),
        "min_rows": (ROWS + 1, Forbidden),
        "max_output_bytes": (11, TooLarge),
    }
    for name, (value, refusal) in refusals.items():
        story.owner.call(SetPolicy(policy=SitePolicy(**{name: value})))
        with pytest.raises(refusal, match="policy"):
            asked.run()
    with pytest.raises(Forbidden, match="policy"):  # told at once, when it is about the plan alone
        story.owner.call(SetPolicy(policy=SitePolicy(allowed_operations=["aten.add.Tensor"])))
        story.ask(other_mean)
    operations = list(mean_of_rows.document.ops)
    passing = SitePolicy(allowed_operations=operations, min_rows=ROWS, max_output_bytes=12)
    story.owner.call(SetPolicy(policy=passing))
    assert torch.equal(asked.run(), story.xs.mean(0))
    # Clipping and noise come after whatever the plan did.
    story.owner.call(SetPolicy(policy=SitePolicy(clip_norm=0.5)))
    clipped = asked.run()
    assert clipped.norm() == pytest.approx(0.5)
    assert torch.allclose(clipped / 0.5, story.xs.mean(0) / story.xs.mean(0).norm())
    story.owner.call(SetPolicy(policy=SitePolicy(clip_norm=0.5, noise_multiplier=2.0)))
    noisy = asked.run()
    assert not torch.allclose(noisy, clipped, atol=1e-4) and noisy.norm() < 20
    assert torch.equal(asked.run(), noisy), "asking again must not average the noise away"
    assert isinstance(story.house.clock, ManualClock)
    with pytest.raises(Forbidden):
        asked.run()  # four uses; what policy and data refused took none


def test_noise_follows_from_the_question_whoever_asks_and_whenever(story: PlanStory) -> None:
    """Another request, a restart and a restored backup are no ways to another draw; another question is."""
    story.owner.call(SetPolicy(policy=SitePolicy(clip_norm=0.5, noise_multiplier=2.0)))

    def approved(**fields: Any) -> Any:
        asked = story.ask(**fields)
        story.seen_by(story.ann, asked).approve(uses=9)
        return asked

    first = approved().run()
    assert torch.equal(approved().run(), first)
    story.house.node.stop()
    database, home = Path(story.house.database_url.removeprefix("sqlite:///")), story.house.home
    backup = home.with_name("backup")
    shutil.copytree(home, backup / "home")
    shutil.copy(database, backup / "node.db")
    for restored in (False, True):
        if restored:
            story.house.node.stop()
            shutil.rmtree(home)
            for path in database.parent.glob(f"{database.name}*"):
                path.unlink()
            shutil.copytree(backup / "home", home)
            shutil.copy(backup / "node.db", database)
        story.house.open()
        story.sue, story.ann, story.owner = (
            story.house.call_in(who.identity, who.token) for who in (story.sue, story.ann, story.owner)
        )
        again = approved()
        assert torch.equal(again.run(), first)
    assert not torch.equal(approved(values={"scale": 1.5}).run(), first)  # clipped to the same, as it is
    story.owner.call(SetPolicy(policy=SitePolicy(clip_norm=0.5, noise_multiplier=2.5)))
    assert not torch.equal(again.run(), first)


def test_expiry_ends_it(story: PlanStory) -> None:
    asked = story.ask()
    story.seen_by(story.ann, asked).approve(expires_in=60.0)
    asked.run()
    story.house.clock.advance(61)  # type: ignore[attr-defined]
    with pytest.raises(Forbidden, match="expired"):
        asked.run()


@make_plan
def picky(xs: Any = torch.zeros(ROWS, 3), at: Any = torch.zeros(1, dtype=torch.int64)) -> Any:
    """Fails where the first value is no row: that tells the value."""
    return torch.index_select(xs, 0, at + xs[0, 0].to(torch.int64))


def test_a_failure_tells_nothing_of_the_data_and_takes_a_use(story: PlanStory) -> None:
    secret = story.put(story.ann, torch.full((ROWS, 3), 7654.0))
    asked = story.ask(picky, {"xs": secret}, values={"at": torch.zeros(1, dtype=torch.int64)})
    story.seen_by(story.ann, asked).approve(uses=1)
    with pytest.raises(InvalidPlan) as caught:
        asked.run()
    assert "7654" not in caught.value.detail and "log" in caught.value.detail
    with pytest.raises(Forbidden):
        asked.run()


def test_what_is_not_shown_is_not_learnt_by_asking(story: PlanStory) -> None:
    hidden = hidden_table(story)
    guesses = [{"xs": (hidden, "age")}, {"xs": (hidden, "nothing")}]
    seen = []
    for inputs in guesses:
        asked = story.ask(mean_of_rows, inputs)
        plan = asked.view.plan
        assert plan is not None and plan.cost is None and plan.inputs[0].shape is None
        seen.append((asked.state, plan.problem, plan.outputs[0].shape, asked.plan.review.facts.problem))
    assert seen[0] == seen[1]
    told = [story.seen_by(story.ann, each) for each in story.requests(story.ann)]
    problems = {each.view.plan.inputs[0].tensor: each.view.plan.problem for each in told if each.view.plan}
    assert not problems["age"] and "nothing" in problems["nothing"]
    for each in told:
        assert each.view.plan is not None
        if each.view.plan.problem:
            with pytest.raises(Conflict, match="cannot run"):
                each.approve()


def hidden_table(story: PlanStory) -> str:
    """A table of which Sue knows that it is there, and nothing else."""
    content = encode_tensors({"age": story.xs, "other": story.ys})
    return str(story.ann.call(PutObject(kind="tensors", finders=[story.sue_view.id]), [content]).id)


def test_bad_requests_are_told_so(story: PlanStory) -> None:
    plan, table = mean_of_rows.dumps(), story.table
    bad: list[tuple[list[str], bytes, int]] = [
        ([f"xs={table}"], b"no plan", 0),
        ([f"xs={table}"], plan[:-1], 0),
        ([f"zs={table}"], plan, 0),
        ([f"xs={table}", f"xs={table}"], plan, 0),
        ([f"xs={table}:nothing"], plan, 0),
        ([f"scale={table}"], plan, 0),  # a table for a number
        ([f"xs={table}"], plan, len(plan) + 1),
        ([f"xs={table}"], plan + b"no values", len(plan)),
        ([f"xs={table}"], plan + encode_tensors({"xs": story.xs}), len(plan)),  # given twice
        ([f"xs={table}"], plan + encode_tensors({"zs": story.xs}), len(plan)),
    ]
    for inputs, payload, size in bad:
        with pytest.raises((BadRequest, TooLarge)):
            story.sue.call(CreatePlanRequest(inputs=inputs, plan_size=size), [payload])
    with pytest.raises(BadRequest, match="takes no"):
        story.ask(mean_of_rows, {"zs": table})
    with pytest.raises(BadRequest, match="no default"):
        story.ask(product, {"xs": table})
    with pytest.raises(NotFound):
        story.sue.call(CreatePlanRequest(inputs=[f"xs={'0' * 32}"]), [plan])


def test_nobody_fills_the_disk_by_asking(story: PlanStory, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = story.house.node.blobs
    asked = story.ask(other_mean)
    assert blobs.exists(other_mean.id)
    asked.withdraw()
    sweep(story.house.node.db, blobs)
    assert other_mean.id not in set(blobs.digests())  # it waits in the quarantine
    with pytest.raises(NotFound, match="not for a plan"):
        _ = asked.plan
    with pytest.raises(TooLarge):
        story.sue.call(CreatePlanRequest(inputs=[f"xs={story.table}"]), [bytes(MAX_BYTES + 1)])
    monkeypatch.setitem(DEFAULTS, "pending_requests", 2)
    monkeypatch.setitem(DEFAULTS_OF_DATA_OWNERS, "pending_requests", 2)
    monkeypatch.setattr("grid.governance.requests.submission.MOST_A_DAY", 4)
    waiting = [story.ask(values={"scale": each}) for each in (1.0, 2.0)]
    with pytest.raises(QuotaExceeded, match="pending requests"):
        story.ask(values={"scale": 3.0})
    waiting[0].withdraw()
    story.ask(values={"scale": 3.0})
    waiting[1].withdraw()
    with pytest.raises(TooManyRequests, match="within a day"):
        story.ask(values={"scale": 4.0})
    story.house.clock.advance(86_401)  # type: ignore[attr-defined]
    story.sue = story.house.log_in("sue@lab.org")
    story.ask(values={"scale": 4.0})


def test_it_is_audited_with_plan_and_grant(story: PlanStory) -> None:
    asked = story.ask()
    story.seen_by(story.ann, asked).approve()
    asked.run()
    entries = story.owner.call(ListAudit(operation="requests.run", limit=10)).entries
    (entry,) = entries
    assert entry.outcome == "ok" and entry.detail["plan"] == mean_of_rows.id
    assert entry.grants == [asked.refresh().view.grant_id] and story.table in entry.objects


def test_a_run_that_began_before_hands_nothing_out_afterwards(
    story_on_both: PlanStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = story_on_both
    run = ReviewSandbox.run

    def during(act: Any) -> None:
        def slow(*arguments: Any) -> Any:
            results = run(*arguments)
            act()
            return results

        monkeypatch.setattr(ReviewSandbox, "run", slow)

    asked = story.ask()
    story.seen_by(story.ann, asked).approve()
    during(lambda: story.seen_by(story.ann, asked).revoke())
    with pytest.raises(Forbidden, match="revoked"):
        asked.run()
    monkeypatch.setattr(ReviewSandbox, "run", run)
    with pytest.raises(Forbidden):
        asked.run()
    (entry, *_) = story.owner.call(ListAudit(operation="requests.run", limit=10)).entries
    assert entry.outcome == "forbidden"

    asked = story.ask()
    story.seen_by(story.ann, asked).approve(uses=1, expires_in=60.0)
    during(lambda: story.house.clock.advance(61))  # type: ignore[attr-defined]
    with pytest.raises(Forbidden):
        asked.run()

    asked = story.ask()
    story.seen_by(story.ann, asked).approve(uses=1)
    story.owner.call(SetPolicy(policy=SitePolicy()))
    during(lambda: story.owner.call(SetPolicy(policy=SitePolicy(max_output_bytes=11))))
    with pytest.raises(TooLarge):
        asked.run()
    story.owner.call(SetPolicy(policy=SitePolicy()))

    asked = story.ask()
    story.seen_by(story.ann, asked).approve()
    during(lambda: story.owner.call(UpdateUser(user_id=story.sue_view.id, disabled=True)))
    with pytest.raises(Forbidden, match="disabled"):
        asked.run()


def test_requests_survive_a_restart(story: PlanStory) -> None:
    asked = story.ask(values={"scale": 2.0})
    story.house.restart()
    story.sue, story.ann = story.house.log_in("sue@lab.org"), story.house.log_in("ann@hospital.org")
    story.ann.call(ApproveRequest(request_id=asked.id))
    assert story.sue.call(GetRequest(request_id=asked.id)).state == "approved"
    assert torch.equal(story.seen_by(story.sue, asked).run(), story.xs.mean(0) * 2)
