"""Worker daemons in confidential trainings: by their owners' pins, or not at all."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch.func import functional_call

import syft_ext as sy
from apps.cli.client import open_own_node
from apps.cli.main import cli
from apps.domain.app import build
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings
from grid.key_host.service import KeyHostService
from grid.key_host.succession import hand_over, take_over
from grid.network.associations import AssociationService
from grid.web.testing import ServedNode
from syft_ext.attestation.policy import policy_to_json
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.pins import pins_from_document, pins_to_document, read_pins
from syft_ext.errors import Conflict, InvalidConfig
from syft_ext.identity import Identity
from syft_ext.messages.key_host_successions import HandOver, TakeOver
from syft_ext.messages.network import AcceptAssociation
from syft_ext.messages.worker import ListSeenTrainings
from tests.confidential_training.consortium import Consortium, until
from tests.confidential_training.test_sdk import certificate
from tests.nodes import NodeProcess
from tests.open_site import open_site
from tests.sdk.live import EMAIL, PASSWORD, log_in
from tests.user_folder import fresh_user

pytestmark = pytest.mark.slow


class WholeSite(Consortium):
    """Its Domain is a whole one: Workers join it."""

    def start(self) -> None:
        node = build(self.path / "domain", DomainSettings(name="consortium"))
        assert bootstrap_owner(node, EMAIL, PASSWORD)
        open_site(node.db)
        self.domain = ServedNode(node)
        self.client = log_in(self.domain.url)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("workers")
    with pytest.MonkeyPatch.context() as patch, fresh_user(folder / "user"):
        consortium = WholeSite(folder, patch, hosts=2)
        yield consortium
        consortium.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["worker", "trust", *arguments])


def data(path: Path, seed: int) -> Path:
    random = np.random.default_rng(seed)
    x = random.normal(size=(64, 4))
    lines = [",".join(map(str, (*row, int(row[0] + row[1] > 0)))) for row in x.tolist()]
    path.write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")
    return path


INPUTS = sy.TableInputs(
    columns=[sy.NumberColumn(name=each) for each in "abcd"],
    label=sy.CategoryColumn(name="label", categories=["0", "1"]),
)


def network() -> tuple[torch.nn.Module, Any]:
    """A model, and the plan that trains it."""
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2)
    names = [each for each, _ in net.named_parameters()]
    params = [p.detach().clone() for p in net.parameters()]

    @sy.make_plan(symbols={"x": {0: "B"}, "y": {0: "B"}})
    def training_plan(  # type: ignore[no-untyped-def]
        x=torch.zeros(8, 4), y=torch.zeros(8, dtype=torch.int64), lr=torch.tensor(0.1), params=sy.List(params)
    ):
        leaves = [p.detach().requires_grad_() for p in params]
        logits = functional_call(net, dict(zip(names, leaves, strict=True)), (x,))
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()
        accuracy = (logits.argmax(1) == y).float().mean()
        return loss, accuracy, *[p - lr * p.grad for p in leaves]

    return net, training_plan


def hosted(home: Consortium, name: str, cycles: int = 2, followed: Sequence[bytes] = ()) -> str:
    """A confidential training of two participants, that learns from tables; its id.

    ``followed``: how hosts of its policy follow others.
    """
    net, plan = network()
    policy = home.policy({"training_plan": plan.dumps()})
    if followed:
        home.client.confidential.publish(Signed.make(policy, home.owner), followed)
    client = sy.ModelCentricFLClient(address=home.domain.url, secure=False)
    client.connect()
    training = client.host_federated_training(
        model=net,
        client_plans={"training_plan": plan},
        client_config={"name": name, "version": "1", "batch_size": 16, "lr": 0.1, "epochs": 1},
        inputs=INPUTS,
        server_config={"num_cycles": cycles, "min_diffs": 2, "max_diffs": 2, "max_workers": 16},
        confidential=home.approve(policy),
    )
    return training.id


def worker(home: Consortium, folder: Path, number: int) -> NodeProcess:
    """A Worker of which the Domain is asked, whose owner trusts the Domain's owner's approval of trainings."""
    flags = ["--name", f"w{number}", "--port", "0", "--domain", home.domain.url, "--trust", "owner"]
    rows = data(folder / f"rows{number}.csv", number)
    return NodeProcess("worker", folder / f"w{number}", [*flags, "--data", str(rows)])


def accepted(home: Consortium, number: int) -> None:
    """Wait until it has asked, and accept it."""
    registry = home.domain.node.service(AssociationService).registry

    def asked() -> Any:
        return [row for row in registry.list() if row.name == f"w{number}"]

    row = until(asked, seconds=120)[0]
    if row.status == "pending":
        home.client.call(AcceptAssociation(association_id=row.id))


def pins(home: Consortium, path: Path, key: str, subject: str, **changed: Any) -> Path:
    """The owner's file, with what it names beside it."""
    path.mkdir()
    (path / "terms.json").write_text(json.dumps(policy_to_json(home.attestation())))
    (path / "own.certificate").write_bytes(certificate(home, subject, key).encode())
    lines = {
        "hosts": [host.node.identity.verify_key for host in home.hosts],
        "authorities": [home.authority.verify_key],
        "evidence": ["terms.json"],
        "certificate": "own.certificate",
        "rho": 0.5,
        "rounds": 40,
        "production": False,
        **changed,
    }
    file = path / "pins.toml"
    file.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in lines.items()))
    return file


def seen(node: NodeProcess) -> dict[str, Any]:
    """What the Worker says of the trainings that it has seen."""
    connection = open_own_node(node.home)
    try:
        return {each.name: each for each in connection.call(ListSeenTrainings()).trainings}
    finally:
        connection.close()


