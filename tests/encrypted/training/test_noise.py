"""Encrypted trainings whose participants add noise: what the sum holds, what a policy takes, what the ledger is
charged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import select

import syft_ext as sy
from grid.federated.intake.ckks import CkksFormat
from grid.privacy.budget.ledger import cost_of_rho
from grid.privacy.budget.ledger_tables import PrivacyCharge
from syft_ext.encrypted.sums import EncryptedSumTerms
from syft_ext.errors import InvalidConfig
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.statement import loss_of_round
from tests.encrypted.training.site import MODEL, Site, changes
from tests.encrypted.training.test_people import Person

COUNT = 4205


def noisy(site: Site, **fields: float) -> sy.EncryptedSums:
    known = {"clip": 1.0, "norm": 1.0, "noise": 2.0, **fields}
    return sy.EncryptedSums(keys=site.keys, **known)  # type: ignore[arg-type]


def offer(site: Site, name: str = "t", server: dict[str, int] | None = None, **fields: float) -> sy.Training:
    config = {"num_cycles": 2, "max_diffs": 3, "max_workers": 6, **(server or {})}
    return site.offer(noisy(site, **fields), name, config)


def charges(site: Site) -> list[int]:
    with site.pipeline.store.database.read() as session:
        return list(session.scalars(select(PrivacyCharge.cost)))


def test_a_policy_with_noise_is_kept_by_the_participants(site: Site, tmp_path: Path) -> None:
    site.set_policy(participation="accepted", clip_norm=1.0, noise_multiplier=2.0)
    training = offer(site)
    learned = changes(1, 3)
    for number, change in enumerate(learned):
        assert Person(site, tmp_path, f"user{number}").check_in("phone", change=change) == ["accepted"]
    site.summed()
    opened = training.decrypt(site.keys)
    flat = [-np.concatenate([c[n].double().reshape(-1).numpy() for n in ("weight", "bias")]) for c in learned]
    clipped = sum(each / max(1.0, float(np.linalg.norm(each))) for each in flat)
    noise = opened.sums - clipped
    # 3 of 3 honest: the shares make a deviation of exactly 2, and its estimate has one of 2/sqrt(8410).
    assert abs(float(noise.std()) - 2.0) < 5 * 2.0 / (2 * COUNT) ** 0.5
    assert abs(float(noise.mean())) < 5 * 2.0 / COUNT**0.5
    kurtosis = float(((noise - noise.mean()) ** 4).mean() / noise.var() ** 2)
    assert abs(kurtosis - 3) < 5 * (24 / COUNT) ** 0.5
    assert np.array_equal(opened.sums, np.rint(opened.sums * 2.0**23) / 2.0**23), "whole steps"
    training.advance(opened)
    site.until(training.id, 1)
    checkpoint = site.pipeline.views.checkpoint(site.pipeline.definitions.get(training.id))
    assert checkpoint.policy is not None and checkpoint.policy.noise_multiplier == 2.0
    # Once for each cycle that was opened, and what secure aggregation with as much noise is charged.
    terms = EncryptedSumTerms.parse(site.pipeline.definitions.get(training.id).server.report_options)
    server = site.pipeline.definitions.get(training.id).server
    layout = site.pipeline.definitions.layout(training.id)
    rho = CkksFormat().loss(server, lambda: layout)
    masked = SumRules(participants=3, threshold=3, minimum=3, corrupt=0, clip=1.0, noise=2.0, bits=64)
    assert rho == pytest.approx(loss_of_round(masked, COUNT), rel=1e-6)
    assert rho == pytest.approx(1 / (2 * 2.0**2), rel=1e-6) and terms.noise == 2.0
    assert charges(site) == [cost_of_rho(rho)] * 2


def test_noise_of_nobody_knows_whom_keeps_no_policy(site: Site) -> None:
    """Of reports without a name all but one may be an attacker's, and then one share is all the noise there is."""
    site.set_policy(clip_norm=1.0, noise_multiplier=2.0)
    with pytest.raises(InvalidConfig, match="all but one may be somebody who adds none") as caught:
        offer(site)
    assert caught.value.extra["field"] == "report_options.noise"


def test_what_the_policy_does_not_take(site: Site) -> None:
    site.set_policy(participation="accepted", clip_norm=1.0, noise_multiplier=2.0)
    for name, fields, field in (
        ("less", {"noise": 1.99}, "report_options.noise"),
        ("wider", {"norm": 1.5, "noise": 2.0}, "report_options.norm"),
        ("smaller", {"norm": 0.5, "noise": 2.0}, "report_options.noise"),
    ):
        with pytest.raises(InvalidConfig) as caught:
            offer(site, name, **fields)
        assert caught.value.extra["field"] == field
    with pytest.raises(InvalidConfig, match="only the sum is seen"):
        site.begin("none")
    assert offer(site, "both", norm=0.5, noise=4.0).status == "running"
    site.set_policy(participation="accepted", clip_norm=1.0)
    with pytest.raises(InvalidConfig, match="only the sum is seen"):
        offer(site, "clipping")


def test_what_could_wrap_around_with_its_noise_is_refused(site: Site) -> None:
    with pytest.raises(InvalidConfig, match="less noise"):
        offer(site, noise=200.0)
    for fields, field in (
        ({"noise": 1e-7}, "noise"),
        ({"corrupt": 2}, "corrupt"),
        ({"norm": None}, "norm"),
        ({"noise": None, "corrupt": 1}, "corrupt"),
        ({"norm": 1e-9}, "norm"),
    ):
        with pytest.raises(InvalidConfig) as caught:
            noisy(site, **fields).config({"max_diffs": 3})  # type: ignore[arg-type]
        assert caught.value.extra["field"] in (field, "parameters"), fields


def test_reviewers_read_what_the_noise_is_worth(site: Site) -> None:
    training = offer(site, corrupt=1)
    text = " ".join(training.review().statement)
    for said in ("2 honest participants, of 3 at least", "deviation of 2 ", "√(k/2)", "Over all 2 cycles"):
        assert said in text, said
    assert "No noise" not in text
    options = site.pipeline.definitions.get(training.id).server.report_options
    rules = EncryptedSumTerms.parse(options).rules(COUNT)
    assert rules.honest == 2
    # Two of three alone make the whole deviation.
    assert float(rules.variance * 2) ** 0.5 * rules.step == pytest.approx(2.0)


def test_a_workers_own_noise_is_in_the_sum_too(site: Site) -> None:
    training = site.begin(num_cycles=1, clip=16.0)
    for change in changes(3, 3):
        client = sy.FLClient(site.served.url, bounds=WorkerBounds(clip_norm=1.0, noise_multiplier=1.0))
        site._clients.append(client)
        job = client.new_job("t", "1")
        job.authenticate()
        job.take(job.session.check_in(f"key {id(change)}"))
        job.report({name: value + change[name] for name, value in MODEL.items()})
    site.summed()
    opened = training.decrypt(site.keys).sums
    spread = 3**0.5
    assert abs(float(opened.std()) - spread) < 5 * spread / (2 * COUNT) ** 0.5
    assert torch.isfinite(torch.from_numpy(opened)).all()
