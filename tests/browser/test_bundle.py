"""What a Domain serves to browsers is what the sources make, is small, and says whose work is in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.node import GRID_JS, ROOT, SERVED, needs_node

#: Bytes that every visit loads that trains over WebSocket, packed by Brotli as browsers take it: the page and its
#: workers, the common kernels, one language. Issue 14 asks for 60 KB.
EVERY_VISIT = 64_000
#: Bytes that come besides where a plan has an operation of ``rest.ts``: convolutions, norms, gather, order, erf.
REST = 15_200
#: Bytes of all that is served, packed: both languages, ways through Networks, curves for browsers without Ed25519.
#: Two parts of operations take 500 bytes more in all than one of them did (Brotli learns anew in each).
IN_ALL = 106_100


def test_the_sources_do_what_they_say_in_node() -> None:
    needs_node()
    done = subprocess.run(["npm", "test", "--silent"], cwd=GRID_JS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]


def test_what_is_served_is_what_the_sources_make() -> None:
    needs_node()
    done = subprocess.run([ROOT / "scripts" / "bundle", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "byte for byte" in done.stdout


def test_another_byte_is_found(tmp_path: Path) -> None:
    """By the script, over sources that are made in no time: what is served here, copied."""
    needs_node()
    sources, served = tmp_path / GRID_JS.relative_to(ROOT), tmp_path / SERVED.relative_to(ROOT)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(SERVED, served)
    for each in ("tools", "node_modules"):
        (sources / each).mkdir(parents=True)
    shutil.copy(GRID_JS / "tools" / "packed.mjs", sources / "tools")
    package = {"name": "copied", "version": "1.0.0"}
    (sources / "package.json").write_text(json.dumps({**package, "scripts": {"check": "node --version"}}))
    lock = {**package, "lockfileVersion": 3, "requires": True, "packages": {"": package}}
    (sources / "package-lock.json").write_text(json.dumps(lock))
    (sources / "tools" / "build.mjs").write_text(
        'import { cpSync } from "node:fs";\n'
        f"cpSync({json.dumps(str(SERVED))}, process.argv.at(-1), {{ recursive: true }});\n"
    )
    check = [str(tmp_path / "scripts" / "bundle"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "byte for byte" in done.stdout, done.stderr
    with (served / "grid.js").open("ab") as file:
        file.write(b" ")
    done = subprocess.run(check, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "grid.js" in done.stdout
    assert "run scripts/bundle" in done.stderr


def loaded(name: str, found: set[str]) -> set[str]:
    """What a script imports at its beginning, and those import; not what comes when it is needed."""
    if name not in found:
        found.add(name)
        for other in re.findall(r'(?:from|import)"\./([\w.-]+)"', (SERVED / name).read_text()):
            loaded(other, found)
    return found


def packed(name: str) -> int:
    return (SERVED / f"{name}.br").stat().st_size


def test_it_is_small() -> None:
    scripts = {path.name for path in SERVED.glob("*.js")}
    every = {"kernels.wasm"}.union(
        *(loaded(f"{each}.js", set()) for each in ("join", "engine", "data", "ticker"))
    )
    later = scripts - every - {"grid.js"}  # for programs, not for the page
    words = [name for name in later if re.search(r"\bphase_lost\b", (SERVED / name).read_text())]
    assert len(words) == 2, "the page speaks two languages"
    sizes = {name: packed(name) for name in every}
    assert sum(sizes.values()) + max(packed(name) for name in words) <= EVERY_VISIT, sizes
    (rest,) = (name for name in later if '"convolution.default"' in (SERVED / name).read_text())
    assert packed(rest) + packed("rest.wasm") <= REST
    assert sum(packed(name) for name in {"kernels.wasm", "rest.wasm", *scripts}) <= IN_ALL


def test_what_is_packed_is_what_lies_beside_it(tmp_path: Path) -> None:
    needs_node()
    shutil.copytree(SERVED, tmp_path / "peer")
    check = ["node", str(GRID_JS / "tools" / "packed.mjs"), str(tmp_path / "peer")]
    assert subprocess.run(check).returncode == 0
    (tmp_path / "peer" / "grid.js.br").write_bytes((SERVED / "engine.js.br").read_bytes())
    (tmp_path / "peer" / "join.js.br").unlink()
    (tmp_path / "peer" / "nothing.js.br").write_bytes(b"")
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "grid.js",
        "join.js",
        "nothing.js.br",
    ]


def test_no_code_is_made_of_text() -> None:
    """The pages' policy allows it to nobody; what would need it must not be there either."""
    for path in SERVED.glob("*.js"):
        text = path.read_text()
        assert "eval(" not in text, path.name
        assert "new Function" not in text, path.name


def test_whose_work_is_in_it_is_said() -> None:
    parts = json.loads((SERVED / "parts.json").read_text())
    notices = (SERVED / "NOTICES.txt").read_text()
    lock = json.loads((GRID_JS / "package-lock.json").read_text())["packages"]
    for each in parts:
        locked = lock[f"node_modules/{each['name']}"]
        assert (each["version"], each["integrity"]) == (locked["version"], locked["integrity"])
        assert f"{each['name']} {each['version']} ({each['license']})" in notices
    allowed = {"MIT", "ISC", "Apache-2.0", "BSD-3-Clause", "0BSD"}
    assert {each["license"] for each in parts} <= allowed


@pytest.mark.parametrize("kind", ["dependencies", "devDependencies"])
def test_what_is_used_is_fixed(kind: str) -> None:
    wanted = json.loads((GRID_JS / "package.json").read_text())[kind]
    lock = json.loads((GRID_JS / "package-lock.json").read_text())["packages"]
    assert all(version.replace(".", "").isdigit() for version in wanted.values()), wanted
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(each.get("integrity") for name, each in lock.items() if name)
    assert "resolved" not in json.dumps(lock)
