"""Trainings as a way to somebody's rows, over every way in: hosted by who has no rights, joined by nobody."""

from __future__ import annotations

import base64
import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import syft_ext as sy
from syft_ext.plans import make_plan

from .site import STRANGER, Answer, Site, Someone

ROWS = 5


torch.manual_seed(7)  # what a trial on rows like the examples says of a plan is then the same each time


@make_plan
def stealing(
    xs: Any = torch.randn(ROWS, 3),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(ROWS, 3)]),
) -> Any:
    """Its "trained parameters" are the rows."""
    loss = (params[0] * 0).sum()
    at = torch.cumsum(torch.ones_like(ys), 0) - 1
    return loss, loss, (params[0] * 0).index_add(0, at, xs)


@make_plan
def honest(
    xs: Any = torch.randn(ROWS, 3),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(ROWS, 3)]),
) -> Any:
    weights = params[0].detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(xs @ weights.T, ys)
    loss.backward()
    return loss, loss, weights - lr * weights.grad


@make_plan
def picking(
    one: Any = sy.List([torch.zeros(ROWS, 3)]),
    two: Any = sy.List([torch.zeros(ROWS, 3)]),
    three: Any = sy.List([torch.zeros(ROWS, 3)]),
) -> Any:
    """An "average" that is the first report."""
    return [one[0] + 0 * (two[0] + three[0])]


STEALING, HONEST, PICKING = stealing.dumps(), honest.dumps(), picking.dumps()


def tensor_file(values: np.ndarray[Any, Any]) -> bytes:
    """Written by hand, as an attacker would."""
    entry = {"0": {"dtype": "F32", "shape": list(values.shape), "data_offsets": [0, values.nbytes]}}
    header = json.dumps(entry).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + values.tobytes()


ZEROS = np.zeros((ROWS, 3), np.float32)


class Trainings:
    """Attributes: ``officer``: may review; ``eve``, ``bob``: nobody's friends; all over real sockets."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.officer = site.add_user("officer@x.org", "Compliance Officer")
        self.bob = site.add_user("bob@x.org", "User")
        self.eve = site.eve
        self._number = 0

    def version(self) -> str:
        self._number += 1
        return str(self._number)

    def host(
        self,
        who: Someone,
        plan: bytes = STEALING,
        *,
        version: str = "",
        client: dict[str, Any] | None = None,
        model: Any = ZEROS,
        averaging: bytes | None = None,
        **server: Any,
    ) -> tuple[str, Answer]:
        """The id of a training named so that Workers' owners would let it in, and how its upload was answered."""
        version = version or self.version()
        made = {
            "name": "biopsies",
            "version": version,
            "client_plans": {"training_plan": base64.b64encode(plan).decode()},
            "client_config": {"batch_size": ROWS, **(client or {})},
            "server_config": {"num_cycles": 1, "max_diffs": 1, **server},
        }
        if averaging is not None:
            made["averaging_plan"] = base64.b64encode(averaging).decode()
        hosted = self.site.rest("POST", "/federated/processes", made, who)
        if hosted.status != 201:
            return "", hosted
        of = str(hosted.json["process_id"])
        return of, self.site.rest("PUT", f"/federated/processes/{of}/model", tensor_file(model), who)

    def join(self, version: str, who: Someone = STRANGER) -> Answer:
        message = {"model_name": "biopsies", "model_version": version}
        return self.site.rest("POST", "/federated/workers", message, who)

    def check_in(self, token: str) -> Answer:
        return self.site.rest("POST", "/federated/check-ins", {}, Someone("", token, STRANGER.identity))

    def report(self, token: str, part: dict[str, Any], values: Any = ZEROS, query: str = "") -> Answer:
        path = f"/federated/assignments/{part['assignment_id']}/report{query}"
        worker = Someone("", token, STRANGER.identity)
        return self.site.rest(
            "PUT", path, tensor_file(values), worker, **{"Grid-Request-Key": part["request_key"]}
        )

    def view(self, of: str) -> dict[str, Any]:
        found: dict[str, Any] = self.site.rest("GET", f"/federated/processes/{of}", who=self.site.owner).json
        return found

    def decide(self, of: str, what: str = "approval") -> None:
        request = self.view(of)["review"]["request_id"]
        answer = self.site.rest("POST", f"/requests/{request}/{what}", {"reason": "read"}, self.officer)
        assert answer.status == 200, answer.body

    def runs(self, of: str) -> bool:
        return bool(self.view(of)["status"] == "running")


