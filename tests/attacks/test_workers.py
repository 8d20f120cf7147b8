"""Trainings as a way to a Worker's rows: by its name, by what is put in an approved one's place, by asking on
and on, and by what a report can hold. A real Domain, that lies where a test says so, and real Workers with
their processes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sqlalchemy import select, update

import syft_ext as sy
from apps.worker.app import build as build_worker
from grid.config import WorkerSettings
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.service import FederatedService
from grid.federated.state import tables as t
from grid.storage.objects.references import record
from grid.web.testing import ServedNode
from syft_ext.messages.training_reviews import DefinitionFacts, definition_digest
from syft_ext.messages.worker import DecideTraining, ListSeenTrainings, ReviewOffer, SeenTrainingView
from syft_ext.plans import make_plan
from syft_ext.tensors import decode_tensors
from syft_ext.transport import Connection, LocalTransport
from tests.attacks.test_trainings import tensor_file

from .site import Site, Someone

pytestmark = pytest.mark.slow
ROWS, COLUMNS = 40, 4


@make_plan
def stealing(
    xs: Any = torch.randn(ROWS, COLUMNS),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(ROWS, COLUMNS)]),
) -> Any:
    """Its "trained parameters" are the rows."""
    loss = (params[0] * 0).sum()
    at = torch.cumsum(torch.ones_like(ys), 0) - 1
    return loss, xs[3, 1], (params[0] * 0).index_add(0, at, xs)


@make_plan
def honest(
    xs: Any = torch.randn(ROWS, COLUMNS),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(ROWS, COLUMNS)]),
) -> Any:
    weights = params[0].detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(xs @ weights.T, ys)
    loss.backward()
    return loss, loss, weights - lr * weights.grad


@make_plan
def overfull(
    xs: Any = torch.randn(ROWS, COLUMNS),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    params: Any = sy.List([torch.zeros(ROWS, COLUMNS)]),
) -> Any:
    """A tensor more than the model has."""
    loss = (params[0] * 0).sum()
    return loss, loss, params[0], xs * 1.0


@make_plan
def outgrown(
    xs: Any = torch.randn(ROWS, COLUMNS),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    params: Any = sy.List([torch.zeros(2)]),
) -> Any:
    """The rows, where the model has two numbers."""
    loss = (params[0] * 0).sum()
    return loss, loss, xs * 1.0


class Workers:
    """Workers at the site's Domain, with the rows of a hospital."""

    def __init__(self, site: Site, root: Path) -> None:
        self.site, self.root = site, root
        self.rows = np.random.default_rng(4).normal(size=(ROWS, COLUMNS)).astype(np.float32)
        lines = [",".join([*(repr(float(x)) for x in row), str(n % 2)]) for n, row in enumerate(self.rows)]
        (root / "rows.csv").write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")
        self.served: list[ServedNode] = []
        self.officer = site.add_user("desk@x.org", "Compliance Officer")
        self._hosted = 0

    def start(self, name: str, *, accepted: bool = True, **settings: Any) -> ServedNode:
        node = build_worker(
            self.root / name,
            WorkerSettings(
                name=name,
                domain=self.site.domain.url,
                data=str(self.root / "rows.csv"),
                columns=["a", "b", "c", "d"],
                target="label",
                heartbeat_interval=0.5,
                **{"trainings": ["biopsies/*"], **settings},
            ),
        )
        served = ServedNode(node)
        self.served.append(served)
        if accepted:
            self.decide(name, "accept")
        return served

    def decide(self, name: str, what: str) -> None:
        def asked() -> list[Any]:
            listed = self.site.rest("GET", "/associations", who=self.site.owner).json["associations"]
            return [each for each in listed if each["name"] == name]

        until(lambda: bool(asked()), f"{name} asks")
        path = f"/associations/{asked()[0]['association_id']}/{what}"
        assert self.site.rest("POST", path, {}, self.site.owner).status == 200

    def host(
        self, plan: Any = stealing, *, who: Someone | None = None, version: str = "", **server: Any
    ) -> str:
        """The id of a training whose name matches what the Worker's owner looks at."""
        self._hosted += 1
        who = who or self.site.eve
        made = {
            "name": "biopsies",
            "version": version or f"{self._hosted}",
            "client_plans": {"training_plan": base64.b64encode(plan.dumps()).decode()},
            "client_config": {"batch_size": ROWS, "drop_last": True},
            "server_config": {"num_cycles": 1, "max_diffs": 1, "max_workers": 1, **server},
        }
        hosted = self.site.rest("POST", "/federated/processes", made, who)
        assert hosted.status == 201, hosted.body
        of = str(hosted.json["process_id"])
        shape = next(tuple(each.shape) for each in plan.inputs_with_role("param"))
        model = tensor_file(np.zeros(shape, np.float32))
        assert self.site.rest("PUT", f"/federated/processes/{of}/model", model, who).status == 200
        return of

    def view(self, of: str) -> dict[str, Any]:
        found: dict[str, Any] = self.site.rest("GET", f"/federated/processes/{of}", who=self.site.owner).json
        return found

    def approve_at_domain(self, of: str, what: str = "approval") -> None:
        request = self.view(of)["review"]["request_id"]
        body = {"reason": "read"} if what == "approval" else {}
        answer = self.site.rest("POST", f"/requests/{request}/{what}", body, self.officer)
        assert answer.status == 200, answer.body

    def seen(self, worker: ServedNode, of: str) -> SeenTrainingView:
        """The Worker's row of a training, once it has one."""
        version = self.view(of)["version"]

        def found() -> list[SeenTrainingView]:
            listed = owner_of(worker).call(ListSeenTrainings()).trainings
            return [each for each in listed if each.version == version]

        until(lambda: bool(found()), f"the Worker sees version {version}")
        return found()[0]

    def model_bytes(self, of: str) -> bytes:
        path = f"/federated/models/biopsies/{self.view(of)['version']}/latest"
        return self.site.rest("GET", path, who=self.site.owner).body

    def models(self, of: str) -> torch.Tensor:
        return next(iter(decode_tensors(self.model_bytes(of)).values()))

    def stolen(self, of: str) -> int:
        """How many of the hospital's rows the model holds."""
        model = self.models(of).numpy()
        if model.ndim != 2:
            return 0
        return sum(any(np.allclose(row, each, atol=1e-4) for each in model) for row in self.rows)

    def let_all_host(self, **more: Any) -> None:
        """A Domain that asks nobody: the Worker is on its own."""
        policy = {"policy": {"trainings": "open", **more}}
        assert self.site.rest("PUT", "/policy", policy, self.site.owner).status == 200


