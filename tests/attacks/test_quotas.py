"""A user fills a Domain's disk, by every path that takes bytes: their quota ends it, and cancelling frees it.

(A user whose uploads were refused once stored as much as they liked as models of trainings.)
"""

from __future__ import annotations

import ast
import base64
import itertools
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from grid.node.housekeeping import HousekeepingService

from .site import Answer, Site, Someone

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20
_numbers = itertools.count()


def model(size: int, value: float = 1.0) -> bytes:
    """A tensor file of ``size`` bytes of float32."""
    head = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + struct.pack("<f", value) * (size // 4)


def host(site: Site, who: Someone, **more: Any) -> Answer:
    names = {"name": "fill", "version": str(next(_numbers))}
    body = {**names, "client_config": names, "client_plans": {}, "server_config": {"max_diffs": 1}, **more}
    return site.rest("POST", "/federated/processes", body, who)


def held(site: Site, who: Someone) -> dict[str, int]:
    found = site.rest("GET", "/users/me/quotas", who=who).json["quotas"]
    return {each["name"]: each["used"] for each in found}


def on_disk(site: Site) -> int:
    return sum(path.stat().st_size for path in (site.home / "blobs").rglob("*") if path.is_file())


def waiting(site: Site) -> int:
    """Bytes in quarantine: in no user's quota, for the owner says how many may wait (``quarantine_size``)."""
    quarantine = site.domain.node.blobs.quarantine
    assert quarantine is not None
    return sum(each.size for each in quarantine.listed())


@pytest.fixture
def limited(site: Site) -> Iterator[Site]:
    """Eve may keep four megabytes, and half of it for each kind."""
    values = {"stored_bytes": 4 * MEGABYTE, "training_bytes": 2 * MEGABYTE, "object_bytes": 2 * MEGABYTE}
    assert site.rest("PUT", "/quotas", {"values": values, "user_id": site.eve.id}, site.owner).status == 200
    before = site.state()
    yield site
    assert (
        site.rest("PUT", "/quotas", {"reset": list(values), "user_id": site.eve.id}, site.owner).status == 200
    )
    site.state()  # sweeps
    assert before


def test_models_of_trainings_are_no_way_around(limited: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site, before = limited, on_disk(limited) - waiting(limited)
    kept = 0
    for _ in range(6):
        made = host(site, site.eve)
        assert made.status == 201, made.body
        path = f"/federated/processes/{made.json['process_id']}"
        answer = site.rest("PUT", f"{path}/model", model(700_000, kept + 1.5), site.eve)
        kept += answer.status == 200
        assert answer.status == 200 or (answer.status, answer.code) == (413, "quota-exceeded"), answer.body
    assert kept == 1, "one model, and the one that its first cycle will make"
    assert held(site, site.eve)["training_bytes"] <= 2 * MEGABYTE
    assert on_disk(site) - waiting(site) - before < 3 * MEGABYTE
    for view in site.rest("GET", "/federated/processes?name=fill", who=site.eve).json["processes"]:
        site.rest("POST", f"/federated/processes/{view['process_id']}/cancel", {}, site.eve)
    assert held(site, site.eve)["training_bytes"] == 0
    assert on_disk(site) - waiting(site) - before < MEGABYTE / 4, "what was given up is kept no longer"
    assert waiting(site) >= 700_000, "and waits for whoever deleted it by mistake"
    monkeypatch.setattr(site.domain.node.blobs.quarantine, "most", MEGABYTE // 4)
    site.domain.node.service(HousekeepingService).sweep()
    assert waiting(site) <= MEGABYTE // 4, "no more of it than the owner lets wait"
    assert on_disk(site) - before < MEGABYTE / 2, "what was given up is gone from the disk"


def test_who_hosts_and_cancels_pushes_nothing_of_others_out(
    limited: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time the quota is free again; what was cancelled waits where others' things wait that they need."""
    site, sweeping = limited, limited.domain.node.service(HousekeepingService)
    quarantine = site.domain.node.blobs.quarantine
    assert quarantine is not None
    monkeypatch.setattr(quarantine, "most", 0)
    sweeping.sweep()
    monkeypatch.setattr(quarantine, "most", MEGABYTE)
    content = b"ann needs this after all" * 10_000
    mistaken = site.put(site.ann, content)
    assert site.rest("DELETE", f"/objects/{mistaken}", who=site.ann).status < 300
    for number in range(6):
        made = host(site, site.eve)
        path = f"/federated/processes/{made.json['process_id']}"
        answer = site.rest("PUT", f"{path}/model", model(500_000, 100.5 + number), site.eve)
        assert answer.status == 200, answer.body
        assert site.rest("POST", f"{path}/cancel", {}, site.eve).status == 200
    sweeping.sweep()
    assert sum(each.size for each in quarantine.listed() if each.why == "dropped") <= MEGABYTE
    digest = blake3(content).hexdigest()
    assert site.rest("POST", f"/contents/quarantine/{digest}", {}, site.owner).status == 200


def test_parts_of_models_are_no_way_around(limited: Site) -> None:
    """Bytes that are to become a model once are kept as well, and nobody has to hand them in."""
    site, before = limited, on_disk(limited)

    def send(path: str, number: int) -> Answer:
        content = model(700_000, 300.5 + number)
        named = f"size={len(content)}&digest={blake3(content).hexdigest()}"
        return site.rest("PATCH", f"{path}/model?{named}", content, site.eve, Upload_Offset="0")

    paths = [f"/federated/processes/{host(site, site.eve).json['process_id']}" for _ in range(4)]
    answers = [send(path, number) for number, path in enumerate(paths)]
    assert [answer.code for answer in answers] == ["ok", "ok", "quota-exceeded", "quota-exceeded"]
    assert send(paths[1], 1).code == "conflict", "it is there already: what comes goes on behind it"
    for path in paths:
        assert site.rest("POST", f"{path}/cancel", {}, site.eve).status == 200
        assert send(path, 9).code == "conflict", "a training that has ended takes no model"
    assert on_disk(site) - before < MEGABYTE / 4, "what nobody will hand in is gone"


class Training:
    """One that runs, hosted by the owner, with ``slots`` for reports of ``size`` bytes."""

    def __init__(self, site: Site, size: int = 700_000, slots: int = 8) -> None:
        self.site = site
        made = host(site, site.owner, server_config={"max_diffs": slots, "max_workers": slots})
        self.path = f"/federated/processes/{made.json['process_id']}"
        answer = site.rest("PUT", f"{self.path}/model", model(size, float(next(_numbers))), site.owner)
        assert answer.json["status"] == "running", answer.body
        self.names = {"model_name": "fill", "model_version": answer.json["version"]}

    def join(self, who: Someone) -> Someone:
        token = self.site.rest("POST", "/federated/workers", self.names, who).json["token"]
        return Someone("", token, who.identity)

    def slot(self, worker: Someone) -> dict[str, Any]:
        found: dict[str, Any] = self.site.rest("POST", "/federated/check-ins", {}, worker).json
        assert found["status"] == "accepted", found
        return found

    def send(
        self, worker: Someone, slot: dict[str, Any], content: bytes, *, part: slice = slice(None), **more: int
    ) -> Answer:
        size = more.get("size", len(content))
        named = f"size={size}&digest={blake3(content).hexdigest()}"
        key = {"Grid-Request-Key": slot["request_key"], "Upload-Offset": str(more.get("offset", 0))}
        path = f"/federated/assignments/{slot['assignment_id']}"
        return self.site.rest("PATCH", f"{path}/report?{named}", content[part], worker, **key)

    def give_up(self, worker: Someone, slot: dict[str, Any]) -> None:
        path = f"/federated/assignments/{slot['assignment_id']}/failure"
        key = {"Grid-Request-Key": slot["request_key"]}
        assert self.site.rest("POST", path, {"reason": "no"}, worker, **key).status < 300

    def end(self) -> None:
        assert self.site.rest("POST", f"{self.path}/cancel", {}, self.site.owner).status == 200


def test_parts_of_reports_are_in_the_quota_of_whose_they_are(limited: Site) -> None:
    """A participant keeps what they began to report in as many trainings as they like."""
    site, before = limited, held(limited, limited.eve)["upload_bytes"]
    running = [Training(site) for _ in range(6)]
    answers = []
    for number, training in enumerate(running):
        worker = training.join(site.eve)
        answers.append(training.send(worker, training.slot(worker), model(700_000, 500.5 + number)))
    kept = [answer.code for answer in answers].count("ok")
    assert [answer.code for answer in answers] == ["ok"] * kept + ["quota-exceeded"] * (6 - kept)
    assert 1 <= kept <= 5 and "stored bytes" in answers[-1].json["detail"]
    assert held(site, site.eve)["upload_bytes"] - before == kept * len(model(700_000))
    worker = running[0].join(site.ann)
    assert running[0].send(worker, running[0].slot(worker), model(700_000, 600.5)).code == "ok", "it is eve's"
    for training in running:
        training.end()
    assert held(site, site.eve)["upload_bytes"] == before, "nobody can hand them in: they are gone"


def test_a_part_is_of_no_larger_report_than_a_whole_one_may_be(site: Site) -> None:
    training, before = Training(site, size=4096), on_disk(site)
    worker = training.join(site.eve)
    slot = training.slot(worker)
    report = model(4096, 2.5)
    for size in (200_000, 16 * MEGABYTE, 1 << 40):
        answer = training.send(worker, slot, report, size=size)
        assert (answer.status, answer.code) == (413, "too-large"), answer.body
    assert on_disk(site) - before < 10_000 and "upload_id" not in answer.json
    assert training.send(worker, slot, report, part=slice(1000)).json["received"] == 1000
    assert training.send(worker, slot, report, part=slice(1000, None), offset=1000).code == "ok"
    key = {"Grid-Request-Key": slot["request_key"]}
    path = f"/federated/assignments/{slot['assignment_id']}/report?digest={blake3(report).hexdigest()}"
    assert site.rest("PUT", path, b"", worker, **key).json["reported"] == 1
    training.end()


def test_slots_that_are_given_up_again_and_again_leave_no_parts(site: Site) -> None:
    """A slot given back is free at once; what began to come for it, nobody will hand in."""
    training, before, worker = Training(site), on_disk(site), None
    for number in range(5):
        worker = training.join(site.ann)
        slot = training.slot(worker)
        assert training.send(worker, slot, model(700_000, 700.5 + number)).code == "ok"
        training.give_up(worker, slot)
        assert training.send(worker, slot, model(700_000)).code == "conflict", "a slot that was given back"
    assert on_disk(site) - before < MEGABYTE / 4
    training.end()


def test_parts_of_reports_go_with_the_cycle_that_did_without_them(site: Site) -> None:
    training, before = Training(site, slots=2), on_disk(site)
    late, other = training.join(site.ann), training.join(site.eve)
    slot = training.slot(late)
    assert training.send(late, slot, model(700_000, 800.5), part=slice(500_000)).json["received"] == 500_000
    site.domain.node.service(HousekeepingService).sweep()
    assert training.send(late, slot, model(700_000, 800.5), part=slice(0)).json["received"] == 500_000, "open"
    training.give_up(other, training.slot(other))
    training.end()
    assert training.send(late, slot, model(700_000, 800.5)).code == "conflict"
    site.domain.node.service(HousekeepingService).sweep()
    assert on_disk(site) - before - waiting(site) < MEGABYTE / 4


def test_a_model_that_is_too_large_is_not_taken_in_first(limited: Site) -> None:
    site = limited
    made = host(site, site.eve)
    before = on_disk(site)
    path = f"/federated/processes/{made.json['process_id']}"
    for _ in range(3):
        answer = site.rest("PUT", f"{path}/model", model(8 * MEGABYTE), site.eve)
        assert (answer.status, answer.code) == (413, "quota-exceeded")
    assert on_disk(site) - before < MEGABYTE
    sent = site.message(
        "federated.upload_model",
        {"process_id": made.json["process_id"]},
        site.eve,
        payload=model(3 * MEGABYTE),
    )
    assert sent.code == "quota-exceeded"
    site.rest("POST", f"{path}/cancel", {}, site.eve)


def test_protocols_are_no_way_around(limited: Site) -> None:
    """Files that a training only hands on: nobody reads them, but they are kept."""
    site = limited
    answers = [
        host(site, site.eve, client_protocols={"x": base64.b64encode(bytes([n]) * 900_000).decode()})
        for n in range(4)
    ]
    assert [answer.code for answer in answers] == ["ok", "ok", "quota-exceeded", "quota-exceeded"]
    for answer in answers[:2]:
        path = f"/federated/processes/{answer.json['process_id']}"
        assert site.rest("POST", f"{path}/cancel", {}, site.eve).status == 200
    assert held(site, site.eve)["training_bytes"] == 0


def test_uploads_and_objects_of_who_may_upload(site: Site) -> None:
    """Announced, received, finished, put at once: the same bytes are counted once, wherever they are."""
    values = {"stored_bytes": 3000, "objects": 2}
    assert site.rest("PUT", "/quotas", {"values": values, "user_id": site.ann.id}, site.owner).status == 200
    try:
        already = held(site, site.ann)["stored_bytes"]
        values = {"stored_bytes": already + 3000, "objects": held(site, site.ann)["objects"] + 2}
        assert (
            site.rest("PUT", "/quotas", {"values": values, "user_id": site.ann.id}, site.owner).status == 200
        )
        begun = site.rest("POST", "/uploads", {"size": 2000}, site.ann)
        assert begun.status == 201
        assert site.rest("POST", "/uploads", {"size": 1001}, site.ann).code == "quota-exceeded"
        assert site.rest("POST", "/objects?kind=bytes", bytes(1001), site.ann).code == "quota-exceeded"
        upload = begun.json["upload_id"]
        assert (
            site.rest("PATCH", f"/uploads/{upload}", bytes(2000), site.ann, Upload_Offset="0").status == 200
        )
        made = site.rest("POST", f"/uploads/{upload}/object", {"kind": "bytes"}, site.ann)
        assert made.status == 201, made.body
        again = site.rest("POST", f"/uploads/{upload}/object", {"kind": "bytes"}, site.ann)
        assert again.json["id"] == made.json["id"]
        second = site.rest("POST", "/objects?kind=bytes", bytes(10), site.ann)
        assert second.status == 201
        assert site.rest("POST", "/objects?kind=bytes", b"", site.ann).code == "quota-exceeded", "two more"
        for each in (made, second):
            assert site.rest("DELETE", f"/objects/{each.json['id']}", who=site.ann).status < 300
        assert held(site, site.ann)["stored_bytes"] == already
    finally:
        reset = {"reset": ["stored_bytes", "objects"], "user_id": site.ann.id}
        assert site.rest("PUT", "/quotas", reset, site.owner).status == 200


def test_nobody_raises_their_own(site: Site) -> None:
    for who in (site.eve, Someone("", "", site.eve.identity)):
        answers = site.every_way("quotas.set", "PUT", "/quotas", {"values": {"stored_bytes": None}}, who)
        assert set(answers) <= {"forbidden", "unauthenticated"}, answers
    assert site.rest("GET", f"/users/{site.ann.id}/quotas", who=site.eve).status == 403


#: Where contents get references, and why what they keep is within a quota.
KEEPERS = {
    "packages/grid/audit/archiving.py": "nobody's: the node's own log, in place of the rows that it takes out",
    "packages/grid/storage/objects/store.py": "its callers: objects",
    "packages/grid/storage/objects/uploads.py": "admitted when it began, as large as announced",
    "packages/grid/governance/plans/requests.py": "require_room",
    "packages/grid/governance/plans/runs.py": "within_quota",
    "packages/grid/governance/intersections/matched.py": "within_quota",
    "packages/grid/federated/task_management.py": "require_room",
    "packages/grid/federated/averaging/model_updater.py": "reserved when its cycle opened",
    "packages/grid/federated/averaging/strategy_states.py": "reserved when its cycle opened",
    # Not counted as the host's: one for each round of a training, for the week of aggregates_kept.
    "packages/grid/confidential/outputs.py": "in none: 8 bytes for each number of the model, aggregates_kept",
    "packages/grid/federated/encrypted/sums.py": "in none: one sum a cycle, while it waits to be opened",
    "packages/grid/federated/participation/collector.py": "reports are gone with their cycle",
}
#: Who writes objects, each of them within a quota; a Worker's are within its own ``store_limit``.
WRITERS = {"put_stream", "put_blob", "upsert"}


def calls(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            found.add(
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            )
    return found


def test_no_path_keeps_contents_without_a_quota() -> None:
    for path in sorted((ROOT / "packages" / "grid").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        if "references import" in text and "record" in calls(path):
            assert name in KEEPERS, f"{name} keeps contents: say within which quota"
        if WRITERS & calls(path) and "storage/objects" not in name and "grid/worker/" not in name:
            assert "within_quota" in text, f"{name} writes objects without a quota"