def test_workers_take_part_by_pins(home: Consortium, tmp_path: Path) -> None:
    """Two with pins are a cohort; one without takes part in nothing confidential, and says why."""
    for number in range(2):
        place = tmp_path / f"w{number}"
        place.mkdir()
        missing = run("key", "--home", str(place))
        assert missing.exit_code and "first start makes it" in missing.output
        own = Identity.load_or_create(place / "node.key").verify_key
        key = json.loads(run("key", "--home", str(place), "--format", "json").stdout)["key"]
        assert key == own and run("show", "--home", str(place)).output.startswith("no pins are set")
        other = pins(home, tmp_path / f"others{number}", "ab" * 32, "somebody")
        refused = run("set", str(other), "--home", str(place))
        assert refused.exit_code and "another key" in str(refused.exception)
        file = pins(home, tmp_path / f"pins{number}", key, f"hospital {number}")
        done = run("set", str(file), "--home", str(place))
        assert done.exit_code == 0, done.output
    nodes = [worker(home, tmp_path, number) for number in range(3)]
    bare = nodes[2]
    try:
        for number in range(3):
            accepted(home, number)
        process_id = hosted(home, "by-pins")
        home.completed(process_id, cycles=2)
        assert home.status(process_id).status == "completed"
        lacks = until(lambda: (s := seen(bare)).get("by-pins") and s["by-pins"].state == "failed" and s)
        assert "grid worker trust" in lacks["by-pins"].last_error and lacks["by-pins"].reports == 0
        for number, node in enumerate(nodes[:2]):
            until(lambda node=node: seen(node)["by-pins"].state == "over")
            shown = json.loads(run("show", "--home", str(node.home), "--format", "json").stdout)
            assert shown["rounds_given"] == 2 and shown["certificate"].startswith(f"hospital {number},")

        # A key host goes on under another key: followed once both keys are shown to have signed, and not before.
        followed_after_a_succession(home, nodes[:2])

        # With pins, nothing leaves in the clear.
        training = hosted_in_the_clear(home)
        open_one = until(lambda: (s := seen(nodes[0])).get("clear") and s["clear"].state == "failed" and s)
        assert "not sealed" in open_one["clear"].last_error
        until(lambda: training.refresh().view.status == "completed")  # by the one without pins
    finally:
        for node in nodes:
            node.stop()


def followed_after_a_succession(home: Consortium, nodes: list[NodeProcess]) -> None:
    """The Workers' owners pinned the first host's old key, and nobody changes their files: the other host is shown
    the succession with the policy, and the Workers with the offer."""
    old, new = home.hosts[0], home._host(7)
    cores = [served.node.service(KeyHostService).core for served in (old, new)]
    given = hand_over(cores[0], HandOver(new=new.node.identity.verify_key, end_rounds=True))
    both = take_over(cores[1], TakeOver(succession=given.succession, rows=given.rows)).succession
    old.close()
    home.hosts[0] = new
    with pytest.raises(Conflict, match="leaves out some"):  # what was spent may not be left behind
        hosted(home, "unfollowed")
    process_id = hosted(home, "followed", cycles=1, followed=[both])
    home.completed(process_id)
    for node in nodes:
        until(lambda node=node: seen(node)["followed"].state == "over")
        shown = json.loads(run("show", "--home", str(node.home), "--format", "json").stdout)
        assert shown["rounds_given"] == 3


def hosted_in_the_clear(home: Consortium) -> Any:
    """A training like any other, that one report completes."""
    client = sy.ModelCentricFLClient(address=home.domain.url, secure=False)
    client.connect()
    net, plan = network()
    return client.host_federated_training(
        model=net,
        client_plans={"training_plan": plan},
        client_config={"name": "clear", "version": "1", "batch_size": 16, "lr": 0.1, "epochs": 1},
        inputs=INPUTS,
        server_config={"num_cycles": 1, "max_diffs": 1, "max_workers": 16},
    )


# -- files of pins ---------------------------------------------------------------------------------


def test_pins_are_kept_as_they_were_written(home: Consortium, tmp_path: Path) -> None:
    me = Identity.generate().verify_key
    file = pins(home, tmp_path / "kept", me, "me", session_age=0, least_witnesses=2, rho="1/3")
    found = read_pins(file)
    assert found.session_age is None and found.least_witnesses == 2 and found.rho_nano == 333_333_333
    again = pins_from_document(json.loads(json.dumps(pins_to_document(found))), tmp_path)
    assert pins_to_document(again) == pins_to_document(found) and again.terms == found.terms


@pytest.mark.parametrize(
    "changed",
    [
        {"hosts": []},
        {"hosts": "ab" * 32},
        {"hosts": ["ab"]},
        {"rho": "much"},
        {"rho": -1},
        {"rounds": 1.5},
        {"rounds": True},
        {"production": "false"},
        {"production": True},
        {"evidence": ["nowhere.json"]},
        {"evidence": [{"production": False}]},
        {"certificate": "nowhere"},
        {"certificate": {"encoded": "?"}},
        {"least_witnesses": 3},
        {"unheard_of": 1},
    ],
    ids=str,
)
def test_pins_that_pin_nothing(home: Consortium, tmp_path: Path, changed: dict[str, Any]) -> None:
    file = pins(home, tmp_path / "wrong", "ab" * 32, "me")
    document = {**tomllib.loads(file.read_text()), **changed}
    with pytest.raises(InvalidConfig):
        pins_from_document(document, file.parent)
    for name in ("hosts", "certificate", "rho"):
        with pytest.raises(InvalidConfig):
            pins_from_document({key: value for key, value in document.items() if key != name}, file.parent)
