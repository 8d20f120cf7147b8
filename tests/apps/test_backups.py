"""A node is copied and put back by commands that programs can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.assembly import open_node
from grid.storage.objects.store import DiskObjectStore
from syft_ext.ids import new_id
from syft_ext.store import StorableObject
from tests.apps.conftest import Result, grid
from tests.apps.test_installation import start


def told(result: Result, code: int = 0) -> dict[str, Any]:
    assert result.code == code, result.err
    document: dict[str, Any] = result.json
    return document


def test_a_node_is_copied_and_put_back_in_json(tmp_path: Path) -> None:
    home, again, place, key = (tmp_path / name for name in ("home", "again", "backups", "backup.key"))
    node = open_node("domain", home, "d", [])
    node.start()
    DiskObjectStore(node.db, node.blobs).put(StorableObject(id=new_id(), kind="bytes", data=bytes(2 << 20)))
    node.stop()
    as_json, sealed = ("--format", "json"), ("--key-file", str(key))
    assert told(grid("backup", "key", str(key), *as_json))["file"] == str(key)
    made = told(grid("backup", "create", str(place), "--home", str(home), *sealed, *as_json))
    assert made["rows"] > 0 and made["contents"] == 1 and made["lost"] == []
    whole = told(grid("backup", "verify", str(place), *sealed, *as_json))
    assert (whole["kind"], whole["rows"], whole["problems"]) == ("domain", made["rows"], [])
    restored = told(grid("backup", "restore", str(place), "--home", str(again), *sealed, *as_json))
    assert (restored["home"], restored["rows"]) == (str(again), made["rows"])

    look = ("verify", "--home", str(again), *as_json)
    found = [row["result"] for row in told(grid(*look))]
    assert "restored-database" in found, "it is said, and nothing is wrong"
    assert {*found} == {"ok", "restored-database"}
    acknowledge = ("domain", "acknowledge-restore", "--home", str(again), "--yes", *as_json)
    result = grid(*acknowledge)
    assert told(result)["acknowledged"] and "restored" in result.err, "why is said beside the document"
    assert grid(*acknowledge).code == 5, "nothing waits any more"
    assert {row["result"] for row in told(grid(*look))} == {"ok"}
    start(again)

    (content,) = [path for path in place.rglob("*") if path.is_file() and path.stat().st_size > 1 << 20]
    data = bytearray(content.read_bytes())
    data[len(data) // 2] ^= 1
    content.chmod(0o600)
    content.write_bytes(data)
    broken = told(grid("backup", "verify", str(place), *sealed, *as_json), code=1)
    assert len(broken["problems"]) == 1 and broken["result"] == broken["problems"][0]
