"""Who decides for others: whoever owns all that an object was made from, and nobody else. On both engines."""

from __future__ import annotations

import pytest
from sqlalchemy import delete

from grid.access.decision import governs
from grid.access.tables import ObjectSource
from grid.storage.objects.tables import ObjectPermission, ObjectRow
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.messages.accounts import UpdateUser
from syft_ext.messages.datasets import Asset, CreateDataset, UpdateDataset
from syft_ext.messages.grants import CreateGrant, ListGrants
from syft_ext.messages.objects import DeleteObject, DescribeObject, GetObject, PutObject, UpdateObject
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import ApproveRequest, CreateRequest, GetRequest, ListRequests
from syft_ext.tensors import encode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House
from tests.governance.test_grants import Story


@pytest.fixture
def story(house: House) -> Story:
    return Story(house)


def given_to(story: Story, owner: str, *sources: str) -> str:
    """An object of ``owner``'s, computed from ``sources``, that only Eve may find."""
    made = story.ann.call(PutObject(kind="bytes", finders=[story.eve_view.id]), [b"computed"]).id
    with story.house.node.db.transaction() as session:
        session.get_one(ObjectRow, made).owner = owner
        session.execute(delete(ObjectPermission).where(ObjectPermission.object_id == made))
        listed = {("search", story.eve_view.id), ("search", owner), *(() if sources else {("read", owner)})}
        session.add_all(
            ObjectPermission(object_id=made, scope=scope, verify_key=subject) for scope, subject in listed
        )
        session.add_all(ObjectSource(object_id=made, source_id=source) for source in sources)
    return str(made)


@pytest.fixture
def derived(story: Story) -> str:
    """Sue computed it from Ann's table: it is Sue's to describe, and Ann's to release."""
    return given_to(story, story.sue_view.id, story.table)


def read(who: Connection, object_id: str) -> bytes:
    return who.download(GetObject(object_id=object_id))[1]


def test_who_derived_it_does_not_release_it(story: Story, derived: str) -> None:
    with pytest.raises(Forbidden):
        read(story.sue, derived)
    with pytest.raises(NotFound):
        story.sue.call(CreateGrant(object_id=derived, user_id=story.eve_view.id, scope="read"))
    for change in ({"readers": [story.sue_view.id]}, {"readers": []}, {"programmers": [story.sue_view.id]}):
        with pytest.raises(Forbidden, match="owner of the data"):
            story.sue.call(UpdateObject(object_id=derived, **change))  # type: ignore[arg-type]
    story.sue.call(UpdateObject(object_id=derived, description="my result", tags=["mean"]))
    asked = story.sue.call(CreateRequest(object_id=derived))
    with pytest.raises(Forbidden):
        story.sue.call(ApproveRequest(request_id=asked.id))
    assert [each.id for each in story.ann.call(ListRequests()).requests] == [asked.id]
    assert story.ann.call(ApproveRequest(request_id=asked.id)).state == "approved"
    assert read(story.sue, derived) == b"computed"
    assert [each.object_id for each in story.ann.call(ListGrants()).grants] == [derived]


def test_who_owns_the_data_finds_and_reads_what_was_derived(story: Story, derived: str) -> None:
    """They decide on requests for it: they have to see what it is. Others who read the data do not find it."""
    assert story.ann.call(DescribeObject(object_id=derived)).id == derived
    assert read(story.ann, derived) == b"computed"
    story.ann.call(UpdateObject(object_id=story.table, readers=[story.officer_view.id]))
    with pytest.raises(NotFound):
        story.officer.call(DescribeObject(object_id=derived))


def test_who_derived_it_does_not_publish_it_as_a_mock(story: Story, house: House) -> None:
    dan, view = house.add_user(house.log_in(), "dan@lab.org", "Administrator")
    derived, own = given_to(story, view.id, story.table), given_to(story, view.id)
    for asset in (Asset(name="a", object_id=derived), Asset(name="a", object_id=own, mock_id=derived)):
        with pytest.raises(NotFound):
            dan.call(CreateDataset(name="stolen", assets=[asset]))
    assert dan.call(CreateDataset(name="mine", assets=[Asset(name="a", object_id=own)])).assets


