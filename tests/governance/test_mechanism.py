"""The mechanism that the site's policy names makes the noise of plans' results; what cannot is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from syft_ext.errors import InvalidConfig, Unavailable
from syft_ext.messages.policy import SetPolicy, SitePolicy
from tests.accounts.people import House
from tests.governance.plan_story import PlanStory
from tests.privacy.shifted import SHIFT, installed

__all__ = ["installed"]

DEMAND = SitePolicy(clip_norm=1.0, noise_multiplier=1.0, mechanism="shifted")


def test_results_of_plans_get_its_noise(sandbox: object, sqlite_house: House, installed: Path) -> None:
    story = PlanStory(sqlite_house)
    asked = story.ask()
    story.seen_by(story.ann, asked).approve(uses=2)
    story.owner.call(SetPolicy(policy=DEMAND))
    mean = story.xs.mean(0)
    wanted = (mean / mean.norm()).double() + SHIFT
    assert torch.allclose(asked.run().double(), wanted, atol=1e-6, rtol=0)
    assert SHIFT > 1e-4
    installed.rename(installed.with_name("gone"))
    with pytest.raises(Unavailable, match="shifted"):
        asked.run()
    installed.with_name("gone").rename(installed)
    asked.run()  # what could not be done took no use


def test_what_is_not_there_or_cannot_do_it_is_refused_when_it_is_named(sqlite_house: House) -> None:
    owner = sqlite_house.set_up()
    for name in ("shifted", "clipping", "discrete_laplace", "no such"):
        for noise in (None, 1.0):
            with pytest.raises(InvalidConfig):
                owner.call(
                    SetPolicy(policy=SitePolicy(clip_norm=1.0, noise_multiplier=noise, mechanism=name))
                )
    with pytest.raises(InvalidConfig, match="64 bits") as caught:
        owner.call(SetPolicy(policy=SitePolicy(clip_norm=1.0, noise_multiplier=1e12)))
    assert caught.value.extra["field"] == "noise_multiplier"
