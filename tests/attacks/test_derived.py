"""Attacks by way of what was computed: its rows, tags and statistics were chosen by who computed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from syft_ext.errors import Forbidden
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import CreateRequest, RequestView, WithdrawRequest
from syft_ext.messages.rules import ClearRules, CreateRule
from syft_ext.messages.statistics import Begin
from tests.compute.lab import Person, ref

from .site import OWNER, Site


class Scene:
    """Ann's table, of which Eve may have statistics, and on which Eve may compute; nobody else reads it."""

    def __init__(self, site: Site) -> None:
        self.owner, self.ann, self.eve = (
            Person(site.domain.url, email) for email in (OWNER, "ann@x.org", "eve@x.org")
        )
        self.table = self.ann.put({"age": torch.arange(20.0, 60.0)}, "tensors", tags=["cohort"])
        self.ann.share(self.table, analysts=[self.eve.id], programmers=[self.eve.id])

    def copies_of_a_row(self, **fields: Any) -> str:
        """Eve's object: a thousand copies of the first row."""
        remote = self.eve.open()
        row = remote.do("aten.slice.Tensor", ref(remote.load(self.table, "age")), 0, 0, 1)
        many = remote.do("aten.clone.default", ref(remote.do("aten.expand.default", ref(row), ["l", 1000])))
        kept = remote.keep(many, names=["age"], **fields).id
        remote.close()
        return kept

    def ask(self, object_id: str, scope: Any) -> str:
        """The state that Eve's request is in at once."""
        asked: RequestView = self.eve.call(CreateRequest(object_id=object_id, scope=scope))
        if asked.state == "pending":
            self.eve.call(WithdrawRequest(request_id=asked.id))
        return asked.state

    def mean(self, object_id: str) -> Any:
        return self.eve.call(Begin(object_id=object_id, statistics=["mean"], columns=["age"]))


@pytest.fixture(scope="module")
def scene(site: Site) -> Scene:
    return Scene(site)


@pytest.fixture
def rules(scene: Scene) -> Iterator[None]:
    """Ann's rules do not outlive the test."""
    yield
    scene.ann.call(ClearRules())


def test_statistics_of_chosen_rows_are_no_statistics(scene: Scene) -> None:
    """Whoever may have statistics and compute, and read nothing, must not have both together: the mean of a
    thousand copies of one row is that row, whatever the policy says of small groups."""
    scene.owner.call(SetPolicy(policy=SitePolicy(min_rows=10)))
    try:
        (count,) = scene.mean(scene.table).columns[0].count
        assert count is None or abs(count - 40) < 60, "a noisy count, or none: 40 rows are few"
        with pytest.raises(Forbidden):
            scene.mean(scene.copies_of_a_row())
    finally:
        scene.owner.call(SetPolicy(policy=SitePolicy()))


@pytest.mark.usefixtures("rules")
def test_tags_that_were_chosen_open_no_standing_rule(scene: Scene) -> None:
    scene.ann.call(CreateRule(action="accept", scope="read", tags=["open data"]))
    kept = scene.copies_of_a_row(tags=["open data"])
    assert scene.ask(kept, "read") == "pending"
    with pytest.raises(Forbidden):
        scene.eve.get(kept, "tensors")
    scene.ann.share(scene.table, tags=["cohort", "open data"])  # what Ann says of their own data counts
    try:
        assert scene.ask(kept, "read") == "approved"
    finally:
        scene.ann.share(scene.table, tags=["cohort"])


@pytest.mark.usefixtures("rules")
def test_rows_that_were_chosen_are_not_what_a_rule_on_statistics_means(scene: Scene) -> None:
    scene.ann.call(CreateRule(action="accept", scope="statistics", tags=["cohort"]))
    scene.ann.call(CreateRule(action="accept", scope="statistics"))
    assert scene.ask(scene.table, "statistics") == "approved"
    kept = scene.copies_of_a_row(tags=["cohort"])
    assert scene.ask(kept, "statistics") == "pending"
    scene.ann.call(CreateRule(action="accept", scope="statistics", object_id=kept))  # that one Ann has seen
    assert scene.ask(kept, "statistics") == "approved"


@pytest.mark.usefixtures("rules")
def test_a_denial_is_not_avoided_by_computing_something_first(scene: Scene) -> None:
    scene.ann.call(CreateRule(action="deny", tags=["cohort"]))
    scene.ann.call(CreateRule(action="accept", elements=5000))
    assert scene.ask(scene.table, "read") == "denied"
    assert scene.ask(scene.copies_of_a_row(), "read") == "denied"
