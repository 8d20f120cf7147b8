"""Hole 11 of the original PyGrid: any user could start (paid) machines."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from grid.environments.processes import command_of, processes
from grid.environments.service import EnvironmentService
from syft_ext.errors import BadRequest

from .site import STRANGER, Site

pytestmark = pytest.mark.usefixtures("unchanged")


def test_hole_11_only_who_manages_infrastructure_makes_environments(site: Site) -> None:
    """Not a user, and not an administrator, whose role lacks that one flag; not for themselves, not for others."""
    for who, code in ((site.eve, "forbidden"), (site.ann, "forbidden"), (STRANGER, "unauthenticated")):
        for body in ({}, {"user": who.id}, {"user": site.owner.id}, {"instance_type": "large"}):
            said = site.every_way("environments.create", "POST", "/environments", body, who)
            assert set(said) == {code}, (body, said)
    flagged = {"can_manage_infrastructure": True, "user_id": site.owner.id}
    assert site.message("environments.create", flagged, site.eve).code == "forbidden"
    home = str(site.home.resolve() / "environments")
    assert not any(home in argument for process in processes() for argument in command_of(process))
    refused = site.audited(operation="environments.create")
    assert len(refused) >= 20 and {entry["outcome"] for entry in refused} == {"forbidden", "unauthenticated"}


def test_hole_11_nor_looks_at_or_ends_those_of_others(site: Site) -> None:
    everybody = {"include_all": True}
    assert site.rest("GET", "/environments?include_all=true", who=site.eve).code == "forbidden"
    assert site.message("environments.list", everybody, site.ann).code == "forbidden"
    assert site.rest("GET", "/environments", who=site.eve).json == {"environments": []}
    nobodys = {"environment_id": "0" * 32}
    for operation, method in (("environments.get", "GET"), ("environments.destroy", "DELETE")):
        path = "/environments/" + "0" * 32
        assert set(site.every_way(operation, method, path, nobodys, site.eve)) == {"not-found"}
        assert set(site.every_way(operation, method, path, nobodys)) == {"unauthenticated"}


def test_what_a_command_line_names_is_not_removed(site: Site) -> None:
    """The keeper ends what no environment belongs to, and finds it by command lines, which anybody writes: the
    parent of the folder is none of it, however it is written."""
    folder = site.home.resolve() / "environments"
    folder.mkdir(mode=0o700, exist_ok=True)
    wait = "import time; time.sleep(60)"
    service = site.domain.node.service(EnvironmentService)
    with subprocess.Popen([sys.executable, "-c", wait, f"{folder}{os.sep}.."]) as bystander:
        try:
            service._keeper._next_strays = 0.0
            service.keep()
            assert bystander.poll() is None and (site.home / "node.key").exists()
        finally:
            bystander.kill()
    for provider in service.manager.providers.values():
        with pytest.raises(BadRequest):
            provider.tidy("..")
    assert (site.home / "node.key").exists()
