"""What a user gives up, is refused or never goes on with: it is off their quota at once, waits as theirs, and is
gone from the disk when its time is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from blake3 import blake3

from grid.catalogue.uploads import UploadService
from grid.federated.service import FederatedService
from grid.quotas.service import QuotaService
from grid.storage.objects.references import purge, sweep
from syft_ext.errors import BadRequest
from syft_ext.messages import datasets as d
from syft_ext.messages import federated as f
from syft_ext.messages import objects as o
from syft_ext.messages.requests import DenyRequest, WithdrawRequest
from syft_ext.tensors import encode_tensors
from tests.accounts.people import House
from tests.governance.conftest import SERVICES, WarmProcesses
from tests.quotas.keeper import Keeper

GRACE, ROOM, LIFETIME = 100.0, 1 << 20, 8 * 86_400.0


@pytest.fixture
def keeper(tmp_path: Path, sqlite_url: str, sandbox: WarmProcesses) -> Iterator[Keeper]:
    house = House(tmp_path / "home", sqlite_url, services=(*SERVICES, QuotaService, FederatedService))
    waits = house.node.blobs.quarantine
    assert waits is not None
    waits.grace, waits.most = GRACE, ROOM
    yield Keeper(house, 0)
    house.node.stop()


def _upload(keeper: Keeper, received: int, size: int = 2000, digest: str = "") -> str:
    upload: str = keeper.me.call(o.BeginUpload(size=size, digest=digest)).upload_id
    keeper.me.call(o.AppendUpload(upload_id=upload, offset=0), [bytes(received)])
    return upload


def _delete_object(keeper: Keeper) -> None:
    made = keeper.me.call(o.PutObject(kind="bytes"), [b"x" * 2000])
    keeper.me.call(o.DeleteObject(object_id=made.id))


def _abort(keeper: Keeper) -> None:
    keeper.me.call(o.AbortUpload(upload_id=_upload(keeper, 1500)))


def _abort_finished(keeper: Keeper) -> None:
    """Whole, and its answer was lost: made a content, and of no object yet."""
    upload = _upload(keeper, 2000)
    keeper.house.node.service(UploadService)._uploads.finish(upload).release()
    keeper.me.call(o.AbortUpload(upload_id=upload))


def _refused(keeper: Keeper) -> None:
    upload = _upload(keeper, 2000, digest=str(blake3(b"something else").hexdigest()))
    with pytest.raises(BadRequest, match="digest"):
        keeper.me.call(o.FinishUpload(upload_id=upload, kind="bytes"))


def _expired(keeper: Keeper) -> None:
    _upload(keeper, 1500)
    _outlive(keeper)


def _expired_finished(keeper: Keeper) -> None:
    keeper.house.node.service(UploadService)._uploads.finish(_upload(keeper, 2000)).release()
    _outlive(keeper)


def _outlive(keeper: Keeper) -> None:
    clock = keeper.house.clock
    clock.advance(LIFETIME)  # type: ignore[attr-defined]
    assert keeper.house.node.service(UploadService).tidy() == 1
    keeper.me = keeper.house.log_in("eve@lab.org")
    keeper.owner = keeper.house.log_in()


def _host(keeper: Keeper, number: int) -> str:
    names = {"name": "waits", "version": str(number)}
    message = f.HostTraining(
        **names, client_plans={}, client_config=names, server_config={"max_diffs": 1},
        client_protocols={"p": bytes([number]) * 900},
    )  # fmt: skip
    training: str = keeper.me.call(message).process_id
    keeper.me.call(
        f.UploadModel(process_id=training), [encode_tensors({"w": torch.full((200,), float(number))})]
    )
    return training


def _cancel_training(keeper: Keeper) -> None:
    keeper.me.call(f.CancelProcess(process_id=_host(keeper, 1)))


def _discard_training(keeper: Keeper) -> None:
    keeper.trainings = [_host(keeper, 2)]
    keeper.do_cycle()
    keeper.me.call(f.CancelProcess(process_id=keeper.trainings[0]))
    keeper.me.call(f.DiscardModels(process_id=keeper.trainings[0]))


def _withdraw_plan(keeper: Keeper) -> None:
    keeper.do_plan()
    keeper.me.call(WithdrawRequest(request_id=keeper.plans[0]))


def _withdraw_denied_plan(keeper: Keeper) -> None:
    keeper.do_plan()
    keeper.other.call(DenyRequest(request_id=keeper.plans[0], reason="no"))
    keeper.me.call(WithdrawRequest(request_id=keeper.plans[0]))


def _delete_mock(keeper: Keeper) -> None:
    put = keeper.me.call(o.PutObject(kind="tensor"), [encode_tensors({"": torch.ones(300, 2)})])
    asset = d.Asset(name="data", object_id=put.id)
    made = keeper.me.call(d.CreateDataset(name="m", assets=[asset], published=["assets", "schema", "mock"]))
    keeper.me.call(d.MakeMock(dataset_id=made.id, asset="data", rows=100))
    keeper.me.call(d.DeleteDataset(dataset_id=made.id, objects=True))


Way = Callable[[Keeper], None]
#: How a user comes to keep something no longer → the contents or uploads that wait then.
WAYS: dict[Way, int] = {
    _delete_object: 1,
    _abort: 1,
    _abort_finished: 1,
    _refused: 1,
    _expired: 1,
    _expired_finished: 1,
    _cancel_training: 2,
    _discard_training: 3,
    _withdraw_plan: 2,
    _withdraw_denied_plan: 2,
    _delete_mock: 2,
}


def _contents(root: Path) -> set[Path]:
    folders = (root / "contents", root / "uploads", root / "quarantine")
    return {path for folder in folders for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_it_waits_as_theirs_and_then_is_gone(keeper: Keeper, way: Way) -> None:
    node = keeper.house.node
    store = node.blobs.quarantine
    assert store is not None
    root = node.home / "blobs"
    before = _contents(root)
    told = keeper.told()
    way(keeper)
    assert keeper.told() == told, "off their quota at once"
    waiting = {each.name for each in store.listed()}
    assert len(waiting) == WAYS[way]
    owners = root / "quarantine" / "owners"
    assert {str((owners / name).readlink()) for name in waiting} == {keeper.view.id}
    sweep(node.db, node.blobs)
    assert {each.name for each in store.listed()} == waiting, "nothing was left to the hourly sweep"
    assert purge(node.db, node.blobs) == 0
    keeper.house.clock.advance(GRACE + 1)  # type: ignore[attr-defined]
    assert purge(node.db, node.blobs) == WAYS[way]
    assert _contents(root) == before


def test_who_begins_and_aborts_again_and_again_fills_no_disk(keeper: Keeper) -> None:
    """What waits of uploads is within the quarantine's room, and pushes out nobody else's."""
    mistaken = keeper.other.call(o.PutObject(kind="bytes"), [b"a" * 2000])
    keeper.other.call(o.DeleteObject(object_id=mistaken.id))
    store = keeper.house.node.blobs.quarantine
    assert store is not None
    (kept,) = store.listed()
    store.most = 10_000
    for _ in range(12):
        _abort(keeper)
    assert store.crowded, "a purge is due before its time"
    purge(keeper.house.node.db, keeper.house.node.blobs)
    waiting = list(store.listed())
    assert kept in waiting and sum(each.size for each in waiting) <= 10_000
    assert sum(each.why == "abandoned" for each in waiting) == 5
