"""A user who keeps things at a Domain by every path there is, and an independent count of what is kept."""

from __future__ import annotations

import random
import time
from typing import Any

import torch
from sqlalchemy import text

from syft_ext.errors import Conflict, GridError, NotFound, QuotaExceeded
from syft_ext.messages import datasets as d
from syft_ext.messages import federated as f
from syft_ext.messages import objects as o
from syft_ext.messages.accounts import CreateRole
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.quotas import MyQuotas, QuotasOf, SetQuotas
from syft_ext.messages.requests import WithdrawRequest
from syft_ext.tensors import encode_tensors
from tests.accounts.people import House
from tests.governance.plan_story import client_of, mean_of_rows

FREEING = {
    "do_abort",
    "do_cancel",
    "do_delete",
    "do_delete_dataset",
    "do_discard",
    "do_pause",
    "do_withdraw",
}
LIMITS: dict[str, int | None] = {
    "stored_bytes": 40_000,
    "objects": 9,
    "object_bytes": 18_000,
    "uploads": 3,
    "upload_bytes": 12_000,
    "trainings": 4,
    "training_bytes": 20_000,
    "plans": 3,
    "plan_bytes": 6_000,
    "datasets": 2,
    "pending_requests": 3,
}


class Keeper:
    """One user, and what they know of their own; ``refused`` counts what their quotas did not allow."""

    def __init__(self, house: House, seed: int, limits: dict[str, int | None] = LIMITS) -> None:
        self.house, self.random = house, random.Random(seed)
        self.owner = house.set_up()
        self.owner.call(CreateRole(name="Data owner", can_upload_data=True))
        self.other, _ = house.add_user(self.owner, "ann@hospital.org", "Data owner")
        self.me, self.view = house.add_user(self.owner, "eve@lab.org", "Data owner")
        table = encode_tensors({"": torch.zeros(12, 3)})
        put = o.PutObject(kind="tensor", finders=[self.view.id])
        self.table = self.other.call(put, [table]).id
        self.owner.call(SetQuotas(values=limits, user_id=self.view.id))
        self.owner.call(SetPolicy(policy=SitePolicy(trainings="open", participation="open")))
        self.limits = limits
        self.uploads: list[tuple[str, int]] = []
        self.trainings: list[str] = []
        self.plans: list[str] = []
        self.refused = self.done = 0

    # -- by every path ------------------------------------------------------------------------------

    def step(self) -> None:
        """One thing at random; that a quota forbids it, or it is too late for it, is no error."""
        names = [name for name in dir(self) if name.startswith("do_")]
        (name,) = self.random.choices(names, [1 if name in FREEING else 4 for name in names])
        try:
            getattr(self, name)()
            self.done += 1
        except QuotaExceeded:
            self.refused += 1
        except (Conflict, NotFound):
            pass

    def do_put(self) -> None:
        self.me.call(o.PutObject(kind="bytes"), [bytes([self.random.randrange(3)]) * self.size(6000)])

    def do_put_again(self) -> None:
        """The same content twice is kept twice, as far as its owner is concerned."""
        self.me.call(o.PutObject(kind="bytes"), [bytes(1500)])

    def do_delete(self) -> None:
        mine = self.objects()
        if mine:
            self.me.call(o.DeleteObject(object_id=self.random.choice(mine)))

    def do_begin(self) -> None:
        size = self.size(5000)
        self.uploads.append((self.me.call(o.BeginUpload(size=size)).upload_id, size))

    def do_append(self) -> None:
        upload, size = self.one(self.uploads)
        received = self.me.call(o.UploadStatus(upload_id=upload)).received
        part = self.random.randrange(size - received + 1)
        self.me.call(o.AppendUpload(upload_id=upload, offset=received), [bytes(part)])

    def do_finish(self) -> None:
        upload, size = self.one(self.uploads)
        received = self.me.call(o.UploadStatus(upload_id=upload)).received
        self.me.call(o.AppendUpload(upload_id=upload, offset=received), [bytes(size - received)])
        self.me.call(o.FinishUpload(upload_id=upload, kind="bytes"))
        self.uploads.remove((upload, size))

    def do_abort(self) -> None:
        upload, size = self.one(self.uploads)
        self.me.call(o.AbortUpload(upload_id=upload))
        self.uploads.remove((upload, size))

    def do_host(self) -> None:
        names = {"name": "fill", "version": str(self.random.getrandbits(60))}
        self.trainings.append(
            self.me.call(
                f.HostTraining(
                    **names,
                    client_plans={},
                    client_protocols={"p": bytes(self.size(2500))},
                    client_config=names,
                    server_config={
                        "max_diffs": 1,
                        "aggregator": self.random.choice(["mean", "fedadam"]),
                    },
                )
            ).process_id
        )

    def do_model(self) -> None:
        tensors = {"w": torch.ones(self.size(1000) // 4 + 1)}
        self.me.call(f.UploadModel(process_id=self.one(self.trainings)), [encode_tensors(tensors)])

    def do_cycle(self) -> None:
        """A worker reports, and a checkpoint comes out."""
        view = self.me.call(f.GetProcess(process_id=self.one(self.trainings)))
        worker = self.me.call(f.AuthenticateWorker(model_name=view.name, model_version=view.version))
        connection = self.house.call_in(self.me.identity, worker.token)
        slot = connection.call(f.CheckIn())
        if slot.status != "accepted":
            return
        _, model = connection.download(
            f.GetModel(assignment_id=slot.assignment_id, request_key=slot.request_key)
        )
        report = f.Report(assignment_id=slot.assignment_id, request_key=slot.request_key)
        connection.call(report, [bytes(model)])
        deadline = time.monotonic() + 60
        while (
            self.me.call(f.GetProcess(process_id=view.process_id)).cycles_completed == view.cycles_completed
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def do_resume(self) -> None:
        self.owner.call(f.ResumeProcess(process_id=self.one(self.trainings)))

    def do_pause(self) -> None:
        self.me.call(f.PauseProcess(process_id=self.one(self.trainings)))

    def do_cancel(self) -> None:
        self.me.call(f.CancelProcess(process_id=self.one(self.trainings)))

    def do_discard(self) -> None:
        self.me.call(f.DiscardModels(process_id=self.one(self.trainings)))

    def do_plan(self) -> None:
        from syft_ext.client.requests import Requests

        requests = Requests(client_of(self.me))
        values = {"scale": self.random.random()}
        asked = requests.create_plan(mean_of_rows, {"xs": self.table}, "a study", values=values)
        self.plans.append(asked.id)

    def do_withdraw(self) -> None:
        plan = self.one(self.plans)
        self.me.call(WithdrawRequest(request_id=plan))
        self.plans.remove(plan)

    def do_dataset(self) -> None:
        content = encode_tensors({"": torch.zeros(self.size(50), 2)})
        put = self.me.call(o.PutObject(kind="tensor"), [content])
        assets = [d.Asset(name="data", object_id=put.id)]
        name = str(self.random.getrandbits(60))
        self.me.call(d.CreateDataset(name=name, assets=assets, published=["assets", "schema", "mock"]))

    def do_mock(self) -> None:
        dataset = self.one(self.datasets())
        self.me.call(d.MakeMock(dataset_id=dataset, asset="data", rows=self.size(300) + 1))

    def do_delete_dataset(self) -> None:
        dataset = self.one(self.datasets())
        self.me.call(d.DeleteDataset(dataset_id=dataset, objects=bool(self.random.getrandbits(1))))

    # -- what is kept -------------------------------------------------------------------------------

    def size(self, most: int) -> int:
        return self.random.randrange(most)

    def one(self, things: list[Any]) -> Any:
        if not things:
            raise NotFound("there is none yet")
        return self.random.choice(things)

    def objects(self) -> list[str]:
        return [each.id for each in self.me.call(o.ListObjects(mine=True, limit=1000)).objects]

    def datasets(self) -> list[str]:
        return [each.id for each in self.me.call(d.ListDatasets(mine=True)).datasets]

    def told(self) -> dict[str, int]:
        """What the Domain says that they keep, to them and to reviewers alike."""
        mine = self.me.call(MyQuotas()).quotas
        assert mine == self.owner.call(QuotasOf(user_id=self.view.id)).quotas
        assert {each.name: each.limit for each in mine} == self.limits
        return {each.name: each.used for each in mine}

    def counted(self) -> dict[str, int]:
        """The same from the contents themselves: whatever row of theirs refers to one, that one's length."""
        mine = {"me": self.view.id}

        def sizes(query: str) -> list[int]:
            with self.house.node.db.read() as session:
                digests = session.execute(text(query), mine).scalars().all()
            return [len(self.house.node.blobs.map(digest)) for digest in digests]

        def numbers(query: str) -> list[int]:
            with self.house.node.db.read() as session:
                return [int(value) for value in session.execute(text(query), mine).scalars().all()]

        process = "(SELECT id FROM fl_process WHERE owner = :me)"
        objects = sizes("SELECT blob_digest FROM stored_object WHERE owner = :me")
        uploads = numbers("SELECT size FROM upload WHERE owner = :me")
        trainings = sizes(f"SELECT blob_digest FROM fl_plan WHERE process_id IN {process}")
        trainings += sizes(f"SELECT blob_digest FROM fl_checkpoint WHERE process_id IN {process}")
        trainings += sizes(
            f"SELECT blob_digest FROM fl_strategy_state WHERE process_id IN {process} "
            "AND blob_digest IS NOT NULL"
        )
        coming = numbers(
            "SELECT p.step_size FROM fl_process p JOIN fl_cycle c ON c.process_id = p.id AND c.sequence = p.cycle "
            "WHERE p.owner = :me AND p.status IN ('running', 'paused') AND c.status NOT IN "
            "('completed', 'expired', 'failed', 'cancelled')"
        )
        alive = numbers(
            "SELECT 1 FROM fl_process p WHERE owner = :me AND "
            "(status IN ('created', 'waiting', 'running', 'paused') OR "
            "EXISTS (SELECT 1 FROM fl_checkpoint c WHERE c.process_id = p.id))"
        )
        asked = "FROM plan_request p JOIN request r ON r.id = p.request_id WHERE r.user_id = :me"
        plans = sizes(f"SELECT p.plan_digest {asked}")
        values = sizes(f"SELECT p.values_digest {asked} AND p.values_digest IS NOT NULL")
        return {
            "stored_bytes": sum(objects + uploads + trainings + coming + plans + values),
            "objects": len(objects),
            "object_bytes": sum(objects),
            "uploads": len(uploads),
            "upload_bytes": sum(uploads),
            "trainings": len(alive),
            "training_bytes": sum(trainings + coming),
            "plans": len(plans),
            "plan_bytes": sum(plans + values),
            "datasets": sum(numbers("SELECT count(*) FROM dataset WHERE owner_id = :me")),
            "pending_requests": sum(
                numbers("SELECT count(*) FROM request WHERE user_id = :me AND state = 'pending'")
            ),
        }

    def free_everything(self) -> None:
        """Delete, abort, withdraw, cancel and discard whatever there is."""
        for dataset in self.datasets():
            self.me.call(d.DeleteDataset(dataset_id=dataset, objects=True))
        for each in self.objects():
            self.me.call(o.DeleteObject(object_id=each))
        for upload, _ in self.uploads:
            self.me.call(o.AbortUpload(upload_id=upload))
        for plan in self.plans:
            self.me.call(WithdrawRequest(request_id=plan))
        for training in self.trainings:
            for message in (f.CancelProcess(process_id=training), f.DiscardModels(process_id=training)):
                try:
                    self.me.call(message)
                except GridError as error:
                    assert isinstance(error, Conflict), error