@pytest.fixture(scope="module")
def there(site: Site) -> Iterator[Trainings]:
    yield Trainings(site)


@pytest.fixture(autouse=True)
def default_policy(site: Site) -> None:
    assert site.rest("PUT", "/policy", {"policy": {}}, site.owner).status == 200


# -- steal: a training whose parameters are the rows ----------------------------------------------------


def test_a_user_without_rights_hosts_nothing_that_runs(there: Trainings) -> None:
    of, uploaded = there.host(there.eve)
    assert uploaded.json["status"] == "waiting"
    view = there.view(of)
    assert (view["status"], view["cycle"], view["review"]["state"]) == ("waiting", 0, "pending")
    joined = there.join(view["version"], there.bob).json["token"]  # who would give their rows
    assert there.check_in(joined).json["reason"] == "in-review"


@pytest.mark.parametrize("way", ["resume", "pause", "upload again", "approve", "rule", "policy", "share"])
def test_and_cannot_begin_it_by_other_means(there: Trainings, way: str) -> None:
    of, _ = there.host(there.eve)
    request = there.view(of)["review"]["request_id"]
    tries: dict[str, tuple[str, str, str, dict[str, Any]]] = {
        "resume": ("federated.resume", "POST", f"/federated/processes/{of}/resume", {"process_id": of}),
        "pause": ("federated.pause", "POST", f"/federated/processes/{of}/pause", {"process_id": of}),
        "approve": ("requests.approve", "POST", f"/requests/{request}/approval", {"request_id": request}),
        "rule": ("rules.create", "POST", "/rules", {"action": "accept", "kind": "training"}),
        "policy": ("policy.set", "PUT", "/policy", {"policy": {"trainings": "open"}}),
        "share": (
            "federated.share",
            "PUT",
            f"/federated/processes/{of}/readers/{'0' * 32}",
            {"process_id": of, "user_id": "0" * 32},
        ),
    }
    if way == "upload again":
        again = there.site.rest("PUT", f"/federated/processes/{of}/model", tensor_file(ZEROS), there.eve)
        assert again.status == 409
    else:
        operation, method, path, data = tries[way]
        assert "ok" not in there.site.every_way(operation, method, path, data, there.eve)
    assert there.view(of)["status"] == "waiting"


def test_a_new_version_after_an_approved_one_waits(there: Trainings) -> None:
    """What was agreed to under the name says nothing about the next."""
    of, _ = there.host(there.eve, HONEST)
    there.decide(of)
    assert there.runs(of)
    again, uploaded = there.host(there.eve, STEALING)
    assert uploaded.json["status"] == "waiting" and not there.runs(again)
    same, uploaded = there.host(there.eve, HONEST)  # and so does the same plan under another number
    assert uploaded.json["status"] == "waiting" and not there.runs(same)


def test_the_same_version_does_not_come_back_with_another_content(there: Trainings) -> None:
    version = there.version()
    of, _ = there.host(there.eve, HONEST, version=version)
    there.decide(of)
    assert there.site.rest("POST", f"/federated/processes/{of}/cancel", {}, there.eve).status == 200
    for who in (there.eve, there.bob):
        _, answer = there.host(who, STEALING, version=version)
        assert answer.status == 409


def test_a_version_that_never_had_a_model_comes_back_without_anybodys_word(there: Trainings) -> None:
    """Its name is free again; a word that somebody gave is not."""
    version = there.version()
    made = {"name": "biopsies", "version": version, "client_plans": {}}
    hosted = there.site.rest("POST", "/federated/processes", made, there.eve).json["process_id"]
    assert there.site.rest("POST", f"/federated/processes/{hosted}/cancel", {}, there.eve).status == 200
    of, uploaded = there.host(there.eve, STEALING, version=version)
    assert of != hosted and uploaded.json["status"] == "waiting"


def test_an_approved_digest_covers_no_changed_plan(there: Trainings) -> None:
    first, _ = there.host(there.eve, HONEST)
    digest = there.view(first)["review"]["digest"]
    plans = there.site.rest("GET", f"/federated/processes/{first}/definition", who=there.officer).json
    plan = plans["facts"]["plans"]["training_plan"]
    for allowed in (digest, plan):
        rule = {"action": "accept", "kind": "training", "plan_id": allowed}
        assert there.site.rest("POST", "/rules", rule, there.officer).status == 201
    try:
        _, uploaded = there.host(there.eve, STEALING)
        assert uploaded.json["status"] == "waiting"
        _, uploaded = there.host(there.eve, HONEST)  # another version, of which the rules do not speak
        assert uploaded.json["status"] == "waiting"
    finally:
        assert there.site.rest("DELETE", "/rules", who=there.officer).status == 204


