"""What is counted is what is kept, by every path, and never more than the quota."""

from __future__ import annotations

import pytest
import torch

from grid.storage.objects.references import sweep
from syft_ext.errors import BadRequest, Forbidden, NotFound, QuotaExceeded
from syft_ext.messages import federated as f
from syft_ext.messages import objects as o
from syft_ext.messages.quotas import ListQuotas, MyQuotas, SetQuotas
from syft_ext.tensors import encode_tensors
from tests.accounts.people import House
from tests.federated.driver import together
from tests.quotas.keeper import LIMITS, Keeper

STEPS = 120


@pytest.mark.parametrize("seed", range(3))
def test_a_random_life(house: House, seed: int) -> None:
    """The sum that is told equals what the store holds, and no path leads past a quota."""
    keeper = Keeper(house, seed)
    for _ in range(STEPS):
        keeper.step()
        told = keeper.told()
        assert told == keeper.counted()
        assert all(told[name] <= limit for name, limit in LIMITS.items() if limit is not None)
    assert keeper.done > STEPS / 4 and keeper.refused > STEPS / 20, (keeper.done, keeper.refused)
    keeper.free_everything()
    assert not any(keeper.told().values())
    sweep(house.node.db, house.node.blobs)
    digests = set(house.node.blobs.digests())
    with house.node.db.read() as session:
        from grid.storage.objects.tables import BlobRow

        assert {row.digest for row in session.query(BlobRow)} == digests
    assert len(digests) == 1, "the other user's table, and nothing of theirs"


@pytest.mark.parametrize("way", ["put", "upload", "model", "both"])
def test_two_that_race_for_the_last_bytes(house: House, way: str) -> None:
    keeper = Keeper(house, 0, {**LIMITS, "stored_bytes": 9000, "training_bytes": 9000, "upload_bytes": 9000})
    model = encode_tensors({"w": torch.ones(700)})  # 2.9 kB, twice: one that is there, and one that will come
    trainings = []
    for number in range(2):
        names = {"name": "race", "version": str(number)}
        message = f.HostTraining(
            **names, client_plans={}, client_config=names, server_config={"max_diffs": 1}
        )
        trainings.append(keeper.me.call(message).process_id)
    connections = [house.log_in("eve@lab.org") for _ in range(2)]

    def attempt(index: int) -> str:
        me = connections[index]
        try:
            if way == "put" or (way == "both" and index):
                me.call(o.PutObject(kind="bytes"), [bytes(5000)])
            elif way == "upload":
                me.call(o.BeginUpload(size=5000))
            else:
                me.call(f.UploadModel(process_id=trainings[index]), [model])
        except QuotaExceeded:
            return "refused"
        return "kept"

    assert sorted(map(str, together(2, attempt))) == ["kept", "refused"]
    assert keeper.told() == keeper.counted()
    assert keeper.told()["stored_bytes"] <= 9000


def test_what_streams_in_ends_at_the_quota(house: House) -> None:
    """Nothing more is read, let alone kept, of what would not fit."""
    keeper = Keeper(house, 0)
    given = []

    def endless():  # type: ignore[no-untyped-def]
        while True:
            given.append(1000)
            yield bytes(1000)

    from grid.access.viewer import Viewer
    from grid.catalogue.service import ObjectService

    objects = house.node.service(ObjectService)._objects
    with pytest.raises(QuotaExceeded):
        objects.put(Viewer(keeper.view.id, frozenset()), o.PutObject(kind="bytes"), endless())
    assert sum(given) <= 19_000
    assert keeper.told() == keeper.counted() == dict.fromkeys(LIMITS, 0)


def test_a_training_without_room_is_paused_and_goes_on_when_there_is(house: House) -> None:
    keeper = Keeper(house, 0, {**LIMITS, "training_bytes": 4000, "object_bytes": 40_000})
    keeper.do_host()
    keeper.me.call(f.CancelProcess(process_id=keeper.trainings.pop()))
    names = {"name": "grows", "version": "1"}
    host = f.HostTraining(**names, client_plans={}, client_config=names, server_config={"max_diffs": 1})
    training = keeper.me.call(host).process_id
    keeper.trainings = [training]
    with pytest.raises(QuotaExceeded):  # itself it would fit, with what comes of it it does not
        keeper.me.call(f.UploadModel(process_id=training), [encode_tensors({"w": torch.ones(600)})])
    keeper.me.call(f.UploadModel(process_id=training), [encode_tensors({"w": torch.ones(400)})])
    keeper.do_cycle()
    view = keeper.me.call(f.GetProcess(process_id=training))
    assert (view.status, view.cycles_completed, view.checkpoint) == ("paused", 1, 2)
    assert "quota of training bytes" in view.reason
    assert keeper.told() == keeper.counted()
    with pytest.raises(QuotaExceeded):
        keeper.me.call(f.ResumeProcess(process_id=training))
    keeper.owner.call(SetQuotas(values={"training_bytes": None}, user_id=keeper.view.id))
    assert keeper.me.call(f.ResumeProcess(process_id=training)).status == "running"
    keeper.do_cycle()
    assert keeper.me.call(f.GetProcess(process_id=training)).cycles_completed == 2


def test_whom_a_quota_is_set_for(house: House) -> None:
    keeper = Keeper(house, 0)

    def mine(name: str) -> tuple[int | None, str]:
        (found,) = (each for each in keeper.me.call(MyQuotas()).quotas if each.name == name)
        return found.limit, found.set_for

    names = list(LIMITS)
    keeper.owner.call(SetQuotas(reset=names, user_id=keeper.view.id))
    assert mine("datasets") == (100_000, "default")
    keeper.owner.call(SetQuotas(values={"datasets": 5}))
    assert mine("datasets") == (5, "everybody")
    keeper.owner.call(SetQuotas(values={"datasets": None}, role="Data owner"))
    assert mine("datasets") == (None, "role")
    keeper.owner.call(SetQuotas(values={"datasets": 1}, role="User"))
    assert mine("datasets") == (None, "role")
    found = keeper.owner.call(SetQuotas(values={"datasets": 0}, user_id=keeper.view.id)).quotas
    assert mine("datasets") == (0, "user")
    assert {(each.set_for, each.role or each.email, each.limit) for each in found} == {
        ("everybody", "", 5),
        ("role", "Data owner", None),
        ("role", "User", 1),
        ("user", "eve@lab.org", 0),
    }
    assert keeper.owner.call(ListQuotas()).quotas == found
    for message in (
        SetQuotas(),
        SetQuotas(values={"datasets": 1}, reset=["datasets"]),
        SetQuotas(values={"datasets": 1}, user_id=keeper.view.id, role="User"),
    ):
        with pytest.raises(BadRequest):
            keeper.owner.call(message)
    for message in (
        SetQuotas(values={"datasets": 1}, user_id="0" * 32),
        SetQuotas(values={"datasets": 1}, role="Nobody"),
    ):
        with pytest.raises(NotFound):
            keeper.owner.call(message)
    with pytest.raises(Forbidden):
        keeper.me.call(SetQuotas(values={"stored_bytes": None}, user_id=keeper.view.id))
