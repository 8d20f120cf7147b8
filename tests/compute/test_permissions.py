"""Who may compute on what, and take what out: lists, grants, uses, revocation, policy. On both engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from syft_ext.errors import Forbidden, NotFound, OperationFailed, TooLarge
from syft_ext.messages import compute as c
from syft_ext.messages.accounts import CreateGroup, UpdateGroup
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.objects import DeleteObject, GetObject
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin

from .lab import Lab, Remote, ref

SECRET = torch.tensor([3.0, 1.0, 4.0])


@pytest.fixture
def secret(lab: Lab) -> str:
    """The owner's; Sue may compute on it, Sam may not even find it."""
    object_id = lab.owner.put(SECRET)
    lab.owner.share(object_id, programmers=[lab.sue.id])
    return object_id


@pytest.fixture
def remote(lab: Lab) -> Iterator[Remote]:
    remote = lab.sue.open()
    yield remote
    remote.close()


def codes(remote: Remote) -> list[str]:
    return [failure.code for failure in remote.failures()]


def test_one_computes_on_what_one_may_and_takes_out_what_one_may_read(
    lab: Lab, remote: Remote, secret: str
) -> None:
    total = remote.do("aten.sum.default", ref(remote.load(secret)))
    mine = remote.put(torch.ones(1))
    mixed = remote.do("aten.add.Tensor", ref(total), ref(mine))
    assert codes(remote) == []
    assert remote.fetch(mine).item() == 1
    for value in (total, mixed):
        with pytest.raises(Forbidden):
            remote.fetch(value)
        with pytest.raises(Forbidden):
            remote.fetch(mine, value)
        assert remote.check(mine, value).missing == [secret]
    lab.owner.share(secret, readers=[lab.sue.id])
    assert remote.fetch(mixed).item() == 9
    stranger = lab.sam.open()
    stranger.load(secret)
    assert codes(stranger) == ["not-found"]
    stranger.close()


def test_what_is_kept_has_the_sources_of_its_values(lab: Lab, remote: Remote, secret: str) -> None:
    other = lab.owner.put(torch.ones(3), readers=[lab.sue.id])
    both = remote.do("aten.add.Tensor", ref(remote.load(secret)), ref(remote.load(other)))
    kept = remote.keep(both, searchable=True)
    assert not kept.may_read
    for person in (lab.sue, lab.sam):
        with pytest.raises(Forbidden):
            person.get(kept.id)
    assert torch.equal(lab.owner.get(kept.id), SECRET + 1)  # the owner may read both
    # Computing goes on with it; what comes of it is as confidential.
    again = remote.do("aten.mul.Tensor", ref(remote.load(kept.id)), 2.0)
    assert codes(remote) == []
    with pytest.raises(Forbidden):
        remote.fetch(again)
    twice = remote.keep(again)
    with pytest.raises(Forbidden):
        lab.sue.get(twice.id)
    # An approved request for exactly the result allows that, and what follows from it alone.
    lab.grant(lab.sue, kept.id, "read")
    assert torch.equal(lab.sue.get(kept.id), SECRET + 1)
    assert torch.equal(remote.fetch(again), (SECRET + 1) * 2)
    with pytest.raises(Forbidden):
        remote.fetch(both)
    with pytest.raises(Forbidden):
        lab.sue.get(twice.id)  # what is stored names the roots
    lab.owner.share(secret, readers=[lab.sue.id])
    assert torch.equal(lab.sue.get(twice.id), (SECRET + 1) * 2)
    lab.owner.call(DeleteObject(object_id=secret))  # gone: grants nothing any more
    with pytest.raises(Forbidden):
        lab.sue.get(twice.id)
    with pytest.raises(NotFound):
        remote.fetch(both)


def test_a_revoked_permission_stops_the_next_operations_and_what_was_computed(
    lab: Lab, remote: Remote, secret: str
) -> None:
    grant = lab.grant(lab.sam, secret, "read")
    sam = lab.sam.open()
    x = sam.load(secret)
    y = sam.do("aten.mul.Tensor", ref(x), 2.0)
    assert torch.equal(sam.fetch(y), SECRET * 2)
    lab.change(grant, revoked_at=lab.node.clock.now())
    z = sam.do("aten.mul.Tensor", ref(y), 2.0)
    mine = sam.do("aten.mul.Tensor", ref(sam.put(torch.ones(1))), 2.0)
    assert codes(sam) == ["forbidden"] and sam.fetch(mine).item() == 2
    for value in (x, y, z):
        with pytest.raises((Forbidden, NotFound)):
            sam.fetch(value)
        with pytest.raises((Forbidden, NotFound)):
            sam.keep(value)
    sam.close()