@pytest.mark.parametrize(
    "changed", [{"lr": 1e9}, {"batch_size": 1, "max_updates": 1}, {"epochs": 10**6}, {"shuffle": False}]
)
def test_a_plan_that_somebody_knows_is_no_word_on_what_it_is_given(
    there: Trainings, changed: dict[str, Any]
) -> None:
    """A step of 1e9 leaves nothing but the gradient, and that of one row is the row."""
    first, uploaded = there.host(there.eve, HONEST)
    assert uploaded.json["status"] == "waiting", uploaded.json
    review = there.site.rest("GET", f"/federated/processes/{first}/review", who=there.officer).json
    listed = there.site.rest("GET", "/requests", who=there.officer).json["requests"]
    asked = next(each for each in listed if each["id"] == review["review"]["request_id"])["training"]
    for named in (review["facts"]["plans"]["training_plan"], asked["content"]):
        rule = {"action": "accept", "kind": "training", "plan_id": named}
        assert there.site.rest("POST", "/rules", rule, there.officer).status == 201
    try:
        _, uploaded = there.host(there.eve, HONEST, client=changed)
        assert uploaded.json["status"] == "waiting"
        _, uploaded = there.host(there.eve, HONEST, model=ZEROS + 1e20)
        assert uploaded.json["status"] == "waiting"
        _, uploaded = there.host(there.eve, HONEST, max_extensions=1, cycle_length=60)
        assert uploaded.json["status"] == "waiting"
        _, uploaded = there.host(there.eve, HONEST)  # the same again, in a new version
        assert uploaded.json["status"] == "running"
    finally:
        assert there.site.rest("DELETE", "/rules", who=there.officer).status == 204


# -- sybils: somebody else's report laid bare by reports of zeros ---------------------------------------


def test_anonymous_participants_are_refused_every_way(there: Trainings) -> None:
    of, _ = there.host(there.site.owner, HONEST, max_diffs=3, max_workers=3)
    version = there.view(of)["version"]
    data = {"model_name": "biopsies", "model_version": version}
    codes = there.site.every_way("federated.authenticate", "POST", "/federated/workers", data)
    assert "ok" not in codes, codes
    assert there.site.message("federated.open", {}).code != "ok"


def test_one_person_with_many_devices_does_not_lay_a_victim_bare(there: Trainings) -> None:
    policy = {"policy": {"min_participants": 3}}
    assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
    of, _ = there.host(there.site.owner, HONEST, max_diffs=3, max_workers=6, cycle_length=3600)
    version = there.view(of)["version"]
    secret = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
    victim = there.join(version, there.bob).json["token"]
    assert there.report(victim, there.check_in(victim).json, secret).status == 200
    sessions = [there.site.log_in("eve@x.org") for _ in range(4)]
    answers = [there.check_in(there.join(version, each).json["token"]).json for each in sessions]
    accepted = [answer["status"] for answer in answers].count("accepted")
    assert accepted <= 1
    view = there.view(of)
    assert (view["checkpoint"], view["cycle_status"]) == (1, "collecting")


def test_the_host_beside_a_victim_learns_nothing(there: Trainings) -> None:
    policy = {"policy": {"min_participants": 2}}
    assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
    of, _ = there.host(there.eve, HONEST, max_diffs=2, max_workers=4, cycle_length=3600)
    there.decide(of)
    version = there.view(of)["version"]
    victim = there.join(version, there.bob).json["token"]
    assert there.report(victim, there.check_in(victim).json).status == 200
    own = there.check_in(there.join(version, there.eve).json["token"]).json
    assert (own["status"], own["reason"]) == ("rejected", "own-training")
    assert there.view(of)["checkpoint"] == 1


