"""A node on a machine that lacks a protection: it serves, refuses what strangers bring, and says so everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import torch
import urllib3

import syft_ext as sy
from demo.processes import NodeProcess
from syft_ext.errors import GridError, Unconfined
from syft_ext.messages.compute import OpenComputeSession
from syft_ext.messages.environments import CreateEnvironment, DestroyEnvironment, ListEnvironments
from syft_ext.messages.federated import HostTraining
from syft_ext.messages.objects import AppendUpload, BeginUpload, ConvertUpload
from syft_ext.messages.plan_requests import CreatePlanRequest
from syft_ext.plans import trace
from tests.confinement.without import command

EMAIL, PASSWORD = "owner@hospital.example", "a long pass phrase"
PLAN = trace(lambda x: x * 2, torch.ones(3)).dumps()


class NodeWithout(NodeProcess):
    """A node whose kernel lacks ``lacking``."""

    lacking: tuple[str, ...] = ("landlock",)

    def _spawn(
        self, arguments: list[str], environment: dict[str, str], log: IO[bytes] | None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command(*self.lacking), sys.executable, "-m", "apps.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=log or subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )


class NodeWithoutNamespaces(NodeWithout):
    lacking = ("namespaces", "seccomp")


def start(kind: type[NodeProcess], home: Path, *arguments: str, log: Path | None = None) -> NodeProcess:
    environment = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD, "GRID_PORT": "0"}
    return kind("domain", home, arguments, environment=environment, log_file=log, timeout=120.0)


def readiness(url: str) -> tuple[int, dict[str, Any]]:
    answer = urllib3.request("GET", f"{url}/readyz", timeout=30.0, retries=False)
    return answer.status, json.loads(answer.data)


def attempts(client: Any) -> Iterator[tuple[str, Any]]:
    """Everything by which a user has a node run something."""
    upload = client.call(BeginUpload(size=8)).upload_id
    client.call(AppendUpload(upload_id=upload, offset=0), [b"a,b\n1,2\n"])
    training = HostTraining(
        name="t", version="1", client_plans={"training_plan": PLAN}, client_config={}, server_config={}
    )
    yield "trainings", lambda: client.call(training)
    yield (
        "plans under review",
        lambda: client.call(CreatePlanRequest(inputs=["x=" + "a" * 32], reason="mean"), [PLAN]),
    )
    yield "sessions", lambda: client.call(OpenComputeSession())
    yield "environments", lambda: client.call(CreateEnvironment())
    yield "conversions", lambda: client.call(ConvertUpload(upload_id=upload))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        (NodeWithout, ["Landlock: not in this kernel"]),
        (
            NodeWithoutNamespaces,
            ["namespaces: unshare: Operation not permitted", "seccomp: not in this kernel"],
        ),
    ],
)
def test_it_refuses_and_says_so(
    kind: type[NodeProcess], reasons: list[str], tmp_path: Path, own_folder: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    with start(kind, home, log=log) as node:
        status, document = readiness(node.url)
        assert status == 503 and document["status"] == "not ready" and "warnings" not in document
        client = sy.login(node.url, EMAIL, PASSWORD, save=False)
        for what, attempt in attempts(client):
            with pytest.raises(Unconfined) as refused:
                attempt()
            for reason in reasons:
                assert reason in refused.value.detail, what
                assert reason in document["checks"]["sandbox"]
        assert client.call(ListEnvironments()).environments == []
        assert not [each for each in document["checks"] if document["checks"][each] not in ("ok",)][1:]
        doctor = subprocess.run(
            [*command(*kind.lacking), sys.executable, "-m", "apps.cli", "doctor", "--home", str(home)],  # type: ignore[attr-defined]
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "COLUMNS": "2000"},
        )
        assert doctor.returncode == 7
        for reason in reasons:
            assert reason in doctor.stdout
    lines = log.read_text()
    for reason in reasons:
        assert lines.count(reason) >= 2, "at the start and at the end"
    assert "this node ran none of strangers' code" in lines


@pytest.mark.slow
def test_a_permissive_node_says_so_wherever_people_look(tmp_path: Path, own_folder: Path) -> None:
    log = tmp_path / "log"
    with start(NodeWithout, tmp_path / "home", "--sandbox", "permissive", log=log) as node:
        status, document = readiness(node.url)
        (warning,) = document["warnings"]
        assert status == 200 and document["checks"]["sandbox"] == "ok"
        assert "sandbox = permissive" in warning and "Landlock: not in this kernel" in warning
        client = sy.login(node.url, EMAIL, PASSWORD, save=False)
        for what, attempt in attempts(client):
            try:
                attempt()
            except Unconfined as error:
                raise AssertionError(what) from error
            except GridError as error:  # what is wrong with the request itself is said by what ran
                assert error.code != "internal", what
        for made in client.call(ListEnvironments()).environments:  # they would outlive the node
            client.call(DestroyEnvironment(environment_id=made.id))
    assert "sandbox = permissive" in log.read_text()