def test_revoking_acts_in_the_middle_of_a_pipelined_block(
    lab: Lab, remote: Remote, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message of 1,000 dependent operations; the permission goes while the third chunk is judged."""
    from grid.compute import running

    x = remote.load(secret)
    chunks = 0
    judge = running.Runner._judge

    def counted(*arguments: object) -> int:
        nonlocal chunks
        chunks += 1
        return judge(*arguments)  # type: ignore[arg-type]

    send = running.Runner._send

    def revoking(*arguments: object) -> None:
        send(*arguments)  # type: ignore[arg-type]
        if chunks == 3:
            lab.owner.share(secret, programmers=[])

    monkeypatch.setattr(running.Runner, "_judge", counted)
    monkeypatch.setattr(running.Runner, "_send", revoking)
    actions = []
    for _ in range(1000):
        out = remote.new()
        actions.append(c.Call([out], "aten.add.Tensor", [ref(x), 1.0], {}))
        x = out
    failures = remote.send(actions).failures
    assert failures[0].action == 1 + 3 * running.CHUNK and {f.code for f in failures} == {"forbidden"}
    assert len(failures) == 1000 - 3 * running.CHUNK


def test_an_expired_grant_is_none(lab: Lab, secret: str) -> None:
    now = lab.node.clock.now()
    grant = lab.grant(lab.sam, secret, "compute", expires_at=now + 3600)
    sam = lab.sam.open()
    x = sam.load(secret)
    assert codes(sam) == []
    lab.change(grant, expires_at=now - 1)
    sam.do("aten.mul.Tensor", ref(x), 2.0)
    assert codes(sam) == ["forbidden"]
    sam.close()


def test_a_use_for_computing_is_one_session_that_loads(lab: Lab, secret: str) -> None:
    grant = lab.grant(lab.sam, secret, "compute", uses_left=2)
    for left in (1, 0):
        sam = lab.sam.open()
        lab.sam.call(c.DescribeContent(object_id=secret))
        assert lab.uses(grant) == left + 1  # to look costs nothing
        x, y = sam.load(secret), sam.load(secret)
        for _ in range(3):
            x = sam.do("aten.add.Tensor", ref(x), ref(y))
        lab.sam.call(c.DescribeContent(object_id=secret))
        assert codes(sam) == [] and lab.uses(grant) == left
        sam.keep(x)
        with pytest.raises(Forbidden):  # Sam computes on it, also when that was the last use, and may ask
            sam.fetch(x)
        if left:
            sam.close()
    third = lab.sam.open()
    third.load(secret)
    assert codes(third) == ["not-found"] and lab.uses(grant) == 0
    third.close()
    lab.change(grant, revoked_at=lab.node.clock.now())  # the use is spent, and yet it can be taken back
    sam.do("aten.add.Tensor", ref(x), ref(y))
    assert codes(sam) == ["forbidden"]
    sam.close()


def test_what_this_session_spent_goes_before_what_would_lose_a_use(lab: Lab, secret: str) -> None:
    """The grant that was spent at the first load is used up; the next load must not take a use of the other."""
    now = lab.node.clock.now()
    first = lab.grant(lab.sam, secret, "compute", uses_left=1, expires_at=now + 3600)
    second = lab.grant(lab.sam, secret, "compute", uses_left=1)
    sam = lab.sam.open()
    sam.load(secret)
    sam.load(secret)
    assert codes(sam) == [] and (lab.uses(first), lab.uses(second)) == (0, 1)
    lab.change(first, revoked_at=now)
    sam.load(secret)
    assert codes(sam) == [] and lab.uses(second) == 0
    sam.close()


def test_of_what_is_derived_each_sources_grant_loses_its_use(lab: Lab, remote: Remote, secret: str) -> None:
    """One source under a grant that this session has used up, the other under one that is still to be counted."""
    other = lab.owner.put(torch.ones(3))
    lab.owner.share(other, programmers=[lab.sue.id])
    both = remote.do("aten.add.Tensor", ref(remote.load(secret)), ref(remote.load(other)))
    kept = remote.keep(both, searchable=True).id
    grants = [lab.grant(lab.sam, each, "compute", uses_left=1) for each in (secret, other)]
    sam = lab.sam.open()
    sam.load(secret)
    assert [lab.uses(each) for each in grants] == [0, 1]
    sam.load(kept)
    assert codes(sam) == [] and [lab.uses(each) for each in grants] == [0, 0]
    sam.close()


def test_a_use_for_reading_is_one_fetch(lab: Lab, secret: str) -> None:
    grant = lab.grant(lab.sam, secret, "read", uses_left=2, max_output_bytes=200)
    sam = lab.sam.open()
    x = sam.load(secret)
    assert lab.uses(grant) == 2  # computing costs none
    large = sam.do("aten.repeat.default", ref(x), ["l", 100])
    with pytest.raises(TooLarge):
        sam.fetch(large)
    assert lab.uses(grant) == 2
    assert torch.equal(sam.fetch(x), SECRET)
    index = sam.put(torch.tensor([7]))
    broken = sam.do("aten.index_select.default", ref(x), 0, ref(index))
    with pytest.raises(OperationFailed, match="index"):
        sam.fetch(broken)
    assert lab.uses(grant) == 1  # what fails costs nothing
    sam.fetch(x)
    with pytest.raises(NotFound):
        sam.fetch(x)
    sam.close()


def test_the_policy_applies_to_calls_plans_and_what_goes_out(lab: Lab, remote: Remote, secret: str) -> None:
    lab.owner.share(secret, readers=[lab.sue.id])
    x = remote.load(secret)
    lab.policy(SitePolicy(allowed_operations=["aten.sum.default"], max_output_bytes=100))
    total = remote.do("aten.sum.default", ref(x))
    double = remote.do("aten.mul.Tensor", ref(x), 2.0)
    assert codes(remote) == ["forbidden"]
    assert remote.fetch(total).item() == 8
    with pytest.raises(Forbidden):
        remote.fetch(double)
    with pytest.raises(TooLarge):
        remote.fetch(x, total, total)
    own = remote.put(torch.zeros(1000))
    assert remote.fetch(own).shape == (1000,)  # the user's own tensor is not the site's


def test_runs_fetches_and_kept_results_are_audited(lab: Lab, remote: Remote, secret: str) -> None:
    grant = lab.grant(lab.sue, secret, "read")
    x = remote.load(secret)
    for _ in range(3):
        x = remote.do("aten.mul.Tensor", ref(x), 2.0)
    remote.fetch(x)
    kept = remote.keep(x, note="for the paper")
    entries = lab.owner.call(ListAudit(actor=lab.sue.id, limit=6)).entries
    assert [entry.operation for entry in reversed(entries)] == [
        "compute.run", "compute.run", "compute.run", "compute.run", "compute.fetch", "compute.keep",
    ]  # fmt: skip
    keep, fetch, run = entries[0], entries[1], entries[2]
    assert secret in run.objects and run.detail["operations"] == 1
    assert secret in fetch.objects and fetch.grants == [grant]
    assert {secret, kept.id} <= set(keep.objects) and keep.detail["note"] == "for the paper"


def test_the_content_of_an_object_is_not_had_by_computing(lab: Lab, remote: Remote, secret: str) -> None:
    with pytest.raises(Forbidden):
        lab.sue.connection.download(GetObject(object_id=secret))
    kept = remote.keep(remote.do("aten.clone.default", ref(remote.load(secret))))
    with pytest.raises(Forbidden):
        lab.sue.get(kept.id)


def test_statistics_of_a_result_are_no_way_around_reading(lab: Lab, remote: Remote) -> None:
    """Sue may compute on a table and have statistics of it, and asks for the mean of one row, many times over."""
    table = lab.owner.put(torch.arange(20.0))
    lab.owner.share(table, programmers=[lab.sue.id], analysts=[lab.sue.id])
    lab.policy(SitePolicy(min_rows=10))
    assert lab.sue.call(Begin(object_id=table, statistics=["mean"], columns=["0"])).columns
    row = remote.do("aten.slice.Tensor", ref(remote.load(table)), 0, 7, 8)
    many = remote.do("aten.repeat.default", ref(row), ["l", 50])
    kept = remote.keep(many)
    with pytest.raises(Forbidden):
        lab.sue.call(Begin(object_id=kept.id, statistics=["mean"], columns=["0"]))
    lab.owner.share(table, readers=[lab.sue.id])
    assert lab.sue.call(Begin(object_id=kept.id, statistics=["mean"], columns=["0"])).columns


def test_members_of_a_group_compute_while_they_are_in_it(lab: Lab, remote: Remote) -> None:
    group = lab.owner.call(CreateGroup(name="analysts", users=[lab.sue.id]))
    secret = lab.owner.put(SECRET)
    lab.owner.share(secret, programmers=[f"group:{group.id}"])
    x = remote.load(secret)
    remote.do("aten.sum.default", ref(x))
    assert codes(remote) == []
    lab.owner.call(UpdateGroup(group_id=group.id, users=[]))
    remote.do("aten.sum.default", ref(x))
    assert codes(remote) == ["forbidden"]
