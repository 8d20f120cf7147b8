"""On a machine that lacks a protection nothing of strangers runs, and people are told what is missing and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from syft_ext.source_roots import SOURCE_ROOT
from tests.confinement.without import LACKING, command

PROBE = """
import sys; sys.path.insert(0, sys.argv[1])
import json
from syft_ext.confinement.gate import Gate
from syft_ext.errors import Unconfined
gate = Gate()
try:
    gate.check()
    said, code = "", ""
except Unconfined as error:
    said, code = error.detail, error.code
warning = Gate(permissive=True).warning()
print(json.dumps({"missing": gate.look().missing, "said": said, "code": code, "warning": warning}))
"""
REASONS = {
    "landlock": ("landlock", "Landlock: not in this kernel"),
    "landlock-at-boot": ("landlock", "lsm="),
    "landlock-rules": ("landlock", "landlock_add_rule"),
    "landlock-restrict": ("landlock", "landlock_restrict_self"),
    "namespaces": ("namespaces", "user namespaces are not allowed"),
    "namespaces-limit": ("namespaces", "max_user_namespaces"),
    "mounts": ("namespaces", "mount_setattr"),
    "trees": ("namespaces", "open_tree"),
    "pivot": ("namespaces", "pivot_root"),
    "seccomp": ("seccomp", "seccomp: not in this kernel"),
    "seccomp-filters": ("seccomp", "not in this kernel"),
    "rlimits": ("rlimits", "rlimits: "),
    "privileges": ("rlimits", "PR_SET_NO_NEW_PRIVS"),
    "capabilities": ("seccomp", "capset"),
}


def run(script: str, *lacking: str, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    before = command(*lacking) if lacking else []
    return subprocess.run(
        [*before, sys.executable, "-c", script, str(SOURCE_ROOT), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_every_way_to_lack_something_has_its_reason() -> None:
    assert set(REASONS) == set(LACKING)


@pytest.mark.parametrize("lacking", sorted(LACKING))
def test_the_probe_names_what_is_missing_and_why(lacking: str) -> None:
    done = run(PROBE, lacking)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    protection, reason = REASONS[lacking]
    assert protection in found["missing"]
    assert found["code"] == "unconfined" and reason in found["said"], found["said"]
    assert 'sandbox = "permissive"' in found["said"]
    assert reason in found["warning"] and found["warning"].startswith("sandbox = permissive")


def test_a_whole_machine_lacks_nothing() -> None:
    done = run(PROBE)
    assert json.loads(done.stdout) | {"warning": ""} == {"missing": {}, "said": "", "code": "", "warning": ""}


EVERYTHING = """
import sys; sys.path.insert(0, sys.argv[1])
import json, pathlib
from types import SimpleNamespace
from grid.catalogue.conversion import convert
from grid.compute.hosts import ChildHosts
from grid.environments.local import LocalProvider
from grid.storage.blobs.registry import file_url, open_store
from syft_ext.confinement.gate import Gate
from syft_ext.errors import GridError
from syft_ext.messages.environments import InstanceType
from syft_ext.messages.objects import ConvertUpload
from syft_ext.plans.sandbox.process import SandboxProcess

home, permissive = pathlib.Path(sys.argv[2]), sys.argv[3] == "permissive"
plan = pathlib.Path(sys.argv[4]).read_bytes()
# What a node asks first is told that all is well: each process must find out for itself.
gate = SimpleNamespace(permissive=permissive, check=lambda: None)

def plans():
    with SandboxProcess(permissive=permissive) as sandbox:
        sandbox.prove(plan)

def hosts():
    hosts = ChildHosts(1 << 28, 1, permissive=permissive)
    try:
        return hosts.take().protections
    finally:
        hosts.close()

def environments():
    provider = LocalProvider(home / "environments", 60.0)
    provider.permissive = permissive
    try:
        provider.create("a" * 32, InstanceType(name="small", provider="local", threads=1, memory=1 << 28,
                                               cpu_seconds=600, seconds=600))
    finally:
        provider.destroy("a" * 32, None)
        provider.close()

def conversions():
    blobs = open_store(file_url(home / "blobs"), make=True)
    with blobs.put([b"a,b\\n1,2\\n3,4\\n"]) as blob:
        with convert(blobs, blob, ConvertUpload(upload_id="", format="csv"), home, gate) as table:
            assert table.size > 0

found = {}
for attempt in (plans, hosts, environments, conversions):
    try:
        attempt()
        found[attempt.__name__] = "ran"
    except GridError as error:
        found[attempt.__name__] = f"{error.code}: {error.detail}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from syft_ext.plans import trace

    path = tmp_path_factory.mktemp("plans") / "double"
    path.write_bytes(trace(lambda x: x * 2, torch.ones(3)).dumps())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("lacking", [("landlock", "rlimits"), ("namespaces", "seccomp")])
def test_whatever_runs_strangers_work_finds_out_for_itself(
    lacking: tuple[str, str], tmp_path: Path, plan: Path
) -> None:
    """Each names both that are missing; ``tests/confinement/test_node.py`` has a node that lacks one only."""
    done = run(EVERYTHING, *lacking, arguments=(str(tmp_path), "required", str(plan)))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"plans", "hosts", "environments", "conversions"}
    for what, said in found.items():
        assert said.startswith("unconfined: "), (what, said)
        assert all(REASONS[each][1] in said for each in lacking), (what, said)


@pytest.mark.slow
def test_a_machine_for_development_goes_on_with_what_it_has(tmp_path: Path, plan: Path) -> None:
    lacking = ("landlock", "namespaces")
    done = run(EVERYTHING, *lacking, arguments=(str(tmp_path), "permissive", str(plan)))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == dict.fromkeys(("plans", "hosts", "environments", "conversions"), "ran")
