"""A format that one side does not have: refused in words, and before anybody trains."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from grid.federated.intake.plain import PlainFormat
from grid.federated.intake.registry import FORMATS
from syft_ext.errors import InvalidConfig, Unavailable, Unsupported
from syft_ext.federated.formats.registry import ENCODERS
from syft_ext.messages.federated import CheckIn
from tests.federated.driver import Driver
from tests.federated.formats.conftest import Install
from tests.federated.formats.home import Home
from tests.federated.formats.key_host import KEY_HOSTS
from tests.federated.models import small_model

LATER = """
[grid.report_formats]
later = tests.federated.formats.test_unknown:LaterFormat
"""
MODEL = {"w": torch.zeros(3)}
HALF = """
[grid.report_formats]
{name} = tests.federated.formats.sealed:SealedFormat
"""


class LaterFormat(PlainFormat):
    """Plain reports that are read when their cycle is closed."""

    name = "later"
    streams = False


def host(home: Home, **server_config: object) -> str:
    config = {"report_format": "locked", "report_options": {"key_host": "host"}, "max_diffs": 1}
    return home.host(MODEL, **{**config, **server_config})


def never(job: sy.FLJob) -> None:
    pytest.fail("it must not train")


def test_a_node_refuses_to_host_it_and_names_those_it_has(home: Home) -> None:
    with pytest.raises(InvalidConfig, match="no report format 'smoke', there are: plain, ") as caught:
        host(home, report_format="smoke")
    assert caught.value.extra["field"] == "report_format"
    for known in ("masked", "locked"):
        assert known in caught.value.detail
    for wrong in ("", 7, "x" * 65):
        with pytest.raises(InvalidConfig, match="report_format"):
            host(home, report_format=wrong)


def test_a_format_must_have_the_name_of_its_entry_point(home: Home, install: Install) -> None:
    install("grid_test_misnamed", HALF.format(name="misnamed"))
    with pytest.raises(InvalidConfig, match="must have that name") as caught:
        host(home, report_format="misnamed")
    assert caught.value.extra["field"] == "report_format"


def test_a_worker_that_does_not_know_it_takes_no_slot(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    process_id = host(home)
    monkeypatch.setattr(ENCODERS, "_made", {})
    monkeypatch.setattr(ENCODERS, "_group", "nobody.has.it")
    with sy.FLClient(home.served.url) as client:
        for take_part in (lambda: client.new_job("t", "1").run(never), client.new_job("t", "1").start):
            with pytest.raises(Unsupported, match="no report format 'locked', there are: plain"):
                take_part()
    assert home.pipeline.views.process(process_id).admitted == 0


def test_a_worker_that_cannot_honour_its_options_gives_its_slot_back(home: Home) -> None:
    process_id = host(home, max_workers=1)
    trusted = KEY_HOSTS.pop("host")
    with sy.FLClient(home.served.url) as client:
        with pytest.raises(Unsupported, match="does not trust"):
            client.new_job("t", "1").run(never)
        KEY_HOSTS["host"] = trusted
        trusted.cohort = 1
        job = client.new_job("t", "1")
        assert job.run(lambda job: [value + 1 for value in job.model], max_cycles=1).cycles == 1
    assert home.until(process_id, 1).cycles_completed == 1


def test_a_node_that_lost_it_admits_nobody(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process_id = host(home)
    home.stop()
    shutil.rmtree(tmp_path / "site" / "grid_test_formats-1.0.dist-info")
    monkeypatch.setattr(FORMATS, "_made", {})
    home.start()
    view = home.pipeline.views.process(process_id)
    assert (view.status, view.report_format) == ("running", "locked")  # it can still be seen, and cancelled
    with sy.FLClient(home.served.url) as client:
        session = client.session("t", "1")
        session.authenticate()
        with pytest.raises(Unavailable, match="no report format 'locked'"):
            session.call(CheckIn(idempotency_key="k"))
    assert home.pipeline.views.process(process_id).admitted == 0
    home.pipeline.tasks.cancel(process_id)


def test_a_format_that_is_gone_for_a_while_ends_nothing(
    driver: Driver, install: Install, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("grid_test_later", LATER)
    driver.host({"max_diffs": 2, "num_cycles": 2, "report_format": "later"})
    parts = [driver.join() for _ in range(2)]
    driver.report(parts[0], small_model())
    monkeypatch.setattr(driver.pipeline.averaging, "_work", lambda message: None)  # the power fails here
    driver.report(parts[1], small_model())
    driver.pipeline.stop()
    shutil.rmtree(tmp_path / "site" / "grid_test_later-1.0.dist-info")
    monkeypatch.setattr(FORMATS, "_made", {})
    for installed in (False, False, True):
        again = Driver(driver.pipeline.store.database, driver.pipeline.store.blobs)
        again.process_id = driver.process_id
        if installed:
            install("grid_test_later", LATER)
        again.pipeline.start()
        try:
            if installed:
                again.completed(1)
                again.join()
                break
            assert again.pipeline.drain()
            with pytest.raises(Unavailable, match="no report format 'later'"):
                again.join()
            assert (again.view.status, again.view.cycles_completed) == ("running", 0)
        finally:
            again.pipeline.stop()
