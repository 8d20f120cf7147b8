"""Holes 5, 7 and 8 of the original PyGrid: other people's objects, and files outside the store."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.storage.blobs.files import IDENTITY, KEEPING, MARKS, REACHED
from tests.web.wire import Wire

from .site import STRANGER, Answer, Site

pytestmark = pytest.mark.usefixtures("unchanged")


@pytest.fixture(autouse=True)
def nothing_outside(site: Site) -> Iterator[None]:
    """No file appears anywhere but among the contents, whose names are digests."""

    def outside() -> set[Path]:
        return {path for path in site.root.rglob("*") if "blobs" not in path.parts and path.is_file()}

    before = outside()
    yield
    assert {path.name for path in outside() - before} <= {"node.db-wal", "node.db-shm"}
    own = {
        IDENTITY,
        KEEPING,
        MARKS,
        f"{MARKS}.lock",
        REACHED,
        f"{REACHED}.lock",
    }  # what the store says of itself
    for path in (site.home / "blobs").rglob("*"):
        assert path.is_dir() or len(path.name) >= 32 or path.name in own


def content(site: Site, object_id: str) -> Answer:
    return site.rest("GET", f"/objects/{object_id}/content", who=site.ann)


def test_hole_05_strangers_neither_overwrite_nor_collect_what_they_can_name(site: Site) -> None:
    for target in (site.listed, site.secret, "0" * 32):
        path, said = f"/objects/{target}", {"object_id": target}
        changed = {**said, "description": "mine now", "readers": ["*"]}
        assert set(site.every_way("objects.delete", "DELETE", path, said)) == {"unauthenticated"}
        assert set(site.every_way("objects.update", "PATCH", path, changed)) == {"unauthenticated"}
        assert set(site.every_way("objects.get", "GET", f"{path}/content", said)) == {"unauthenticated"}
        for spec in ("POST /objects?kind=bytes", "PATCH /uploads/" + target):
            assert site.rest(*spec.split(), b"mine now").code == "unauthenticated"
        put = {"kind": "bytes", "id": target, "object_id": target}
        assert site.message("objects.put", put, payload=b"mine now").code == "unauthenticated"
        assert site.event("objects.put", put, body="bWluZSBub3c=").code == "unauthenticated"
    assert content(site, site.listed).body == b"findable, not readable"


def test_hole_05_nobody_chooses_the_id_of_what_they_put(site: Site) -> None:
    for name in ("id", "object_id", "uid"):
        put = {"kind": "bytes", name: site.secret}
        assert site.message("objects.put", put, site.owner, payload=b"x").code == "bad-request"
        assert (
            site.rest("POST", f"/objects?kind=bytes&{name}={site.secret}", b"x", site.owner).code
            == "bad-request"
        )
    assert content(site, site.secret).body == b"ann's private bytes"


def test_hole_07_a_user_edits_and_deletes_only_what_is_theirs(site: Site) -> None:
    for target, code in ((site.listed, "forbidden"), (site.secret, "not-found")):
        path, said = f"/objects/{target}", {"object_id": target}
        changed = {"object_id": target, "readers": ["*"]}
        rest = {"readers": ["*"]}
        assert site.rest("PATCH", path, rest, site.eve).code == code
        assert site.event("objects.update", changed, site.eve).code == code
        assert site.message("objects.update", changed, site.eve).code == code
        assert set(site.every_way("objects.delete", "DELETE", path, said, site.eve)) == {code}
        assert set(site.every_way("objects.get", "GET", f"{path}/content", said, site.eve)) == {code}
    found = site.rest("GET", "/objects", who=site.eve).json["objects"]
    assert [each["id"] for each in found] == [site.listed]
    assert content(site, site.secret).body == b"ann's private bytes"


def test_hole_07_nor_anybodys_datasets_uploads_and_accounts(site: Site) -> None:
    dataset = {"name": "d", "assets": [{"name": "a", "private": site.secret}]}
    # Ann's private object cannot be had by describing it as one's own data, not even by an administrator.
    assert site.rest("POST", "/datasets", dataset, site.eve).code == "forbidden"
    assert site.rest("POST", "/datasets", dataset, site.owner).status in (400, 403, 404)
    assert site.rest("PATCH", f"/users/{site.ann.id}", {"role": "Owner"}, site.eve).code == "forbidden"
    assert site.rest("DELETE", f"/users/{site.ann.id}", who=site.eve).code == "forbidden"
    assert site.rest("PATCH", f"/users/{site.owner.id}", {"role": "User"}, site.ann).code == "forbidden"
    assert site.rest("PATCH", f"/users/{site.ann.id}", {"role": "Owner"}, site.ann).code == "forbidden"


def traversing_archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in ("../../escaped.txt", "/tmp/escaped-from-grid.txt", "a/../../../escaped.txt"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    return file.getvalue()


def test_hole_08_an_archive_is_bytes_and_never_unpacked(site: Site) -> None:
    archive = traversing_archive()
    kept = site.put(site.ann, archive)
    assert site.rest("GET", f"/objects/{kept}/content", who=site.ann).body == archive
    for kind in ("tensor", "tensors", "list", "tar", "../../x"):
        refused = site.rest("POST", f"/objects?kind={kind}", archive, site.ann)
        assert refused.status in (400, 413), (kind, refused.body)
    assert site.rest("DELETE", f"/objects/{kept}", who=site.ann).status == 204
    assert not Path("/tmp/escaped-from-grid.txt").exists()


TRAVERSALS = (
    "../../node.key",
    "..%2f..%2fnode.key",
    "%2e%2e/%2e%2e/node.key",
    "....//node.key",
    "/etc/passwd",
)


@pytest.mark.parametrize("name", TRAVERSALS)
def test_public_notes_path_traversal_reads_and_writes_nothing(site: Site, name: str) -> None:
    """PyGrid's tar, SyftBox #9404: names of callers never become paths."""
    key = (site.home / "node.key").read_bytes().strip()
    for prefix in (
        "/static/",
        "/objects/",
        "/uploads/",
        "/datasets/",
        "/docs/",
        "/federated/processes/",
        "/",
    ):
        for who in (STRANGER, site.owner):
            with Wire(site.domain.url) as wire:  # byte by byte: clients tidy such paths up
                headers = {"Authorization": f"Bearer {who.token}"} if who.token else {}
                status, _, body = wire.request("GET", prefix + name, headers)
            assert status in (400, 401, 404, 405), (prefix, status)
            assert key not in body and b"root:" not in body
    for operation, field in (
        ("objects.get", "object_id"),
        ("uploads.status", "upload_id"),
        ("datasets.get", "dataset_id"),
    ):
        assert site.message(operation, {field: name}, site.owner).code == "bad-request"
        assert site.event(operation, {field: name}, site.owner).code == "bad-request"
