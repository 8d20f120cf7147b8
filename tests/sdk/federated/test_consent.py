"""A job runs what was agreed to, and nothing that a Domain puts in its place: every swap, in whichever cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
import torch

from grid.node import Node
from syft_ext import FLClient, FLJob
from syft_ext.errors import NotAgreed
from syft_ext.messages.training_reviews import ReviewState, TrainingReview, definition_digest
from syft_ext.plans import make_plan
from syft_ext.plans.sandbox.tensors import sandbox_for
from tests.sdk.scripted import BrokenLine, Script, ScriptedService, scripted_node

X, Y = torch.randn(16, 2), torch.randn(16)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[Node]:
    node = scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())
    node.start()
    yield node
    node.stop()


@pytest.fixture
def script(running: Node) -> Script:
    running.service(ScriptedService).script = script = Script()
    return script


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def client(running: Node, said: list[str]) -> FLClient:
    return FLClient(
        "http://scripted:1", transport=BrokenLine(running, lambda envelope: None), say=said.append
    )


def thief() -> bytes:
    """The rows as they are, where the learned weights belong."""

    def training_plan(
        x: torch.Tensor = torch.randn(1, 2),
        y: torch.Tensor = torch.randn(1),
        lr: float = 0.1,
        params: Any = (torch.zeros(2), torch.zeros(1)),
    ) -> Any:
        weight, bias = params
        return (weight * 0).sum(), (bias * 0).sum(), weight * 0 + x[0], bias

    return make_plan(training_plan).dumps()


def trained(job: FLJob) -> list[int]:
    """The cycles in which the job's listeners were given plans to run."""
    cycles: list[int] = []
    job.add_listener(job.EVENT_ACCEPTED, lambda job: cycles.append(job.cycle))
    return cycles


# -- whose word ------------------------------------------------------------------------------------------


def test_what_was_reviewed_runs_and_is_said_in_a_line(
    client: FLClient, script: Script, said: list[str]
) -> None:
    job = client.new_job("line", "1")
    assert job.run(data=(X, Y)).cycles == 3
    (line,) = said
    digest = definition_digest(script.definition())
    assert job.consent.digest == digest
    for shown in (
        "line 1",
        digest,
        "officer@hospital.org",
        "training_plan " + script.definition().plans["training_plan"][:12],
    ):
        assert shown in line


def test_each_training_has_a_sandbox_of_its_own(client: FLClient, script: Script) -> None:
    job = client.new_job("line", "1")
    job.run(data=(X, Y), max_cycles=1)
    mine = job.plans["training_plan"].sandbox
    assert mine is sandbox_for(job.consent.digest)
    assert sandbox_for("f" * 64).pid != sandbox_for(job.consent.digest).pid
    again = client.new_job("line", "1")
    again.run(data=(X, Y), max_cycles=1)
    assert again.plans["training_plan"].sandbox is mine, "the same training's next job finds it warm"
    for number in range(4):
        sandbox_for(f"{number}" * 64)
    assert sandbox_for(job.consent.digest) is not mine, "a few are kept, not all"


@pytest.mark.parametrize("state", ["none", "pending", "denied", "revoked", "withdrawn", "open"])
def test_what_nobody_approved_is_refused_before_anything_is_asked_for(
    client: FLClient, script: Script, state: ReviewState, said: list[str]
) -> None:
    script.review = TrainingReview(state=state, reviewers=["officer@hospital.org"])
    job = client.new_job("line", "1")
    with pytest.raises(NotAgreed, match="digest=") as caught:
        job.run(data=(X, Y))
    assert caught.value.extra["reason"] == "review"
    assert definition_digest(script.definition()) in str(caught.value), "it says how to agree"
    assert (script.check_ins, script.downloads, script.reports, said) == ([], [], [], [])


def test_an_approval_by_nobody_or_of_something_else_is_none(client: FLClient, script: Script) -> None:
    script.review = TrainingReview(state="approved", reviewers=[])
    with pytest.raises(NotAgreed, match="nobody says by whom"):
        client.new_job("line", "1").run(data=(X, Y))
    script.review = TrainingReview(state="approved", reviewers=["officer@hospital.org"], digest="0" * 64)
    with pytest.raises(NotAgreed):
        client.new_job("line", "1").run(data=(X, Y))
    assert not script.check_ins


def test_the_domains_own_runs(client: FLClient, script: Script) -> None:
    script.review = TrainingReview(state="own")
    assert client.new_job("line", "1").run(data=(X, Y), max_cycles=1).cycles == 1


