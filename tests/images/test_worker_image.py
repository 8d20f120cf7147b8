"""The confidential worker's image: two builds are one, and what is in it does a job."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from apps.images import confidential_worker as worker
from apps.images.__main__ import lock
from apps.images.parts import Lock, fetch, read_lock
from apps.images.registers import parent_register
from syft_ext.confidential.frames import Descriptors, operator_pipe
from syft_ext.errors import Unavailable
from tests.confidential.worker.site import Site, SiteOperator, update_of
from tests.shared_material import shared

ROOT = Path(__file__).resolve().parents[2]
STORE = Path(sys.prefix) / "image-parts"  # what a part is follows from its digest, so that it can be kept
DOCKERFILE = ROOT / "apps" / "images" / "confidential-worker.Dockerfile"


@pytest.fixture(scope="module")
def locked() -> Lock:
    """The lock's parts; today's, where Debian has newer ones than the lock and keeps no older."""
    found = read_lock(worker.LOCK)
    try:
        fetch(found.parts, STORE)
    except Unavailable:
        today = STORE / "today.toml"
        try:
            lock(today, STORE)
        except Unavailable as error:
            pytest.skip(f"neither Debian nor the index of wheels can be reached: {error}")
        found = read_lock(today)
    return found


@pytest.fixture(scope="module")
def layer(locked: Lock) -> bytes:
    return worker.root_file_system(locked, STORE, ROOT)


def test_another_checkout_in_another_process_gives_the_same_bytes(
    locked: Lock, layer: bytes, tmp_path: Path
) -> None:
    """With other times, modes, user's settings, time zone and order of hashing."""
    other = tmp_path / "elsewhere"
    for each in ("apps", "packages"):
        shutil.copytree(
            ROOT / each,
            other / each,
            copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copyfile(ROOT / "setup.cfg", other / "setup.cfg")
    build = (
        "import hashlib, json, os, sys; os.umask(0o077); sys.path[:0] = [sys.argv[1], sys.argv[1] + '/packages'];"
        "from pathlib import Path; from apps.images import confidential_worker as w;"
        "from apps.images.parts import Lock, Part;"
        "epoch, parts = json.loads(sys.stdin.read());"
        "lock = Lock(epoch, tuple(Part(**each) for each in parts));"
        "layer = w.root_file_system(lock, Path(sys.argv[2]), Path(sys.argv[1]));"
        "print(hashlib.sha256(layer).hexdigest(), w.image(layer, lock).digest)"
    )
    parts = [{name: getattr(part, name) for name in part.__slots__} for part in locked.parts]
    done = subprocess.run(
        [sys.executable, "-B", "-c", build, str(other), str(STORE)],
        input=json.dumps([locked.epoch, parts]).encode(),
        env={"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HOME": str(tmp_path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    found = done.stdout.decode().split()
    assert found == [hashlib.sha256(layer).hexdigest(), worker.image(layer, locked).digest]


def test_what_is_in_it(layer: bytes, locked: Lock) -> None:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = archive.getmembers()
        ours = {each.name for each in members if "/dist-packages/" in each.name}
    names = [each.name for each in members]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert {(each.uid, each.gid, each.mtime) for each in members} == {(0, 0, locked.epoch)}
    assert all(each.isfile() or each.isdir() or each.issym() for each in members)
    assert not any(
        each.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH) for each in members if not each.issym()
    )
    assert not [each for each in names if each.endswith((".pyc", "/sh", "/bash", "/dpkg", "/apt"))]
    place = "usr/lib/python3/dist-packages/"
    grid = {each for each in ours if each.startswith(place + "grid/") and each.endswith(".py")}
    assert all(
        each.startswith((place + "grid/confidential_worker/", place + "grid/__init__")) for each in grid
    )
    for absent in (
        "flask",
        "sqlalchemy",
        "gevent",
        "torch",
        "requests",
        "urllib3",
        "grid/node",
        "syft_ext/messages",
    ):
        assert not any(each.startswith(place + absent) for each in ours), absent
    assert len(layer) < 150 << 20


def test_what_is_in_it_does_a_job(layer: bytes, tmp_path: Path) -> None:
    """In the image's own root: its interpreter, its libraries, and nothing of this machine but its kernel."""
    if os.getuid():
        pytest.skip("only root can run something in another root file system")
    root = tmp_path / "root"
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        archive.extractall(root, filter="tar")
    (root / "dev").mkdir()
    try:
        os.mknod(root / "dev" / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    site = Site([update_of(n) for n in range(3)], noise=0)
    operator = SiteOperator(site)
    command = ["/usr/sbin/chroot", str(root), *worker.ENTRYPOINT, "--stdio"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, env={}) as process:
        assert process.stdin and process.stdout and process.stderr
        pipe = operator_pipe(Descriptors(process.stdout.fileno(), process.stdin.fileno()))
        outcome = operator.serve(pipe)
        assert process.wait(60) == 0 and not process.stderr.read()
    assert (operator.opened(outcome).numbers == site.expected()).all()


def test_the_image_names_all_its_blobs_by_their_digests(layer: bytes, locked: Lock) -> None:
    made = worker.image(layer, locked)
    with tarfile.open(fileobj=io.BytesIO(made.archive(locked.epoch))) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files.pop("index.json"))
    blobs = {"sha256:" + name.rpartition("/")[2]: data for name, data in files.items()}
    assert all("sha256:" + hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    (first,) = index["manifests"]
    assert first["digest"] == made.digest and first["size"] == len(blobs[made.digest])
    manifest = json.loads(blobs[made.digest])
    config = json.loads(blobs[manifest["config"]["digest"]])
    (only,) = manifest["layers"]
    assert blobs[only["digest"]] == layer and config["rootfs"]["diff_ids"] == [only["digest"]]
    assert len(blobs) == 3 and config["config"]["Labels"] == worker.LABELS
    assert worker.image(layer + b"\0", locked).digest != made.digest


# -- without building


def test_the_lock_names_what_the_image_wants_and_wheels_that_grid_is_locked_to() -> None:
    found = read_lock(worker.LOCK)
    assert [part.name for part in found.parts] == [*worker.DEBIAN, *worker.WHEELS]
    assert all(re.fullmatch("[0-9a-f]{64}", part.sha256) for part in found.parts)
    whole = (ROOT / "image.lock").read_text()
    for part in found.parts:
        if part.kind == "wheel":
            assert f"{part.name}=={part.version} " in whole and f"sha256:{part.sha256}" in whole, part.name


def test_the_dockerfile_adds_the_same_and_runs_nothing() -> None:
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    steps = [line.partition(" ")[0] for line in lines]
    assert steps == ["FROM", "ADD", "LABEL", "ENTRYPOINT", "CMD"], "nothing is fetched, nothing is run"
    said = {step: line.partition(" ")[2] for step, line in zip(steps, lines, strict=True)}
    assert said["FROM"] == "scratch" and said["ADD"] == "rootfs.tar /"
    assert tuple(json.loads(said["ENTRYPOINT"])) == worker.ENTRYPOINT
    assert tuple(json.loads(said["CMD"])) == worker.ARGUMENTS
    assert dict(re.findall(r'"([^"]*)"="([^"]*)"', said["LABEL"])) == worker.LABELS


@pytest.mark.parametrize(
    "name",
    [
        "blocky-debug.cose",
        "evervault-beta-valid-attestation-doc.cose",
        "evervault-ga-valid-attestation-doc.cose",
    ],
)
def test_the_register_of_an_instance_is_that_of_recorded_documents(name: str) -> None:
    document = shared("confidential", "evidence", "nitro", name).read_bytes()
    instance = re.search(rb"i-[0-9a-f]{17}", document)
    assert instance and parent_register(instance.group().decode()) in document
    assert parent_register("i-" + "0" * 17) not in document
