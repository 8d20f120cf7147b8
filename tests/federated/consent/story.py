"""A hospital with an owner and two officers; scientists who host trainings there; people who take part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import syft_ext as sy
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.config import DomainSettings
from grid.federated.invitations import InvitationService
from grid.federated.open_trainings import OpenTrainingsService
from grid.federated.service import SERVICES as FEDERATED
from grid.federated.service import FederatedService
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.network.associations import AssociationService
from grid.network.tables import Association
from grid.node.metadata import MetadataService
from grid.privacy.budget.service import BudgetService
from syft_ext.identity import Identity
from syft_ext.ids import new_id
from syft_ext.messages import federated as m
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import ListRequests, RequestView
from syft_ext.plans import make_plan
from syft_ext.tensors import encode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House

__all__ = ["SHAPE", "Story", "copying_plan", "training_plan"]

SERVICES = (
    MetadataService,
    AuditService,
    *ACCOUNTS,
    *CATALOGUE,
    *GOVERNANCE,
    PolicyService,
    BudgetService,
    statistics_service,
    *FEDERATED,
    lambda node: AssociationService(node, offline_after=DomainSettings().offline_after),
    OpenTrainingsService,
    InvitationService,
)
SHAPE = (2, 3)


@make_plan
def training_plan(
    xs: Any = torch.randn(4, 3),
    ys: Any = torch.randint(0, 2, (4,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(*SHAPE)]),
) -> Any:
    """An honest step."""
    weights = params[0].detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(xs @ weights.T, ys)
    loss.backward()
    return loss, loss, weights - lr * weights.grad


@make_plan(name="training_plan")
def copying_plan(
    xs: Any = torch.randn(2, 3),
    ys: Any = torch.randint(0, 2, (2,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(*SHAPE)]),
) -> Any:
    """A "training" whose parameters are the rows."""
    loss = (params[0] * 0).sum()
    return loss, loss, params[0] * 0 + xs


class Story:
    """Attributes: ``sue``, ``eve``: scientists without any permission; ``officer``, ``second``: who may review."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.house = House(home, database_url, services=SERVICES)
        self.owner = self.house.set_up()
        self.sue, self.sue_view = self.house.add_user(self.owner, "sue@lab.org")
        self.eve, self.eve_view = self.house.add_user(self.owner, "eve@elsewhere.org")
        self.officer, self.officer_view = self.house.add_user(
            self.owner, "officer@hospital.org", "Compliance Officer"
        )
        self.second, self.second_view = self.house.add_user(
            self.owner, "second@hospital.org", "Compliance Officer"
        )

    @property
    def federated(self) -> FederatedService:
        return self.house.node.service(FederatedService)

    def policy(self, **demands: Any) -> None:
        self.owner.call(SetPolicy(policy=SitePolicy(**demands)))

    # -- hosting ------------------------------------------------------------------------------------

    def create(self, who: Connection, version: str = "1", plan: Any = training_plan, **more: Any) -> str:
        """A training without its model."""
        server = {"num_cycles": 1, "max_diffs": 1, **more.pop("server_config", {})}
        hosted = m.HostTraining(
            name=more.pop("name", "biopsies"),
            version=version,
            client_plans={"training_plan": plan.dumps()},
            server_config=server,
            **more,
        )
        return str(who.call(hosted).process_id)

    def host(self, who: Connection, version: str = "1", **more: Any) -> m.ProcessView:
        """A training with its model: what it is then."""
        model = more.pop("model", torch.zeros(*SHAPE))
        reason = more.pop("reason", "")
        process_id = self.create(who, version, **more)
        upload = m.UploadModel(process_id=process_id, reason=reason)
        view: m.ProcessView = who.call(upload, [encode_tensors({"0": model})])
        return view

    def view(self, process_id: str, who: Connection | None = None) -> m.ProcessView:
        found: m.ProcessView = (who or self.owner).call(m.GetProcess(process_id=process_id))
        return found

    def requests(self, who: Connection) -> list[RequestView]:
        found: list[RequestView] = who.call(ListRequests()).requests
        return found

    # -- taking part --------------------------------------------------------------------------------

    def join(self, who: Connection | None = None, version: str = "1", **more: Any) -> Connection:
        """A connection with a worker's token, for whoever this is: nobody, where it is None."""
        who = who or self.house.call_in()
        more.setdefault("model_name", "biopsies")
        view: m.WorkerView = who.call(m.AuthenticateWorker(model_version=version, **more))
        connection = self.house.call_in(who.identity)
        connection.token = view.token
        return connection

    def check_in(self, worker: Connection) -> m.CheckInReply:
        reply: m.CheckInReply = worker.call(m.CheckIn())
        return reply

    def report(
        self, worker: Connection, part: m.CheckInReply, value: float = 1.0, **metrics: Any
    ) -> m.ReportReply:
        assert part.status == "accepted", part
        message = m.Report(assignment_id=part.assignment_id, request_key=part.request_key, **metrics)
        tensors = encode_tensors({"0": torch.full(SHAPE, value)})
        reply: m.ReportReply = worker.call(message, [tensors])
        return reply

    def worker_node(self, status: str = "accepted", decided_by: str = "owner@hospital.org") -> Connection:
        """A Worker's connection, whose association is in this state."""
        identity = Identity.generate()
        with self.house.node.db.transaction() as session:
            session.add(
                Association(
                    id=new_id(),
                    direction="incoming",
                    status=status,
                    verify_key=identity.verify_key,
                    node_id=identity.node_id,
                    kind="worker",
                    name="ward 3",
                    address="",
                    own_address="",
                    note="",
                    reason="",
                    created_at=0.0,
                    decided_at=None,
                    decided_by=decided_by,
                    last_seen=None,
                    reported="online",
                    version="",
                    load={},
                    counts={},
                )
            )
        return self.house.call_in(identity)
