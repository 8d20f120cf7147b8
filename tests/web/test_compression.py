"""Files of pages travel compressed to whoever takes that, and as they are to everybody else."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from flask import Flask

import grid.web.pages
from apps.domain.app import build
from grid.config import DomainSettings
from grid.web.pages.compression import compress_files
from grid.web.testing import ServedNode

HTTP = urllib3.PoolManager(retries=False)
STATIC = Path(grid.web.pages.__file__).parent / "static"
SCRIPT = "/static/peer/grid.js"


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    with ServedNode(build(tmp_path_factory.mktemp("domain"), DomainSettings())) as served:
        yield served


def ask(domain: ServedNode, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.request(method, domain.url + path, headers=named, decode_content=False)


@pytest.mark.parametrize(
    "path", [SCRIPT, "/static/peer/kernels.wasm", "/static/pages.css", "/static/grid.svg"]
)
def test_who_takes_gzip_gets_the_file_in_fewer_bytes(domain: ServedNode, path: str) -> None:
    content = (STATIC / path.removeprefix("/static/")).read_bytes()
    for _ in range(2):  # made, and kept
        answer = ask(domain, path, Accept_Encoding="gzip")
        assert answer.status == 200 and answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.data) == content and len(answer.data) < len(content)
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        assert answer.headers["Vary"] == "Accept-Encoding"
    plain = ask(domain, path)
    assert plain.headers["Content-Type"] == answer.headers["Content-Type"]
    assert plain.headers.get("Content-Security-Policy") == answer.headers.get("Content-Security-Policy")


@pytest.mark.parametrize("accepted", ["br", "gzip, deflate, br, zstd", "gzip;q=0, br"])
def test_who_takes_brotli_gets_what_was_packed_when_the_file_was_made(
    domain: ServedNode, accepted: str
) -> None:
    for _ in range(2):
        answer = ask(domain, SCRIPT, Accept_Encoding=accepted)
        assert answer.status == 200 and answer.headers["Content-Encoding"] == "br"
        assert answer.data == (STATIC / "peer" / "grid.js.br").read_bytes()
        assert answer.headers["Vary"] == "Accept-Encoding"
    plain = ask(domain, SCRIPT)
    assert plain.headers["Content-Type"] == answer.headers["Content-Type"]
    assert plain.headers["ETag"] != answer.headers["ETag"]
    again = ask(domain, SCRIPT, Accept_Encoding=accepted, If_None_Match=answer.headers["ETag"])
    assert again.status == 304 and again.data == b""


def test_where_nobody_packed_a_file_brotli_is_not_spoken(domain: ServedNode) -> None:
    answer = ask(domain, "/static/pages.css", Accept_Encoding="br, gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in ask(domain, "/static/pages.css", Accept_Encoding="br").headers


@pytest.mark.parametrize("accepted", [None, "identity", "gzip;q=0", "deflate", "br;q=0", "*;q=0"])
def test_who_does_not_gets_it_as_it_is(domain: ServedNode, accepted: str | None) -> None:
    answer = ask(domain, SCRIPT, **({} if accepted is None else {"Accept_Encoding": accepted}))
    assert answer.status == 200 and "Content-Encoding" not in answer.headers
    assert answer.data == (STATIC / "peer" / "grid.js").read_bytes()
    assert answer.headers["Vary"] == "Accept-Encoding"


def test_who_has_it_is_told_so_and_a_range_is_of_the_file(domain: ServedNode) -> None:
    packed = ask(domain, SCRIPT, Accept_Encoding="gzip")
    again = ask(domain, SCRIPT, Accept_Encoding="gzip", If_None_Match=packed.headers["ETag"])
    assert again.status == 304 and again.data == b""
    part = ask(domain, SCRIPT, Accept_Encoding="gzip", Range="bytes=10-19")
    assert part.status == 206 and "Content-Encoding" not in part.headers
    assert part.data == (STATIC / "peer" / "grid.js").read_bytes()[10:20]
    # A range of the packed bytes is nothing to ask for: their tag never matches If-Range.
    whole = ask(domain, SCRIPT, Accept_Encoding="gzip", Range="bytes=10-19", If_Range=packed.headers["ETag"])
    assert whole.status == 200 and gzip.decompress(whole.data) == (STATIC / "peer" / "grid.js").read_bytes()


def test_a_head_says_what_a_get_would(domain: ServedNode) -> None:
    head = ask(domain, SCRIPT, "HEAD", Accept_Encoding="gzip")
    get = ask(domain, SCRIPT, Accept_Encoding="gzip")
    assert head.status == 200 and head.data == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert head.headers["Content-Encoding"] == "gzip" and head.headers["ETag"] == get.headers["ETag"]


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_a_file_is_packed_once_however_callers_write_its_path(
    coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is packed is kept in memory: strangers must not have it kept again for each spelling."""
    app = Flask("site", static_folder=str(STATIC), static_url_path="/static")
    compress_files(app)
    packed = list[int]()
    pack, read = gzip.compress, Path.read_bytes
    monkeypatch.setattr(
        gzip, "compress", lambda data, *args, **kw: (packed.append(1), pack(data, *args, **kw))[1]
    )
    monkeypatch.setattr(Path, "read_bytes", lambda path: (packed.append(1), read(path))[1])
    answers = {
        app.test_client().get(f"/static/{way}peer/grid.js", headers={"Accept-Encoding": coding}).data
        for way in ("", "./", "%2e/", "a/../", "b/../", "./c/../")
    }
    assert len(answers) == 1 and packed == [1]


def test_what_is_no_file_is_never_compressed(domain: ServedNode) -> None:
    for path in ("/", "/docs", "/openapi.json", "/static/nowhere.js"):
        assert "Content-Encoding" not in ask(domain, path, Accept_Encoding="gzip").headers
