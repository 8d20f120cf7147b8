from __future__ import annotations

import threading

import blake3
import pytest
import torch

from grid.catalogue.uploads import UploadService
from grid.storage.objects.references import sweep
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, NotFound
from syft_ext.messages.accounts import CreateGroup, DeleteGroup, GetMe
from syft_ext.messages.objects import (
    AbortUpload,
    AppendUpload,
    BeginUpload,
    DeleteObject,
    DescribeObject,
    FinishUpload,
    GetObject,
    ListObjects,
    ObjectView,
    PutObject,
    UpdateObject,
    UploadStatus,
)
from syft_ext.tensors import decode_tensors, encode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House


def read(connection: Connection, object_id: str) -> bytes:
    view, data = connection.download(GetObject(object_id=object_id))
    assert view.size == len(data)
    return bytes(data)


def test_a_tensor_comes_back_as_it_was(house: House) -> None:
    owner = house.set_up()
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    content = encode_tensors({"": tensor})
    view = owner.call(PutObject(kind="tensor", description="ages", tags=["#x", "#y"]), [content])
    assert (view.kind, view.shape, view.size) == ("tensor", [3, 4], len(content))
    assert "32" in view.dtype.lower()
    assert view.may_read
    assert torch.equal(decode_tensors(read(owner, view.id))[""], tensor)
    assert owner.call(DescribeObject(object_id=view.id)) == view


def test_ranges_are_served(house: House) -> None:
    owner = house.set_up()
    content = bytes(range(256)) * 9000  # more than two pieces
    view = owner.call(PutObject(), [content])
    from grid.node import Context

    answer = house.node.dispatch(
        Context(house.node.principal_of_token(owner.token)), GetObject(object_id=view.id)
    )
    owner.call(DeleteObject(object_id=view.id))  # a download that was allowed goes on
    sweep(house.node.db, house.node.blobs)
    assert b"".join(answer.chunks(5, 1_500_000)) == content[5:1_500_000]
    assert b"".join(answer.chunks(0, answer.size)) == content
    assert answer.digest == blake3.blake3(content).hexdigest()


NOT_OF_THEIR_KIND = [
    ("tensor", b"garbage"),
    ("tensor", encode_tensors({"a": torch.ones(2)})),
    ("list", encode_tensors({"1": torch.ones(2)})),
    ("tensors", encode_tensors({"a": torch.ones(2)})[:-1]),
    ("wizard", b""),
    ("int", b""),
    ("float", b"123"),
    ("bool", b"\2"),
    ("str", b"\xff"),
]


def test_content_that_is_not_of_its_kind_leaves_nothing(house: House) -> None:
    owner = house.set_up()
    for kind, content in NOT_OF_THEIR_KIND:
        with pytest.raises(BadRequest):
            owner.call(PutObject(kind=kind), [content])
    assert owner.call(ListObjects()).objects == []
    sweep(house.node.db, house.node.blobs)
    assert list(house.node.blobs.digests()) == []


def test_objects_exist_for_those_only_who_may_find_or_read_them(house: House) -> None:
    owner = house.set_up()
    ann, ann_view = house.add_user(owner, "ann@x.org")
    bob, _ = house.add_user(owner, "bob@x.org")
    view = owner.call(PutObject(), [b"secret"])
    for refused in (
        GetObject(object_id=view.id),
        DescribeObject(object_id=view.id),
        UpdateObject(object_id=view.id, tags=["mine"]),
        DeleteObject(object_id=view.id),
    ):
        with pytest.raises(NotFound, match=r"^there is no such object$"):
            ann.call(refused)
    missing = "0" * 32
    with pytest.raises(NotFound, match=r"^there is no such object$"):
        ann.call(DescribeObject(object_id=missing))

    owner.call(UpdateObject(object_id=view.id, searchable=True))
    seen = ann.call(DescribeObject(object_id=view.id))
    assert (seen.may_read, seen.readers, seen.finders) == (False, [], [])
    with pytest.raises(Forbidden):
        ann.call(GetObject(object_id=view.id))
    for refused in (UpdateObject(object_id=view.id, tags=["mine"]), DeleteObject(object_id=view.id)):
        with pytest.raises(Forbidden):
            ann.call(refused)

    changed = owner.call(UpdateObject(object_id=view.id, searchable=False, readers=[ann_view.id]))
    assert ann_view.id in changed.readers and "*" not in changed.finders
    assert read(ann, view.id) == b"secret"
    assert ann.call(ListObjects()).objects == []  # to read is not to find
    with pytest.raises(NotFound):
        bob.call(GetObject(object_id=view.id))
    owner.call(UpdateObject(object_id=view.id, readers=[]))
    with pytest.raises(NotFound):
        ann.call(GetObject(object_id=view.id))
    assert read(owner, view.id) == b"secret"


