"""What an encrypted sum is of: people, where they are known; and what a training says that it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from sqlalchemy import select

import syft_ext as sy
from grid.federated.state.encrypted_tables import EncryptedSumRow
from syft_ext.client.watch import waited_for
from syft_ext.errors import NotFound
from tests.encrypted.training.site import MODEL, Site, changes
from tests.sdk.live import PASSWORD
from tests.user_folder import fresh_user


class Person:
    """A user with as many devices as they like."""

    def __init__(self, site: Site, folder: Path, name: str) -> None:
        self._site, self._folder, self._email = site, folder / name, f"{name}@lab.org"
        site.owner.users.create(self._email, PASSWORD)

    def check_in(self, *devices: str, change: Mapping[str, torch.Tensor] | None = None) -> list[str]:
        """What each device hears; whoever has a slot reports, the model plus ``change``."""
        change = changes(1, 1)[0] if change is None else change
        heard = []
        with fresh_user(self._folder):
            sy.login(self._site.served.url, self._email, PASSWORD)
            for device in devices:
                client = sy.FLClient(self._site.served.url, device=device)
                job = client.new_job("t", "1")
                job.authenticate()
                answer = job.session.check_in(f"{self._email} {device}")
                heard.append(answer.reason or answer.status)
                if answer.status == "accepted":
                    job.take(answer)
                    job.report({name: value + change[name] for name, value in MODEL.items()})
                client.close()
        return heard


def test_several_workers_of_one_person_make_up_no_sum(site: Site, tmp_path: Path) -> None:
    site.set_policy(participation="accepted")
    training = site.begin(num_cycles=1)
    sue, eve, bob = (Person(site, tmp_path, name) for name in ("sue", "eve", "bob"))
    assert training.refresh().view.waits_for == ""
    assert sue.check_in("phone", "laptop", "desktop") == ["accepted", "taking-part", "taking-part"]
    assert site.pipeline.drain()
    view = training.refresh().view
    assert (view.cycle_status, view.reported) == ("collecting", 1)
    assert view.waits_for == "3 different participants in cycle 1, of whom 1 has reported"
    assert view.waits_for in waited_for(view) and view.waits_for in repr(training.table())
    with site.pipeline.store.database.read() as session:
        assert not session.scalars(select(EncryptedSumRow)).all(), "no sum is made of one person's reports"
    with pytest.raises(NotFound):
        training.decrypt(site.keys)
    assert eve.check_in("phone") == ["accepted"]
    assert "2 have reported" in training.refresh().view.waits_for
    assert bob.check_in("phone") == ["accepted"]
    site.summed()
    view = training.refresh().view
    assert view.waits_for == "its host, to open the sum of cycle 1"
    assert waited_for(view) == f"waits for {view.waits_for}"
    assert view.waits_for in repr(training.table())
    opened = training.decrypt(site.keys)
    assert opened.count == 3
    training.advance(opened)
    site.until(training.id, 1)
    assert training.refresh().view.waits_for == "" and training.status == "completed"


def test_the_hosts_own_report_does_not_count(site: Site, tmp_path: Path) -> None:
    site.set_policy(participation="accepted")
    site.begin(num_cycles=1)
    with fresh_user(tmp_path / "host"):
        sy.login(site.served.url, "owner@hospital.org", PASSWORD)
        job = sy.FLClient(site.served.url).new_job("t", "1")
        job.authenticate()
        assert job.session.check_in("mine").reason == "own-training"
