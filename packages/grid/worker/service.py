"""Load, run, save: a Domain (or the owner) hands a Worker objects and has plans run on them.

Whoever loads an object is its owner here; another Domain does not see it. Plans run in the sandbox. Results
are objects like those that were loaded.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from grid.concurrency.offload import offload
from grid.config import WorkerSettings, plan_limits
from grid.network.load import machine_load
from grid.node import Context, Download, Node, Service, handles
from grid.storage.objects.store import DiskObjectStore
from grid.storage.objects.tables import ObjectRow
from grid.worker.daemon import TrainingService
from syft_ext.errors import BadRequest, NotFound, TooLarge
from syft_ext.ids import new_id
from syft_ext.messages import Empty
from syft_ext.messages import worker as m
from syft_ext.store.objects import ObjectInfo

if TYPE_CHECKING:
    import torch

    from grid.worker.sandboxed import SandboxedPlan, SandboxedPlans

__all__ = ["WorkerService"]

CHUNK = 1 << 20
#: Callers whose plans run here, each in a process of their own; it is the Domain and the owner, mostly.
SANDBOXES = 4


class WorkerService(Service):
    """The operations ``worker.*`` on objects and runs."""

    def __init__(self, node: Node, *, settings: WorkerSettings) -> None:
        super().__init__(node)
        self.settings = settings
        self.store = DiskObjectStore(node.db, node.blobs)
        self._plans: OrderedDict[str, SandboxedPlans] = OrderedDict()  # by the caller's id, each apart
        self._lock = threading.Lock()
        self._runs = 0

    def stop(self) -> None:
        for plans in self._plans.values():
            plans.close()

    def _sandboxes(self, caller: str) -> SandboxedPlans:
        """The sandbox of this caller. torch comes into this process with the first object that is handed over."""
        from grid.worker.sandboxed import SandboxedPlans

        with self._lock:
            if caller not in self._plans:
                if len(self._plans) >= SANDBOXES:
                    self._plans.popitem(last=False)[1].close()
                self._plans[caller] = SandboxedPlans(
                    seconds=self.settings.plan_seconds,
                    executor=self.settings.plan_executor,
                    memory=self.settings.plan_memory,
                    permissive=self.node.gate.permissive,
                    limits=plan_limits(self.settings),
                )
            self._plans.move_to_end(caller)
            return self._plans[caller]

    # -- objects ------------------------------------------------------------------------------------

    @handles(m.LoadObject)
    def load(self, ctx: Context, message: m.LoadObject) -> m.WorkerObject:
        owner = ctx.principal.id
        self._check_room(ctx.body.size)
        info = ObjectInfo(
            id=new_id(),
            kind=message.kind,
            description=message.description,
            owner=owner,
            created_at=self.node.clock.now(),
        )
        kept = self.store.put_stream(info, self._limited(ctx.body))
        return _view(kept)

    def _check_room(self, size: int | None) -> None:
        limit = self.settings.object_limit
        if size is not None and size > limit:
            raise TooLarge("this Worker takes no object of that size", limit=limit)
        if self._used() + (size or 0) > self.settings.store_limit:
            raise TooLarge(
                "this Worker's store is full: delete what is not needed", limit=self.settings.store_limit
            )

    def _limited(self, body: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """The body, cut off with an error where it passes what a Worker takes (its size may be unknown)."""
        size, room = 0, self.settings.store_limit - self._used()
        for piece in body:
            size += len(piece)
            if size > min(self.settings.object_limit, room):
                raise TooLarge("this Worker takes no object of that size", limit=self.settings.object_limit)
            yield piece

    def _used(self) -> int:
        with self.node.db.read() as session:
            return int(session.scalar(select(func.coalesce(func.sum(ObjectRow.size), 0))) or 0)

    @handles(m.ListWorkerObjects)
    def list_objects(self, ctx: Context, message: m.ListWorkerObjects) -> m.WorkerObjectList:
        return m.WorkerObjectList(objects=[_view(info) for info in self._all(ctx)])

    @handles(m.DescribeWorkerObject)
    def describe(self, ctx: Context, message: m.DescribeWorkerObject) -> m.WorkerObject:
        return _view(self._mine(ctx, message.object_id))

    @handles(m.SaveObject)
    def save(self, ctx: Context, message: m.SaveObject) -> Download:
        info = self._mine(ctx, message.object_id)
        digest = self.store.digest(info.id)
        return Download(_view(info), lambda start, stop: self._pieces(digest, start, stop), info.size, digest)

    def _pieces(self, digest: str, start: int, stop: int) -> Iterator[bytes]:
        with self.node.blobs.open(digest) as reader:
            while start < stop and (piece := reader.read(start, min(start + CHUNK, stop))):
                start += len(piece)
                yield piece

    @handles(m.DeleteWorkerObject)
    def delete(self, ctx: Context, message: m.DeleteWorkerObject) -> Empty:
        del self.store[self._mine(ctx, message.object_id).id]
        return Empty()

    def _mine(self, ctx: Context, object_id: str) -> ObjectInfo:
        """The object, if the caller may know of it. The Worker's owner may know of all."""
        info = self.store.info(object_id)
        if ctx.principal.kind == "node" and info.owner != ctx.principal.id:
            raise NotFound("there is no such object", id=object_id)
        return info

    def _all(self, ctx: Context) -> list[ObjectInfo]:
        found: list[ObjectInfo] = []
        while page := self.store.search(limit=1000, offset=len(found)):
            found += page
        everything = ctx.principal.kind != "node"
        return [info for info in found if everything or info.owner == ctx.principal.id]

    # -- runs ---------------------------------------------------------------------------------------

    @handles(m.RunWorkerPlan)
    def run(self, ctx: Context, message: m.RunWorkerPlan) -> m.RunReply:
        begun = time.monotonic()
        self._check_room(None)
        plan_info = self._mine(ctx, message.plan)
        if plan_info.kind != "plan":
            raise BadRequest(f"object {plan_info.id} is a {plan_info.kind}, not a plan")
        infos = {name: self._mine(ctx, given.object_id) for name, given in message.inputs.items()}
        self.node.gate.check()
        plan = self._load_plan(ctx.principal.id, plan_info)
        from grid.worker.sandboxed import complete

        inputs = {name: self._tensor(infos[name], given.tensor) for name, given in message.inputs.items()}
        results = plan.run(complete(plan, inputs))
        with self._lock:
            self._runs += 1
        outputs = [
            self._keep(ctx, plan, name.name, name.role, tensor)
            for name, tensor in zip(plan.outputs, results, strict=True)
        ]
        return m.RunReply(plan_id=plan.id, outputs=outputs, seconds=time.monotonic() - begun)

    def _load_plan(self, caller: str, info: ObjectInfo) -> SandboxedPlan:
        with self.store.open(info.id) as file:
            data = file.read()
        return offload(self._sandboxes, caller).load(data)

    def _tensor(self, info: ObjectInfo, name: str) -> torch.Tensor:
        """The tensor that an input refers to, mapped from its file."""
        found = self.store[info.id].data
        if info.kind == "tensor" and not name:
            return found  # type: ignore[return-value]  # an object of this kind holds a tensor
        if info.kind == "tensors" and isinstance(found, dict) and name in found:
            return found[name]  # type: ignore[no-any-return]
        if info.kind == "list" and isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            return found[int(name)]  # type: ignore[no-any-return]
        raise BadRequest(f"object {info.id} is a {info.kind} and has no tensor {name!r}")

    def _keep(
        self, ctx: Context, plan: SandboxedPlan, name: str, role: str, tensor: torch.Tensor
    ) -> m.RunOutput:
        from syft_ext.store.content import encode

        info = ObjectInfo(
            id=new_id(),
            kind="tensor",
            description=f"{name} of {plan.name}",
            owner=ctx.principal.id,
            created_at=self.node.clock.now(),
        )
        kept = self.store.put_stream(info, self._limited(encode(tensor, "tensor")))
        shape = None if kept.shape is None else list(kept.shape)
        return m.RunOutput(name=name, role=role, object_id=kept.id, dtype=kept.dtype, shape=shape)

    # -- how it is ----------------------------------------------------------------------------------

    @handles(m.GetWorkerStatus)
    def status(self, ctx: Context, message: m.GetWorkerStatus) -> m.WorkerStatus:
        mine = self._all(ctx)
        return m.WorkerStatus(
            name=self.node.name,
            domain=self.settings.domain,
            objects=len(mine),
            bytes=sum(info.size for info in mine),
            sandbox=any(plans.warm for plans in self._plans.values()),
            runs=self._runs,
            training=self.node.service(TrainingService).training,
            load=machine_load(),
        )


def _view(info: ObjectInfo) -> m.WorkerObject:
    return m.WorkerObject(
        object_id=info.id,
        kind=info.kind,
        description=info.description,
        size=info.size,
        dtype=info.dtype,
        shape=None if info.shape is None else list(info.shape),
        created_at=info.created_at,
    )