def test_groups_read_together_until_they_are_gone(house: House) -> None:
    owner = house.set_up()
    ann, ann_view = house.add_user(owner, "ann@x.org")
    group = owner.call(CreateGroup(name="oncology", users=[ann_view.id]))
    view = owner.call(PutObject(readers=[f"group:{group.id}"], finders=[f"group:{group.id}"]), [b"shared"])
    assert read(ann, view.id) == b"shared"
    assert [found.id for found in ann.call(ListObjects()).objects] == [view.id]
    owner.call(DeleteGroup(group_id=group.id))
    with pytest.raises(NotFound):
        ann.call(GetObject(object_id=view.id))


def test_a_manager_changes_what_is_not_theirs_and_does_not_read_it(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    view = owner.call(PutObject(), [b"secret"])
    assert admin.call(DescribeObject(object_id=view.id)).readers == [owner.call(GetMe()).id]
    with pytest.raises(Forbidden):
        admin.call(GetObject(object_id=view.id))
    admin.call(UpdateObject(object_id=view.id, description="old"))
    admin.call(DeleteObject(object_id=view.id))


def test_lists(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    ann, _ = house.add_user(owner, "ann@x.org")

    def put(who: Connection, **fields: object) -> str:
        house.clock.advance(1)
        view: ObjectView = who.call(PutObject(**fields), [b"x"])
        return view.id

    first = put(owner, description="Énergie", tags=["a", "b"], searchable=True)
    second = put(owner, description="energy", tags=["a"], searchable=True)
    third = put(admin, kind="str", tags=["A"], searchable=True)
    put(admin, description="hidden")

    def found(**query: object) -> list[str]:
        return [view.id for view in ann.call(ListObjects(**query)).objects]

    assert found() == [third, second, first]
    assert found(limit=1, offset=1) == [second]
    assert found(text="ENERGIE") == [first]
    assert found(text="b e", tags=["a"]) == [first]
    assert found(tags=["a"]) == [second, first]
    assert found(kind="str") == [third]
    assert found(mine=True) == []
    assert len(admin.call(ListObjects(mine=True)).objects) == 2
    assert len(admin.call(ListObjects()).objects) == 4


def test_uploading_needs_the_flag(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    for message in (PutObject(), BeginUpload(size=1)):
        with pytest.raises(Forbidden, match="can_upload_data"):
            ann.call(message, [b"x"] if isinstance(message, PutObject) else [])


# -- resumable uploads ---------------------------------------------------------------------------------


def test_an_upload_goes_on_after_a_restart(house: House) -> None:
    owner = house.set_up()
    content = bytes(range(256)) * 8000
    begun = owner.call(BeginUpload(size=len(content), digest=blake3.blake3(content).hexdigest()))
    assert (
        owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [content[:1_000_000]]).received
        == 1_000_000
    )
    house.clock.advance(1)
    house.restart()
    owner = house.call_in(owner.identity, owner.token)
    status = owner.call(UploadStatus(upload_id=begun.upload_id))
    assert (status.received, status.size) == (1_000_000, len(content))
    with pytest.raises(Conflict) as caught:
        owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [content])
    assert caught.value.extra["received"] == 1_000_000
    with pytest.raises(Conflict):
        owner.call(FinishUpload(upload_id=begun.upload_id))
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=1_000_000), [content[1_000_000:]])
    finish = FinishUpload(upload_id=begun.upload_id, tags=["big"], searchable=True)
    view = owner.call(finish)
    assert read(owner, view.id) == content
    assert owner.call(finish) == view  # the answer was lost, the call repeated
    assert [found.id for found in owner.call(ListObjects()).objects] == [view.id]
    with pytest.raises(NotFound):
        owner.call(UploadStatus(upload_id=begun.upload_id))