def test_a_source_of_somebody_else_or_gone_takes_the_decision_away(story: Story, derived: str) -> None:
    db = story.house.node.db
    other = given_to(story, story.eve_view.id)
    with db.read() as session:
        assert governs(session, story.ann_view.id, derived)
        assert not governs(session, story.sue_view.id, derived) and not governs(session, "", derived)
    with db.transaction() as session:
        session.add(ObjectSource(object_id=derived, source_id=other))
    with db.read() as session:
        assert not any(governs(session, who.id, derived) for who in (story.ann_view, story.eve_view))
    story.ann.call(DeleteObject(object_id=story.table))
    with db.read() as session:
        assert not any(governs(session, who.id, derived) for who in (story.ann_view, story.eve_view))


def test_a_manager_reads_nothing_by_changing_lists_or_datasets(story: Story, house: House) -> None:
    manager, view = house.add_user(house.log_in(), "manager@x.org", "Administrator")
    for change in ({"readers": [view.id]}, {"analysts": [view.id]}):
        with pytest.raises(Forbidden, match="owner of the data"):
            manager.call(UpdateObject(object_id=story.table, **change))  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        read(manager, story.table)
    other = story.ann.call(PutObject(kind="tensors"), [encode_tensors({})]).id
    dataset = story.ann.call(CreateDataset(name="trial", assets=[Asset(name="a", object_id=other)]))
    shown = Asset(name="a", object_id=other, mock_id=story.table)
    with pytest.raises(Forbidden, match="for its owner"):
        manager.call(UpdateDataset(dataset_id=dataset.id, assets=[shown]))
    manager.call(UpdateDataset(dataset_id=dataset.id, description="described"))
    assert manager.call(DescribeObject(object_id=story.table)).readers == [story.ann_view.id]


def test_a_grant_is_no_way_around_several_reviewers(story: Story, house: House) -> None:
    house.log_in().call(SetPolicy(policy=SitePolicy(required_approvals=2)))
    with pytest.raises(Forbidden, match="2 reviewers"):
        story.grant(story.officer)
    story.grant(story.ann)  # Ann's own data
    assert story.fetch(story.sue) == story.size


def test_who_could_not_approve_any_more_does_not_count(story: Story, house: House) -> None:
    owner = house.log_in()
    second, second_view = house.add_user(owner, "second@x.org", "Compliance Officer")
    owner.call(SetPolicy(policy=SitePolicy(required_approvals=2)))
    asked = story.sue.call(CreateRequest(object_id=story.table))
    assert second.call(ApproveRequest(request_id=asked.id, uses=1)).state == "pending"
    owner.call(UpdateUser(user_id=second_view.id, disabled=True))
    assert story.officer.call(ApproveRequest(request_id=asked.id)).state == "pending"
    with pytest.raises(Forbidden):
        story.fetch(story.sue)
    approved = story.ann.call(ApproveRequest(request_id=asked.id))
    assert approved.state == "approved" and len(approved.decisions) == 3
    assert {each.name for each in approved.decisions} == {
        "second@x.org",
        "officer@hospital.org",
        "ann@hospital.org",
    }
    story.fetch(story.sue)
    story.fetch(story.sue)  # the condition of whoever does not count does not, either


def test_what_is_gone_cannot_be_approved(story: Story) -> None:
    asked = story.sue.call(CreateRequest(object_id=story.table))
    story.ann.call(DeleteObject(object_id=story.table))
    with pytest.raises(Conflict, match="gone"):
        story.officer.call(ApproveRequest(request_id=asked.id))
    assert story.officer.call(GetRequest(request_id=asked.id)).state == "pending"
