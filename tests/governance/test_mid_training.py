"""What ends in the middle of a training: the account of who hosts it. On both engines.

A data owner who withdraws consent is in tests/worker/test_withdrawal.py, a grant that ends while a plan runs
in test_plan_requests.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.federated.service import SERVICES as FEDERATED
from grid.federated.service import FederatedService
from grid.federated.task_management import TaskManagement
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node.metadata import MetadataService
from syft_ext.errors import InvalidToken
from syft_ext.messages import federated as m
from syft_ext.messages.accounts import DeleteUser, UpdateUser
from syft_ext.transport import Connection
from tests.accounts.people import House
from tests.federated.models import encode, small_model
from tests.open_site import open_site

SERVICES = (MetadataService, *ACCOUNTS, *GOVERNANCE, *FEDERATED)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, services=SERVICES)
    open_site(house.node.db)
    yield house
    house.node.stop()


def host(who: Connection) -> str:
    view = who.call(
        m.HostTraining(
            name="mnist",
            version="1.0",
            client_plans={},
            client_config={},
            server_config={"max_diffs": 1, "max_workers": 2, "num_cycles": 2},
        )
    )
    who.call(m.UploadModel(process_id=view.process_id), [encode(small_model())])
    return str(view.process_id)


def join(house: House) -> Connection:
    """Some participant, who is nobody's user here."""
    connection = house.call_in()
    view = connection.call(m.AuthenticateWorker(model_name="mnist", model_version="1.0"))
    connection.token = view.token
    return connection


def report(worker: Connection, part: m.CheckInReply) -> m.ReportReply:
    message = m.Report(assignment_id=part.assignment_id, request_key=part.request_key)
    reply: m.ReportReply = worker.call(message, [encode(small_model(0.5))])
    return reply


def test_the_trainings_of_a_disabled_account_stand_still(house: House) -> None:
    owner = house.set_up()
    sue, view = house.add_user(owner, "sue@lab.org")
    process_id = host(sue)
    first = join(house)
    part = first.call(m.CheckIn(idempotency_key="a"))
    assert part.status == "accepted"
    owner.call(UpdateUser(user_id=view.id, disabled=True))
    with pytest.raises(InvalidToken):
        sue.call(m.GetProcess(process_id=process_id))
    training = owner.call(m.GetProcess(process_id=process_id))
    assert training.status == "paused" and "disabled" in training.reason
    assert join(house).call(m.CheckIn(idempotency_key="b")).status != "accepted"
    assert report(first, part).cycle_status == "collecting"  # what a participant had begun is not lost
    house.restart()
    owner = house.log_in()
    training = owner.call(m.GetProcess(process_id=process_id))
    assert (training.status, training.checkpoint) == ("paused", 1)
    owner.call(UpdateUser(user_id=view.id, disabled=False))
    sue = house.log_in("sue@lab.org")
    assert sue.call(m.ResumeProcess(process_id=process_id)).reason == ""
    pipeline = house.node.service(FederatedService).pipeline
    after = 0
    while pipeline.views.process(process_id).checkpoint < 2:
        after = pipeline.views.watch(process_id, after, 20.0).last
    owner.call(DeleteUser(user_id=view.id))
    assert owner.call(m.GetProcess(process_id=process_id)).status == "paused"


def test_a_crash_in_between_is_made_good_at_the_next_start(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = house.set_up()
    sue, view = house.add_user(owner, "sue@lab.org")
    process_id = host(sue)
    with monkeypatch.context() as patch:
        patch.setattr(TaskManagement, "pause_those_of", lambda self, owner: 0)
        owner.call(UpdateUser(user_id=view.id, disabled=True))
    assert owner.call(m.GetProcess(process_id=process_id)).status == "running"
    house.restart()
    assert house.log_in().call(m.GetProcess(process_id=process_id)).status == "paused"