def test_what_a_report_says_beside_its_tensors_is_told_of_all_of_them_together(there: Trainings) -> None:
    """The plan makes loss and accuracy of the victim's rows: 128 bits a report, past the mean."""
    policy = {"policy": {"min_participants": 3}}
    assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
    of, _ = there.host(there.eve, HONEST, max_diffs=3, max_workers=3)
    there.decide(of)
    version = there.view(of)["version"]
    told = "?loss=0.8251673&accuracy=0.3317942&samples=77"
    for who, query in ((there.bob, told), (there.officer, ""), (there.site.ann, "")):
        token = there.join(version, who).json["token"]
        assert there.report(token, there.check_in(token).json, query=query).status == 200
    until_over(there, of)
    for path in ("history", "metrics", "events?timeout=0", ""):
        found = there.site.rest("GET", f"/federated/processes/{of}/{path}".rstrip("/"), who=there.eve)
        assert found.status == 200
        said = found.body.decode()
        assert not any(number in said for number in ("0.8251673", "0.3317942", ":77")), path


def test_and_of_all_of_them_it_is_told(there: Trainings) -> None:
    policy = {"policy": {"min_participants": 2}}
    assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
    of, _ = there.host(there.eve, HONEST, max_diffs=2, max_workers=2)
    there.decide(of)
    version = there.view(of)["version"]
    for who, loss in ((there.bob, 1.0), (there.officer, 2.0)):
        token = there.join(version, who).json["token"]
        assert there.report(token, there.check_in(token).json, query=f"?loss={loss}&samples=4").status == 200
    until_over(there, of)
    (cycle,) = there.site.rest("GET", f"/federated/processes/{of}/metrics", who=there.eve).json["cycles"]
    assert (cycle["loss"], cycle["samples"]) == (1.5, 8)


def test_one_exact_bit_of_a_victim_is_not_told_beside_the_noise(there: Trainings) -> None:
    """A plan that fails, or divides by zero, where a patient's value is above a bound."""
    policy = {"policy": {"clip_norm": 1.0, "noise_multiplier": 1.0}}
    assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
    of, _ = there.host(there.eve, HONEST, max_diffs=2, max_workers=2)
    there.decide(of)
    token = there.join(there.view(of)["version"], there.bob).json["token"]
    part = there.check_in(token).json
    assert part["policy"]["noise_multiplier"] == 1.0, "a participant knows that it must not tell"
    key = {"Grid-Request-Key": part["request_key"]}
    worker = Someone("", token, STRANGER.identity)
    path = f"/federated/assignments/{part['assignment_id']}/failure"
    assert there.site.rest("POST", path, {"reason": "InvalidPlan"}, worker, **key).status in (200, 204)
    for who, values in ((there.bob, np.full_like(ZEROS, np.nan)), (there.site.ann, ZEROS)):
        token = there.join(there.view(of)["version"], who).json["token"]
        assert there.report(token, there.check_in(token).json, values, "?loss=nan").status == 200
    until_over(there, of)
    for way in ("history", "events?timeout=0"):
        told = there.site.rest("GET", f"/federated/processes/{of}/{way}", who=there.eve).body.decode()
        assert not any(each in told for each in ("InvalidPlan", "failed-by-worker", "rejected"))
        known = there.site.rest("GET", f"/federated/processes/{of}/{way}", who=there.site.owner).body.decode()
        assert "failed-by-worker" in known and "InvalidPlan" in known


def test_no_averaging_plan_picks_one_report_of_those_that_the_policy_demands(there: Trainings) -> None:
    def hosted(demanded: int) -> Answer:
        policy = {"policy": {"min_participants": demanded}}
        assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
        _, answer = there.host(there.eve, HONEST, averaging=PICKING, max_diffs=3, max_workers=3)
        return answer

    refused = hosted(3)
    assert (refused.status, refused.code) == (400, "invalid-config") and "averaging plan" in refused.json[
        "detail"
    ]
    assert hosted(1).json["status"] == "waiting"  # nothing is promised there but a review