def test_uploads_belong_to_whoever_began_them(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    begun = owner.call(BeginUpload(size=4))
    for message in (
        AppendUpload(upload_id=begun.upload_id, offset=0),
        UploadStatus(upload_id=begun.upload_id),
        FinishUpload(upload_id=begun.upload_id),
        AbortUpload(upload_id=begun.upload_id),
    ):
        with pytest.raises(NotFound):
            admin.call(message, [b"evil"] if isinstance(message, AppendUpload) else [])
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [b"good"])
    view = owner.call(FinishUpload(upload_id=begun.upload_id))
    with pytest.raises(NotFound):
        admin.call(FinishUpload(upload_id=begun.upload_id))  # repeating is the owner's too
    assert read(owner, view.id) == b"good"


def test_a_wrong_digest_and_an_abort_leave_nothing(house: House) -> None:
    owner = house.set_up()
    begun = owner.call(BeginUpload(size=4, digest="0" * 64))
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [b"evil"])
    with pytest.raises(BadRequest):
        owner.call(FinishUpload(upload_id=begun.upload_id))
    other = owner.call(BeginUpload(size=4))
    owner.call(AppendUpload(upload_id=other.upload_id, offset=0), [b"ev"])
    owner.call(AbortUpload(upload_id=other.upload_id))
    for upload in (begun, other):
        with pytest.raises(NotFound):
            owner.call(UploadStatus(upload_id=upload.upload_id))
    sweep(house.node.db, house.node.blobs)
    assert list(house.node.blobs.digests()) == []
    assert list((house.home / "blobs" / "uploads").iterdir()) == []


def test_an_upload_that_is_not_of_its_kind_can_be_finished_as_another(house: House) -> None:
    owner = house.set_up()
    begun = owner.call(BeginUpload(size=4))
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [b"text"])
    with pytest.raises(BadRequest):
        owner.call(FinishUpload(upload_id=begun.upload_id, kind="tensor"))
    assert owner.call(FinishUpload(upload_id=begun.upload_id, kind="str")).kind == "str"


def test_abandoned_uploads_are_removed(house: House) -> None:
    owner = house.set_up()
    begun = owner.call(BeginUpload(size=4))
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [b"ab"])
    house.clock.advance(8 * 86400.0)
    owner = house.log_in()
    other = owner.call(BeginUpload(size=4))
    assert sum(service.tidy() for service in house.node.services) == 1  # as housekeeping does every hour
    with pytest.raises(NotFound):
        owner.call(UploadStatus(upload_id=begun.upload_id))
    owner.call(UploadStatus(upload_id=other.upload_id))


def test_one_upload_from_many_threads_becomes_one_object(house: House) -> None:
    owner = house.set_up()
    begun = owner.call(BeginUpload(size=4))
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [b"once"])
    outcomes: list[str | GridError] = []

    def finish() -> None:
        try:
            mine = house.call_in(owner.identity, owner.token)
            outcomes.append(mine.call(FinishUpload(upload_id=begun.upload_id)).id)
        except GridError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=finish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = {outcome for outcome in outcomes if isinstance(outcome, str)}
    assert ids == {begun.upload_id}
    assert {type(error) for error in outcomes if not isinstance(error, str)} <= {Conflict}
    assert len(owner.call(ListObjects()).objects) == 1


def test_the_service_is_part_of_the_node(house: House) -> None:
    assert isinstance(house.node.service(UploadService), UploadService)
