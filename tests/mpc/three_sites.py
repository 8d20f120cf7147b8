"""Three Domains over real sockets, whose members of runs are sandboxed host processes: two hospitals, and a
registry, which deals for them or is the third party."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

import syft_ext as sy
from syft_ext.client.requests import DataRequest, Requests
from syft_ext.nodes.shared_session import Session, SharedRequest
from tests.compute.lab import Lab, Person

ROWS = 16


@sy.make_plan
def regression(
    xs: Any = torch.zeros(ROWS, 3),
    ys: Any = torch.zeros(ROWS, 1),
    params: Any = sy.List([torch.zeros(3, 1)]),
    lr: Any = torch.tensor(0.1),
) -> Any:
    """One step of linear regression."""
    (w,) = params
    error = xs @ w - ys
    return (error * error).mean(), w - lr * (xs.t() @ error) / ROWS


class Client:
    """Somebody's client of one Domain; keeps every payload that goes through it."""

    def __init__(self, person: Person, name: str) -> None:
        self.person, self.name = person, name
        self.open = person.connection.open
        self.verify_key = person.connection.node_key
        self.seen: list[bytes] = []
        self.messages: list[Any] = []
        self.before = lambda message: None

    def call(self, message: Any, payload: Any = (), **_: Any) -> Any:
        self.before(message)
        self.messages.append(message)
        pieces = [bytes(piece) for piece in payload]
        self.seen += pieces
        reply = self.person.connection.call(message, pieces)
        self.seen.append(bytes(getattr(reply, "frames", b"")))
        return reply

    def explained(self) -> AbstractContextManager[None]:
        return nullcontext()


class Sites:
    """Sue asks; the owners of each Domain decide."""

    def __init__(self, folder: Path) -> None:
        self.labs = [Lab(folder / name) for name in ("north", "south", "registry")]
        torch.manual_seed(3)
        self.xs = torch.randn(ROWS, 3)
        self.ys = self.xs @ torch.tensor([[1.0], [-2.0], [0.5]])
        self.w = torch.zeros(3, 1)
        self.third = self.labs[2].owner.put(self.w, finders=[self.labs[2].sue.id])
        self.objects = {
            "xs": self.labs[0].owner.put(self.xs, finders=[self.labs[0].sue.id]),
            "ys": self.labs[1].owner.put(self.ys, finders=[self.labs[1].sue.id]),
            "params.0": self.labs[1].owner.put(self.w, finders=[self.labs[1].sue.id]),
        }
        self.north, self.south, self.registry = self.clients()

    def clients(self) -> list[Client]:
        return [Client(lab.sue, name) for lab, name in zip(self.labs, ("a", "b", "c"), strict=True)]

    def session(self, **options: Any) -> Session:
        parties: Any = [self.north, self.south]
        dealer: Any = self.registry
        return Session(parties, dealer, **options)

    def three(self, **options: Any) -> Session:
        """All three as parties, and no dealer."""
        parties: Any = [self.north, self.south, self.registry]
        return Session(parties, protocol="Falcon", **options)

    def ask(self, steps: int = 2, session: Session | None = None, **changes: Any) -> SharedRequest:
        inputs = {
            "xs": (self.north, self.objects["xs"]),
            "ys": (self.south, self.objects["ys"]),
            "params.0": (self.south, self.objects["params.0"]),
        }
        if session is not None and session.dealer is None:
            inputs["params.0"] = (self.registry, self.third)
        options: dict[str, Any] = {"bounds": {"": 8.0}, "values": {"lr": torch.tensor(0.1)}, "steps": steps}
        options["sizes"] = {"B": ROWS}
        made: Any = inputs
        return (session or self.session()).request(regression, made, **(options | changes))

    def seen_by_owner(self, request: SharedRequest, place: int) -> DataRequest:
        client: Any = Client(self.labs[place].owner, "owner")
        return Requests(client).get(request.requests[place].id)

    def approve(self, request: SharedRequest, **conditions: Any) -> None:
        for place in range(len(request.requests)):
            self.seen_by_owner(request, place).approve(**conditions)

    def expected(self, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        w, loss = self.w, torch.zeros(())
        for _ in range(steps):
            loss, w = regression.run([self.xs, self.ys, w, torch.tensor(0.1)])
        return loss, w

    def members(self, place: int) -> list[Any]:
        from grid.mpc.service import SharedRunService

        return list(self.labs[place].node.service(SharedRunService)._members._members.values())

    def close(self) -> None:
        for lab in self.labs:
            lab.close()
