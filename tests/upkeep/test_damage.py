"""Damaged contents on a running Domain: never computed from, told by name, whole again when they are put back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import urllib3

from apps.assembly import open_node
from grid.config import DomainSettings
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.checked import CheckedContents
from grid.storage.objects.store import DiskObjectStore
from grid.upkeep.service import UpkeepService
from syft_ext.errors import ContentCorrupt, ContentCut, ContentDamaged, ContentMissing, Unavailable
from syft_ext.ids import new_id
from syft_ext.messages.statistics import Begin
from syft_ext.plans import make_plan
from syft_ext.sources.frames import content_of
from syft_ext.store.objects import ObjectInfo
from tests.pointers.conftest import own_folder
from tests.pointers.site import Site

__all__ = ["own_folder"]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _gone(path: Path) -> None:
    path.unlink()


DAMAGES: dict[type[ContentDamaged], Callable[[Path], None]] = {
    ContentCorrupt: _flip,
    ContentCut: _cut,
    ContentMissing: _gone,
}


@make_plan
def total(xs: Any = torch.zeros(6)) -> Any:
    return xs.sum()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, own_folder: Path) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("damaged"), "damaged", scrub_interval=0.0)
    yield site
    site.close()


def _rest(site: Site, method: str, path: str) -> tuple[int, Any]:
    assert site.owner.session is not None
    headers = {"Authorization": f"Bearer {site.owner.session.token}"}
    answer = urllib3.request(method, site.url + path, headers=headers, retries=False)
    return answer.status, json.loads(answer.data)


def _file(site: Site, object_id: str) -> tuple[str, Path]:
    contents: Any = site.served.node.blobs
    digest = DiskObjectStore(site.served.node.db, contents).digest(object_id)
    path: Path = contents.inner.path(digest)
    path.chmod(0o600)
    return digest, path


@pytest.mark.parametrize("error", DAMAGES)
def test_nobody_gets_a_number_from_a_damaged_content(site: Site, error: type[ContentDamaged]) -> None:
    """Downloads, statistics, pointers, plans; all work when the owner has uploaded the same again."""
    own = float(list(DAMAGES).index(error))  # each its own contents
    data = torch.arange(6.0) + own
    fields = {"x": torch.arange(40.0).numpy() + own}
    stored = site.owner.store.put(data, finders=[site.sue.session.user_id])  # type: ignore[union-attr]
    table = site.owner.store.put_content(content_of(fields, {}, "t"))
    asked = site.sue.requests.create_plan(total, {"xs": stored.id}, "a study")
    site.owner.requests.get(asked.id).approve(uses=1)
    damaged = {}
    for object_id in (stored.id, table.id):
        digest, path = _file(site, object_id)
        DAMAGES[error](path)
        damaged[digest] = object_id

    ways: dict[str, Callable[[], Any]] = {
        "download": lambda: site.owner.store.get(stored.id),
        "statistics": lambda: site.owner.call(Begin(object_id=table.id, statistics=["mean"], columns=["x"])),
        "pointer": lambda: (site.owner.pointer(stored.id) + 1).get_copy(),
        "plan": asked.run,
    }
    for name, way in ways.items():
        with pytest.raises(ContentDamaged) as caught:
            way()
        assert type(caught.value) is error and caught.value.extra["digest"] in damaged, name
    status, ready = _rest(site, "GET", "/readyz")
    assert status == 503 and error.code in ready["checks"]["contents"]
    status, view = _rest(site, "GET", "/contents")
    assert status == 200 and view["damaged_in_all"] == 2
    assert {each["digest"]: each["affects"] for each in view["damaged"]} == {
        digest: [f"object {object_id}"] for digest, object_id in damaged.items()
    }
    assert {each["code"] for each in view["damaged"]} == {error.code}

    site.owner.store.put(data)
    site.owner.store.put_content(content_of(fields, {}, "t"))
    for way in ways.values():
        way()
    assert _rest(site, "GET", "/readyz")[0] == 200


def test_the_quarantine_over_rest(site: Site) -> None:
    """What was deleted is listed, comes back by its digest, and by nobody who is not the owner."""
    stored = site.owner.store.put("deleted by mistake")
    digest, path = _file(site, stored.id)
    site.owner.store.delete(stored.id)
    assert not path.exists()
    status, listed = _rest(site, "GET", "/contents/quarantine")
    assert status == 200
    (found,) = [each for each in listed["contents"] if each["name"] == digest]
    assert found["until_at"] > found["since_at"] and found["size"] > 0
    status, back = _rest(site, "POST", f"/contents/quarantine/{digest}")
    assert status == 200 and back == {"digest": digest, "size": found["size"]} and path.exists()
    assert _rest(site, "POST", f"/contents/quarantine/{'0' * 64}")[0] == 404
    assert _rest(site, "POST", "/contents/quarantine/..")[0] in (400, 404)
    site.owner, owner = site.sue, site.owner
    try:
        for method, path_ in (("GET", ""), ("GET", "/quarantine"), ("POST", f"/quarantine/{digest}")):
            assert _rest(site, method, "/contents" + path_)[0] == 403
    finally:
        site.owner = owner


def test_a_node_finds_a_flipped_bit_by_itself(tmp_path: Path) -> None:
    """Nobody asks for the content: the schedule does, notes when, and notices that it is whole again."""
    settings = DomainSettings(scrub_interval=0.05)
    node = open_node("domain", tmp_path / "home", "d", [partial(UpkeepService, settings=settings)])
    contents = node.blobs
    assert isinstance(contents, CheckedContents) and isinstance(contents.inner, FileBlobStore)
    info = ObjectInfo(id=new_id(), kind="bytes", description="")
    DiskObjectStore(node.db, contents).put_stream(info, [b"whole" * 1000])
    path = contents.inner.path(DiskObjectStore(node.db, contents).digest(info.id))
    path.chmod(0o600)
    whole = path.read_bytes()
    _flip(path)
    node.start()
    try:
        _until(lambda: contents.damaged)
        service = node.service(UpkeepService)
        with pytest.raises(Unavailable, match="content-corrupt"):
            service.check()
        path.write_bytes(whole)
        _until(lambda: not contents.damaged)
        service.check()
        _until(lambda: service._progress().finished_at > 0)
    finally:
        node.stop()


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
