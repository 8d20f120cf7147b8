"""``grid dataset`` from a terminal, and the same over HTTP alone, as with curl."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.apps.conftest import OWNER, PASSWORD, Nodes, grid

pytestmark = pytest.mark.slow


def test_a_dataset_from_the_terminal_and_over_http(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "a")
    nodes.login(domain, save=True)
    (tmp_path / "t.csv").write_text("age,sex\n61,f\n47,m\n70,f\n")
    (tmp_path / "schema.json").write_text(json.dumps({"sex": {"categories": ["f", "m"]}}))
    refused = grid("dataset", "add", "visits", "--data", str(tmp_path / "t.csv"))
    assert refused.code == 1 and "categories" in refused.err
    added = grid(
        "dataset", "add", "visits", "--data", str(tmp_path / "t.csv"), "--schema", str(tmp_path / "schema.json"),
        "--mock", "generate", "--subjects", "adults", "--tag", "ward", "--format", "json",
    )  # fmt: skip
    assert added.json["assets"] == ["data"], added.err
    ticked = grid("dataset", "statistics", "visits", "age=mean,max")
    assert "mean 59.3333, max 70" in ticked.out, ticked.err
    assert grid("dataset", "mock", "visits", "--rows", "7", "--seed", "3").out == "made\n"
    (tmp_path / "t.csv").write_text("age,sex\n61,f\n")
    changed = grid("dataset", "update", "visits", str(tmp_path / "t.csv"), "--note", "one", "--delete-old")
    assert changed.out == "version 2\n", changed.err
    assert "mean" not in grid("dataset", "show", "visits").out, "ticked of the first version only"
    assert grid("dataset", "statistics", "visits", "age=mean,max").code == 0
    shown = grid("dataset", "show", "visits")
    assert "adults" in shown.out and "mean 61, max 61" in shown.out and "deleted" in shown.out
    view = grid("dataset", "show", "visits", "--format", "json").json
    assert [each["note"] for each in view["assets"][0]["versions"]] == ["", "one"]
    (found,) = grid("search", "--column", "age", "--max-rows", "1", "--format", "json").json
    assert found["name"] == "visits" and found["assets"][0]["statistics"] == {"age": {"max": 61, "mean": 61}}
    assert grid("search", "--column", "age", "--min-rows", "2", "--format", "json").json == []
    assert "No unfinished uploads." in grid("dataset", "uploads").out
    _check_told(tmp_path)
    _check_http(domain.url)
    assert grid("dataset", "delete", "visits", "--objects").code == 0
    names = {each["name"] for each in grid("dataset", "list", "--format", "json").json}
    assert names == {"by curl"}


def _check_http(url: str) -> None:
    token = ""

    def call(method: str, path: str, body: Any = None, raw: bytes | None = None, **headers: str) -> Any:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if raw is not None else "application/json"
        request = urllib.request.Request(url + path, data, {"Content-Type": kind, **headers}, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        return content if path.endswith("/content") else json.loads(content or b"{}")

    token = call("POST", "/auth/login", {"email": OWNER, "password": PASSWORD})["token"]
    text = b"dose,arm\n1.5,a\n2.5,b\n"
    upload = call("POST", "/uploads", {"size": len(text)})["upload_id"]
    call("PATCH", f"/uploads/{upload}", raw=text[:9], **{"Upload-Offset": "0"})
    assert call("GET", "/uploads")["uploads"] == [{"upload_id": upload, "size": len(text), "received": 9}]
    call("PATCH", f"/uploads/{upload}", raw=text[9:], **{"Upload-Offset": "9"})
    table = call("POST", f"/uploads/{upload}/table", {"categories": {"arm": ["a", "b"]}})
    assert (table["kind"], call("GET", "/uploads")["uploads"]) == ("tensors", [])
    content = call("GET", f"/objects/{table['id']}/content")
    assert np.frombuffer(content[-32:], "<f8")[:2].tolist() == [1.5, 2.5]
    made = call("POST", "/datasets", {"name": "by curl", "assets": [{"name": "t", "object_id": table["id"]}]})
    path = f"/datasets/{made['id']}/assets/t"
    ticked = call("PUT", f"{path}/statistics", {"statistics": {"dose": ["mean"]}})
    assert ticked["assets"][0]["statistics"] == {"dose": {"mean": 2.0}}
    assert call("POST", f"{path}/mock", {"rows": 5})["assets"][0]["has_mock"]


def _check_told(folder: Path) -> None:
    """How a CSV is written is told on the command line; the schema shows what its values are."""
    (folder / "g.csv").write_bytes("größe;tag\n1.234,5;31.12.2024\n".encode("latin-1"))
    (folder / "g.json").write_text(json.dumps({"tag": {"format": "%d.%m.%Y", "unit": "d"}}))
    command = (
        "dataset",
        "add",
        "growth",
        "--data",
        str(folder / "g.csv"),
        "--schema",
        str(folder / "g.json"),
    )
    refused = grid(*command)
    assert refused.code == 1 and "line 1" in refused.err and "latin-1" in refused.err
    told = grid(*command, "--encoding", "latin-1", "--decimal", ",", "--thousands", ".")
    assert told.code == 0, told.err
    assert "d since 1970-01-01 00:00" in grid("dataset", "show", "growth").out
    assert grid("dataset", "delete", "growth", "--objects").code == 0
