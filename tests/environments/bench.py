"""What a user does in an environment, as messages on whatever connection they have."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from grid.environments.processes import ProcessHandle, command_of, processes
from syft_ext.messages import environments as m
from syft_ext.messages.compute import (
    Action,
    Call,
    ComputeSessionView,
    FetchValues,
    OpenComputeSession,
    Put,
    RanActions,
    RunActions,
)
from syft_ext.store.content import decode
from syft_ext.transport import Connection

__all__ = ["ADD", "ComputeClient", "create", "process_in", "seen"]

ADD = Call([3], "aten.add.Tensor", [["r", 1], ["r", 1]], {})


class ComputeClient:
    """A session of somebody's."""

    def __init__(self, who: Connection, session_id: str, done: int = 0) -> None:
        self.who, self.id, self.done = who, session_id, done

    @classmethod
    def open(cls, who: Connection, environment_id: str) -> ComputeClient:
        view: ComputeSessionView = who.call(OpenComputeSession(environment=environment_id), timeout=90)
        assert view.environment == environment_id
        return cls(who, view.session_id)

    def run(self, actions: Sequence[Action], payload: bytes = b"") -> RanActions:
        message = RunActions(
            session_id=self.id, first=self.done, actions=msgspec.msgpack.encode(list(actions))
        )
        ran: RanActions = self.who.call(message, [payload] if payload else [], timeout=90)
        self.done = ran.done
        return ran

    def put(self, number: int, values: list[int]) -> RanActions:
        data = torch.tensor(values).numpy().tobytes()
        return self.run([Put(number, "i64", [len(values)], 0)], data)

    def fetch(self, number: int) -> list[int]:
        _, data = self.who.download(FetchValues(session_id=self.id, values=[number], after=self.done))
        (tensor,) = decode("list", memoryview(data))
        return [int(each) for each in tensor]


def create(owner: Connection, user: str = "", instance_type: str = "tiny") -> m.EnvironmentView:
    view: m.EnvironmentView = owner.call(m.CreateEnvironment(user=user, instance_type=instance_type))
    assert view.state == "creating"
    return view


def seen(who: Connection, environment_id: str, state: str = "running") -> m.EnvironmentView:
    """The environment once it is in this state."""
    for _ in range(5):
        view: m.EnvironmentView = who.call(
            m.GetEnvironment(environment_id=environment_id, wait=60), timeout=90
        )
        if view.state == state:
            return view
        time.sleep(0.2)
    raise AssertionError(f"{view.state}: {view.reason}")


def process_in(home: Path, environment_id: str) -> ProcessHandle | None:
    folder = str((home / "environments" / environment_id).resolve())
    return next((each for each in processes() if folder in command_of(each)), None)