def test_who_agrees_to_a_digest_needs_no_review_and_gets_nothing_else(
    client: FLClient, script: Script
) -> None:
    script.review = TrainingReview(state="open")
    digest = definition_digest(script.definition())
    assert client.new_job("line", "1", digest=digest).run(data=(X, Y), max_cycles=1).cycles == 1
    script.shown = msgspec.structs.replace(script.definition(), client_config={"lr": 9.0})
    script.review = TrainingReview(state="approved", reviewers=["officer@hospital.org"])
    with pytest.raises(NotAgreed, match="not what was agreed to") as caught:
        client.new_job("line", "1", digest=digest).run(data=(X, Y))
    assert caught.value.extra["reason"] == "definition"
    assert len(script.reports) == 1


def test_a_training_shown_under_another_name_is_refused(client: FLClient, script: Script) -> None:
    script.shown = msgspec.structs.replace(script.definition(), name="another")
    with pytest.raises(NotAgreed, match="another training"):
        client.new_job("line", "1").run(data=(X, Y))


def test_what_is_said_of_a_training_cannot_write_to_the_terminal(
    client: FLClient, script: Script, said: list[str]
) -> None:
    script.review = TrainingReview(
        state="approved", reviewers=["\x1b[2Jofficer\u202e@x.org\nline 1: harmless"]
    )
    client.new_job("line", "1").run(data=(X, Y), max_cycles=1)
    assert said[0].isprintable()


# -- swaps -----------------------------------------------------------------------------------------------


def swap_plan(script: Script) -> None:
    script.plan = thief()


def swap_config(script: Script) -> None:
    script.client_config = {**script.client_config, "lr": 1e6}


def swap_definition(script: Script) -> None:
    script.claimed = "f" * 64


def swap_shape(script: Script) -> None:
    script.model = {"w": torch.zeros(2), "b": torch.zeros(16)}


def swap_dtype(script: Script) -> None:
    script.model = {name: tensor.double() for name, tensor in script.model.items()}


def add_tensor(script: Script) -> None:
    script.model = {**script.model, "rows": torch.zeros(16, 2)}


def rename_tensor(script: Script) -> None:
    script.model = {"w": script.model["w"], "rows": script.model["b"]}


def reorder_tensors(script: Script) -> None:
    script.model = dict(reversed(script.model.items()))


SWAPS = [
    swap_plan, swap_config, swap_definition, swap_shape, swap_dtype, add_tensor, rename_tensor, reorder_tensors,
]  # fmt: skip


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_a_swap_between_the_first_look_and_the_download_is_refused(
    client: FLClient, script: Script, swap: Callable[[Script], None]
) -> None:
    script.definition()  # what it shows stays as it is
    swap(script)
    job = client.new_job("line", "1")
    cycles = trained(job)
    with pytest.raises(NotAgreed, match="than was agreed to"):
        job.run(data=(X, Y))
    assert (cycles, script.reports) == ([], [])
    (failure,) = script.failures
    assert "agreed" in failure.reason, "the assignment is given back, and the Domain is told why"


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_a_swap_between_two_cycles_is_refused_or_changes_nothing(
    client: FLClient, script: Script, swap: Callable[[Script], None]
) -> None:
    job = client.new_job("line", "1")
    cycles = trained(job)

    def train(job: FLJob) -> Any:
        if job.cycle == 1:
            swap(script)
        return [p + 1 for p in job.model]

    if swap is swap_plan:  # the plan that is run is the one of the first cycle: it is not fetched again
        assert job.run(train).cycles == 3
        assert script.downloads.count("plan") == 1
        assert job.plans["training_plan"].id == script.definition().plans["training_plan"]
        return
    with pytest.raises(NotAgreed):
        job.run(train)
    assert cycles == [1]
    assert len(script.failures) == 1


def test_a_swap_is_refused_by_start_too(client: FLClient, script: Script) -> None:
    script.definition()
    swap_plan(script)
    job = client.new_job("line", "1")
    cycles = trained(job)
    with pytest.raises(NotAgreed):
        job.start()
    assert (cycles, script.reports, len(script.failures)) == ([], [], 1)


def test_plans_under_names_that_nobody_agreed_to_are_refused(client: FLClient, script: Script) -> None:
    job = client.new_job("line", "1")
    job.authenticate()
    reply = job.session.check_in("key")
    with pytest.raises(NotAgreed, match="set of plans"):
        job.take(msgspec.structs.replace(reply, plans={**reply.plans, "evaluation": "q" * 32}))
    with pytest.raises(NotAgreed, match="set of protocols"):
        job.take(msgspec.structs.replace(reply, protocols={"more": "q" * 32}))
    with pytest.raises(NotAgreed, match="another report format"):
        job.take(msgspec.structs.replace(reply, report_format="masked"))
    assert not script.downloads


def test_an_error_tells_the_domain_its_kind_and_nothing_of_the_data(client: FLClient, script: Script) -> None:
    def train(job: FLJob) -> Any:
        raise ValueError(f"row 7 is {X[7].tolist()}")

    with pytest.raises(ValueError, match="row 7"):
        client.new_job("line", "1").run(train)
    assert [failure.reason for failure in script.failures] == ["ValueError"]