def until_over(there: Trainings, of: str) -> None:
    deadline = time.monotonic() + 60
    while there.view(of)["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- poison: a number of samples that nobody has --------------------------------------------------------


def test_a_claimed_billion_weighs_what_the_policy_lets_it(there: Trainings) -> None:
    policy = {"policy": {"max_samples": 100}}
    assert there.site.rest("PUT", "/policy", policy, there.site.owner).status == 200
    of, _ = there.host(there.site.owner, HONEST, max_diffs=2, max_workers=2, weighting="samples")
    version = there.view(of)["version"]
    for who, value, claimed in ((there.bob, -1.0, 100), (there.eve, 7.0, 1_000_000_000)):
        token = there.join(version, who).json["token"]
        reported = there.report(
            token, there.check_in(token).json, np.full_like(ZEROS, value), f"?samples={claimed}"
        )
        assert reported.status == 200
        assert reported.json.get("samples") == (100 if claimed > 100 else None)
    for _ in range(100):
        if there.view(of)["status"] == "completed":
            break
        time.sleep(0.1)
    found = there.site.rest("GET", f"/federated/models/biopsies/{version}/latest", who=there.site.owner)
    model = np.frombuffer(found.body[-ZEROS.nbytes :], np.float32)
    np.testing.assert_allclose(model, -3.0)  # base minus the mean of -1 and 7, alike


# -- fed: who reads whose model -------------------------------------------------------------------------


def test_others_models_are_not_there_over_any_way(there: Trainings) -> None:
    of, _ = there.host(there.bob, HONEST)
    there.decide(of)
    version = there.view(of)["version"]
    named = {"name": "biopsies", "version": version, "checkpoint": "latest"}
    reads: list[tuple[str, str, dict[str, Any]]] = [
        ("federated.get", f"/federated/processes/{of}", {"process_id": of}),
        ("federated.history", f"/federated/processes/{of}/history", {"process_id": of}),
        (
            "federated.watch",
            f"/federated/processes/{of}/events?timeout=0",
            {"process_id": of, "timeout": 0.0},
        ),
        ("federated.metrics", f"/federated/processes/{of}/metrics", {"process_id": of}),
        ("federated.review", f"/federated/processes/{of}/review", {"process_id": of}),
        ("federated.retrieve_model", f"/federated/models/biopsies/{version}/latest", named),
        ("federated.retrieve_model", f"/federated/models/biopsies/{version}/1", {**named, "checkpoint": "1"}),
    ]
    for operation, path, data in reads:
        rest = there.site.rest("GET", path, who=there.eve)
        event, message = (way(operation, data, there.eve) for way in (there.site.event, there.site.message))
        assert (rest.status, message.status) == (404, 404), operation
        assert event.status >= 400, operation
        assert there.site.rest("GET", path, who=there.bob).status == 200, operation
    for change in ("pause", "resume", "cancel"):
        path, data = f"/federated/processes/{of}/{change}", {"process_id": of}
        answers = [
            there.site.rest("POST", path, {}, there.eve),
            there.site.event(f"federated.{change}", data, there.eve),
            there.site.message(f"federated.{change}", data, there.eve),
        ]
        assert [answer.code for answer in answers] == ["not-found"] * 3
    listed = there.site.rest("GET", "/federated/processes", who=there.eve).json["processes"]
    found = there.site.rest("POST", "/search", {"kind": "model"}, there.eve).json["entries"]
    assert of not in [each["process_id"] for each in listed] + [each["id"] for each in found]


# -- what the reviewer sees at a glance -----------------------------------------------------------------


TURN = torch.linalg.qr(torch.arange(25.0).reshape(5, 5).cos())[0]


@make_plan
def hidden_in_a_rotation(
    xs: Any = torch.randn(ROWS, 3),
    ys: Any = torch.randint(0, 2, (ROWS,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(ROWS, 3)]),
) -> Any:
    """No number of it is a row's alone; together they are all rows, a thousandth of their size."""
    return (params[0] * 0).sum(), params[0] + 1e-3 * (TURN @ xs)


@pytest.mark.parametrize(
    ("plan", "verdict"), [(stealing, "copies"), (hidden_in_a_rotation, "copies"), (honest, "mixes")]
)
def test_the_reviewers_page_says_which_results_carry_rows_back(
    there: Trainings, plan: sy.Plan, verdict: str
) -> None:
    of, _ = there.host(there.eve, plan.dumps())
    page = there.site.rest("GET", f"/federated/processes/{of}/review", who=there.officer)
    (hosted,) = page.json["plans"]
    results = {each["output"]: each for each in hosted["trial"]["results"]}
    assert hosted["trial"]["problem"] == "" and hosted["trial"]["made"] == "self-test"
    (params,) = (each for name, each in results.items() if each["role"] == "param")
    assert params["verdict"] == verdict, results
    assert results[""]["verdict"] == verdict, "all results together"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**2000])
def test_no_number_in_a_configuration_stops_the_list_of_trainings(there: Trainings, number: int) -> None:
    """JSON has numbers that messages have not: then no reviewer could list or read what waits."""
    of, answer = there.host(there.eve, HONEST, client={"deep": [{"number": number}]})
    assert (of, answer.status, answer.code) == ("", 400, "invalid-config")
    for who in (there.officer, there.site.owner):
        assert there.site.message("federated.list", {}, who).code == "ok"
