"""A secret key comes through no door of a Domain: every operation that takes bytes is tried with three writings
of one."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.frames import refuse_secret_keys
from syft_ext.errors import BadRequest, GridError
from syft_ext.messages import Message, operations
from syft_ext.messages.federated import CancelProcess, HostTraining, UploadModel
from syft_ext.messages.objects import AbortUpload, AppendUpload, BeginUpload, FinishUpload, PutObject
from syft_ext.messages.participation import SendModelPart
from syft_ext.messages.plan_requests import CreatePlanRequest
from tests.pointers.site import Site
from tests.user_folder import fresh_user

TRIED = {
    "objects.put",
    "uploads.append",
    "federated.host",
    "federated.upload_model",
    "federated.send_model_part",
    "requests.create_plan",
}
"""Operations of a Domain that keep contents of people."""
ELSEWHERE = {
    "compute.run",  # tests/pointers/test_encrypted.py
    "compute.plan",  # plans, read as what they are, of a session that keeps nothing
    "federated.report",  # tests/encrypted/training/test_refused.py
    "federated.advance",
    "federated.send_report_part",  # handed in as a report, or dropped
    "federated.speed_upload",  # keeps nothing
    "search.published",  # digests
    "shares.deal",  # shares, in messages of their own form
    "shares.advance",
    "intersections.advance",
    "quotas.set",  # numbers
    "worker.load",  # plans, at a Worker
}
STATEMENTS = ("associations.", "confidential.", "key_host.", "keys.", "secagg.")
"""Signed statements of fixed forms, read as what they are before anything of them is kept."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("doors")
    with fresh_user(folder / "user"):
        found = Site(folder / "node", "north")
        yield found
        found.close()


def writings(keys: EncryptionKeys, folder: Path) -> list[bytes]:
    """A saved pair of keys, a context of ours and one of TenSEAL's, all with the secret key."""
    keys.save(folder / "keys")
    start = keys.public.content.index(b"add4096") + len(b"add4096")
    return [(folder / "keys").read_bytes(), keys.public.content[:start] + keys._secret, keys._secret]


def doors(site: Site, content: bytes, name: str) -> Iterator[tuple[str, Message, bytes]]:
    """Every operation with this content in it, as far as one has to go to be heard."""
    call = site.owner.call
    for kind in ("bytes", "plan", "tensor", "he.context", "he.ckks", "he.bfv"):
        yield "objects.put", PutObject(kind=kind), content
        begun = call(BeginUpload(size=len(content), digest=blake3(content).hexdigest()))
        site.owner.connection.call(AppendUpload(upload_id=begun.upload_id, offset=0), [content])
        yield "uploads.append", FinishUpload(upload_id=begun.upload_id, kind=kind), b""
        call(AbortUpload(upload_id=begun.upload_id))
    config = {"name": name, "version": "1"}
    host = HostTraining(name=name, version="1", client_plans={}, client_config=config, server_config={})
    for field in ("client_plans", "client_protocols"):
        yield "federated.host", msgspec.structs.replace(host, **{field: {"p": content}}), b""
    yield "federated.host", msgspec.structs.replace(host, averaging_plan=content), b""
    process = call(host).process_id
    part = SendModelPart(process_id=process, size=len(content), digest=blake3(content).hexdigest(), offset=0)
    site.owner.connection.call(part, [content])
    yield "federated.send_model_part", UploadModel(process_id=process, digest=part.digest), b""
    yield "federated.upload_model", UploadModel(process_id=process), content
    call(CancelProcess(process_id=process))
    yield "requests.create_plan", CreatePlanRequest(inputs=["x=" + "0" * 32]), content


def test_every_operation_that_takes_bytes_is_known_here() -> None:
    found = set()
    for each in operations().values():
        if not each.message.__module__.startswith("syft_ext."):
            continue  # other tests' own
        hints = typing.get_type_hints(each.message).values()
        if each.uploads or any("bytes" in str(hint) for hint in hints):
            found.add(each.name)
    others = {name for name in found if not name.startswith(STATEMENTS)}
    assert others == TRIED | ELSEWHERE


def test_no_door_takes_a_secret_key(site: Site, keys: EncryptionKeys, tmp_path: Path) -> None:
    marker = keys._secret[len(keys._secret) - 2000 : len(keys._secret) - 1900]
    tried = set()
    for number, content in enumerate(writings(keys, tmp_path)):
        assert marker in content
        with pytest.raises(BadRequest):
            refuse_secret_keys(content)
        for name, message, body in doors(site, content, f"t{number}"):
            tried.add(name)
            with pytest.raises(GridError):
                site.owner.connection.call(message, [body] if body else [])
    assert tried == TRIED
    home = site.served.node.home
    kept = [path for path in home.rglob("*") if path.is_file() and marker in path.read_bytes()]
    # What came as a person's own upload waits in the quarantine, where nobody reads it, when they give it up.
    assert all("quarantine" in path.parts for path in kept)


def test_what_is_no_secret_key_is_kept(site: Site, keys: EncryptionKeys) -> None:
    for content in (keys.public.content, b"", b"\n", b"\x0a\x01x", b"\n\nnotes\n", b"GRIDHE"):
        site.owner.store.put(content)
    with pytest.raises(BadRequest):
        site.owner.store.put(b"GRIDHE\x01c and nothing")