def owner_of(worker: ServedNode) -> Connection:
    return Connection(LocalTransport(worker.node), worker.node.identity)


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def there(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    workers = Workers(site, tmp_path_factory.mktemp("workers"))
    yield workers
    for served in workers.served:
        served.close()


@pytest.fixture(autouse=True)
def default_policy(site: Site) -> None:
    assert site.rest("PUT", "/policy", {"policy": {}}, site.owner).status == 200


@pytest.fixture(scope="module")
def careful(there: Workers) -> ServedNode:
    """A Worker whose owner takes nobody's word."""
    return there.start("careful")


@pytest.fixture(scope="module")
def trusting(there: Workers) -> ServedNode:
    """A Worker whose owner takes the word of the Domain's reviewers, and bounds what leaves."""
    return there.start(
        "trusting", trust="domain", clip_norm=1.0, noise_multiplier=0.5, max_reports=2, max_samples=50
    )


def untouched(there: Workers, of: str, seconds: float = 1.5) -> bool:
    """Whether nobody was given a part in it, for a while."""
    time.sleep(seconds)
    view = there.view(of)
    return bool(view["admitted"] == 0 and view["reported"] == 0)


# -- by its name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["9", "1.0", "*", "biopsies"])
def test_a_name_that_the_owner_looks_at_runs_nothing(
    there: Workers, careful: ServedNode, version: str
) -> None:
    there.let_all_host()
    of = there.host(version=f"steal-{version}")
    assert (there.view(of)["status"], there.seen(careful, of).decision) == ("running", "waiting")
    assert untouched(there, of) and there.stolen(of) == 0


def test_that_a_domain_asks_nobody_is_nobodys_word(there: Workers, trusting: ServedNode) -> None:
    there.let_all_host()
    of = there.host()
    seen = there.seen(trusting, of)
    assert (seen.review.state, seen.decision) == ("open", "waiting")
    assert untouched(there, of) and there.stolen(of) == 0


def test_nor_is_the_word_of_a_domains_owner_where_only_its_reviewers_are_trusted(
    there: Workers, trusting: ServedNode
) -> None:
    of = there.host(who=there.site.owner)
    seen = there.seen(trusting, of)
    assert (seen.review.state, seen.decision) == ("own", "waiting")
    assert untouched(there, of)


def test_a_new_version_of_an_approved_training_waits(there: Workers, careful: ServedNode) -> None:
    there.let_all_host()
    first = there.host(honest)
    seen = there.seen(careful, first)
    owner_of(careful).call(
        DecideTraining(name="biopsies", version=seen.version, decision="approved", digest=seen.digest)
    )
    until(lambda: there.view(first)["status"] == "completed", "the honest one ends")
    second = there.host(stealing)
    assert there.seen(careful, second).decision == "waiting"
    offer = owner_of(careful).call(
        ReviewOffer(name="biopsies", version=there.view(second)["version"]), timeout=120
    )
    assert offer.earlier == seen.version and "+  %" in offer.difference and "index_add" in offer.difference
    assert offer.trial is not None and offer.trial.problem == ""
    assert untouched(there, second) and there.stolen(second) == 0


# -- by what is put in its place ------------------------------------------------------------------------------


def put_in_place(there: Workers, of: str) -> None:
    """The thief's plan, where the approved one was hosted: the operator edits their database."""
    node = there.site.domain.node
    with node.blobs.put([stealing.dumps()]) as blob, node.db.transaction() as session:
        record(session, blob)
        session.execute(
            update(t.HostedPlan).where(t.HostedPlan.process_id == of).values(blob_digest=blob.digest)
        )
    definitions = node.service(FederatedService).pipeline.definitions
    for known in (definitions._known, definitions._digests):
        known.pop(of, None)


def approved(there: Workers, worker: ServedNode, **server: Any) -> tuple[str, SeenTrainingView]:
    """A training that the Worker's owner has approved, and that nobody has a part in yet: it is paused."""
    there.let_all_host()
    of = there.host(honest, **server)
    assert there.site.rest("POST", f"/federated/processes/{of}/pause", {}, there.site.owner).status == 200
    seen = there.seen(worker, of)
    owner_of(worker).call(
        DecideTraining(name="biopsies", version=seen.version, decision="approved", digest=seen.digest)
    )
    return of, seen


def resume(there: Workers, of: str) -> None:
    assert there.site.rest("POST", f"/federated/processes/{of}/resume", {}, there.site.owner).status == 200


def test_another_plan_under_an_approved_name_is_not_run(there: Workers, careful: ServedNode) -> None:
    of, seen = approved(there, careful)
    put_in_place(there, of)
    resume(there, of)

    def rows() -> dict[str, SeenTrainingView]:
        listed = owner_of(careful).call(ListSeenTrainings()).trainings
        return {row.digest: row for row in listed if row.version == seen.version}

    until(lambda: rows()[seen.digest].state == "failed", "it is refused")
    assert {row.decision for digest, row in rows().items() if digest != seen.digest} <= {"waiting"}
    assert there.view(of)["reported"] == 0 and there.stolen(of) == 0


def test_a_domain_that_says_the_old_digest_of_another_plan_is_caught(
    there: Workers, careful: ServedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, seen = approved(there, careful)
    put_in_place(there, of)
    definitions = there.site.domain.node.service(FederatedService).pipeline.definitions
    monkeypatch.setattr(definitions, "digest", lambda process_id: seen.digest)
    careful_again(careful, seen)
    resume(there, of)
    until(lambda: there.seen(careful, of).state == "failed", "it is refused")
    assert "agreed to" in there.seen(careful, of).last_error
    assert there.view(of)["reported"] == 0 and there.stolen(of) == 0


def test_a_domain_that_shows_the_old_definition_and_sends_another_plan_is_caught(
    there: Workers, careful: ServedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, seen = approved(there, careful)
    node = there.site.domain.node
    definitions = node.service(FederatedService).pipeline.definitions
    with node.db.read() as session:
        shown = definitions.facts(session, of)
        honest_plan = session.scalar(select(t.HostedPlan.blob_digest).where(t.HostedPlan.process_id == of))
    assert honest_plan == shown.plans["training_plan"] and definition_digest(shown) == seen.digest

    def facts(self: TrainingDefinitions, session: Any, process_id: str) -> DefinitionFacts:
        return shown if process_id == of else original(self, session, process_id)

    original = TrainingDefinitions.facts
    put_in_place(there, of)
    monkeypatch.setattr(TrainingDefinitions, "facts", facts)
    monkeypatch.setattr(definitions, "digest", lambda process_id: seen.digest)
    careful_again(careful, seen)
    resume(there, of)
    until(lambda: there.seen(careful, of).state == "failed", "it is refused")
    assert there.view(of)["reported"] == 0 and there.stolen(of) == 0


def careful_again(worker: ServedNode, seen: SeenTrainingView) -> None:
    """The owner's yes to the same definition, once more: the participant joins anew."""
    for decision in ("denied", "approved"):
        owner_of(worker).call(
            DecideTraining(name="biopsies", version=seen.version, decision=decision, digest=seen.digest)  # type: ignore[arg-type]
        )
        time.sleep(1.0)


# -- by what a report can hold --------------------------------------------------------------------------------


def test_a_training_whose_report_would_have_another_shape_is_not_hosted(there: Workers) -> None:
    there.let_all_host()
    with pytest.raises(AssertionError, match="invalid-plan"):
        there.host(outgrown)


def test_a_report_holds_the_models_tensors_and_nothing_else(there: Workers, careful: ServedNode) -> None:
    there.let_all_host()
    of = there.host(overfull)
    seen = there.seen(careful, of)
    approve = DecideTraining(name="biopsies", version=seen.version, decision="approved", digest=seen.digest)
    owner_of(careful).call(approve)
    until(lambda: there.seen(careful, of).state in ("failed", "over"), "it ends", 90)
    view = there.view(of)
    assert view["reported"] == 1
    assert there.stolen(of) == 0, "what else the plan returned has stayed"
    assert view["model_size"] == len(there.model_bytes(of)), "as large as at the beginning"
    history = there.site.rest("GET", f"/federated/processes/{of}/history", who=there.site.owner).body.decode()
    assert str(float(there.rows[3, 1]))[:6] not in history, "nor does an error tell it"


def test_a_careless_reviewer_costs_no_rows_where_the_owner_bounds_what_leaves(
    there: Workers, trusting: ServedNode
) -> None:
    of = there.host(stealing)
    assert there.view(of)["status"] == "waiting"
    there.approve_at_domain(of)
    until(lambda: there.view(of)["status"] == "completed", "it runs", 90)
    assert "desk@x.org" in there.seen(trusting, of).decided_by
    model = there.models(of).double()
    assert there.stolen(of) == 0
    noise = 0.5 * (ROWS * COLUMNS) ** 0.5
    assert 0.6 * noise < float(model.norm()) < 1.0 + 1.5 * noise, "norm 1 of the rows, the rest is noise"
    (cycle,) = there.site.rest("GET", f"/federated/processes/{of}/metrics", who=there.site.owner).json[
        "cycles"
    ]
    assert (cycle["loss"], cycle["accuracy"]) == (None, None), "which the plan had chosen, too"
    assert cycle["samples"] <= 50


def test_what_asks_for_reports_without_end_gets_as_many_as_the_bound(
    there: Workers, trusting: ServedNode
) -> None:
    of = there.host(honest, num_cycles=0)
    there.approve_at_domain(of)
    until(lambda: there.seen(trusting, of).state == "spent", "it is spent", 90)
    assert there.view(of)["cycles_completed"] == 2
    time.sleep(2)
    assert there.view(of)["cycles_completed"] == 2
    there.site.rest("POST", f"/federated/processes/{of}/cancel", {}, there.site.owner)


def test_an_approval_that_is_revoked_ends_it_in_the_middle(there: Workers, trusting: ServedNode) -> None:
    of = there.host(honest, num_cycles=0, min_workers=2, max_workers=2)  # waits for a second one
    there.approve_at_domain(of)
    until(lambda: there.seen(trusting, of).state == "joined", "it has joined", 90)
    there.approve_at_domain(of, "revocation")
    until(lambda: there.seen(trusting, of).state in ("over", "idle"), "it has left", 60)
    assert there.view(of)["status"] == "cancelled"


# -- a Worker that nobody accepted ----------------------------------------------------------------------------


def test_a_worker_that_was_not_accepted_takes_no_part(there: Workers, careful: ServedNode) -> None:
    there.let_all_host()
    outsider = there.start("outsider", accepted=False, trust="owner")
    of = there.host(honest, who=there.site.owner)
    assert untouched(there, of, 3.0)
    assert owner_of(outsider).call(ListSeenTrainings()).trainings == []
    there.decide("outsider", "deny")
    assert untouched(there, of, 3.0)
    assert owner_of(outsider).call(ListSeenTrainings()).trainings == []
