"""Attacks by way of what was computed: its rows, tags and statistics were chosen by who computed it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from syft_ext.errors import Forbidden
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.statistics import Begin
from tests.compute.lab import Person, ref

from .site import OWNER, Site


class Scene:
    """Ann's table, of which Eve may have statistics, and on which she may compute; nobody else reads it."""

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

    def mean(self, object_id: str) -> Any:
        return self.eve.call(Begin(object_id=object_id, statistics=["mean"], columns=["age"]))


@pytest.fixture(scope="module")
def scene(site: Site) -> Scene:
    return Scene(site)


def test_statistics_of_chosen_rows_are_no_statistics(scene: Scene) -> None:
    """Whoever may have statistics and compute, and read nothing, must not have both together: the mean of a
    thousand copies of one row is that row, whatever the policy says of small groups."""
    scene.owner.call(SetPolicy(policy=SitePolicy(min_rows=10)))
    try:
        assert scene.mean(scene.table).columns[0].count == [40]
        with pytest.raises(Forbidden):
            scene.mean(scene.copies_of_a_row())
    finally:
        scene.owner.call(SetPolicy(policy=SitePolicy()))
