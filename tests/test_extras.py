"""Who lacks a library is told the extra that has it, for every extra; and nothing else needs one."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from grid.key_host.tokens import TokenKeys
from grid.statistics.private.open_dp import OpenDpEngine
from grid.statistics.private.python_dp import PythonDpEngine
from syft_ext.encrypted.child import check_installed
from syft_ext.encrypted.kernel import library
from syft_ext.errors import GridError
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.onnx.executor import session_of
from syft_ext.plans.onnx.export import export
from syft_ext.sources.parquet import parquet_names
from syft_ext.sources.pixels import require_pillow
from syft_ext.transport.webrtc.engine import load_engine

ROOT = Path(__file__).resolve().parents[1]
_NOTHING: Any = None

#: Extra → modules of its libraries → what of ours needs it.
NEEDS: dict[str, dict[str, list[Callable[[], object]]]] = {
    "onnx": {
        "onnx": [lambda: export(_NOTHING, {}, Limits())],
        "onnxruntime": [lambda: session_of(b"")],
    },
    "data": {"pyarrow": [lambda: parquet_names(Path("t.parquet"))], "PIL": [require_pillow]},
    "dp": {"pydp": [PythonDpEngine().check]},
    "opendp": {"opendp": [OpenDpEngine().check]},
    "he": {"tenseal": [check_installed, library.__wrapped__]},
    "webrtc": {"aiortc": [load_engine]},
    "pkcs11": {"pkcs11": [lambda: TokenKeys("pkcs11:token=t?module-path=/x&pin-value=1", 60.0)]},
}
#: What the demonstration, notebooks and tests run with: nothing that is installed imports it.
BUNDLES = {
    "demo": {"sklearn", "matplotlib"},
    "peers": {"playwright"},
    "notebook": {"ipykernel", "nbclient", "nbformat", "ipywidgets"},
    "test": {
        "pytest",
        "hypothesis",
        "pandas",
        "polars",
        "scipy",
        "statsmodels",
        "dp_accounting",
        "safetensors",
    },
}
CASES = [
    (extra, module, number)
    for extra, modules in NEEDS.items()
    for module, ways in modules.items()
    for number in range(len(ways))
]


def test_every_extra_is_here() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert {*NEEDS, *BUNDLES} == set(config["options.extras_require"])


@pytest.mark.parametrize(("extra", "module", "number"), CASES)
def test_a_missing_library_is_named_with_its_extra(
    extra: str, module: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    for loaded in [name for name in sys.modules if name.endswith(".aiortc_engine")]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(GridError) as refused:
        NEEDS[extra][module][number]()
    assert f"grid-platform[{extra}]" in str(refused.value)


def test_nothing_that_is_installed_imports_what_bundles_bring() -> None:
    # A frame that somebody asks for is made by the pandas that they have.
    names = set().union(*BUNDLES.values()) - {"pandas"}
    imports = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(sorted(names))})\b", re.MULTILINE)
    found = [
        str(path.relative_to(ROOT))
        for folder in ("packages/grid", "packages/syft_ext", "apps")
        for path in (ROOT / folder).rglob("*.py")
        if imports.search(path.read_text())
    ]
    assert found == []
