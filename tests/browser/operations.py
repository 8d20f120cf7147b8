"""The table of operations as the interpreter in the browser has it, made of Python's.

    python -m tests.browser.operations --write

writes ``packages/grid_js/src/plan/operations.ts``; a test holds that the committed file is what this makes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from syft_ext.plans.graph.document import OPSET
from syft_ext.plans.graph.ops import ALLOWED, STRINGS, opset_of, result_count

__all__ = ["FILE", "source"]

FILE = Path(__file__).resolve().parents[2] / "packages" / "grid_js" / "src" / "plan" / "operations.ts"
_LETTERS = {
    "Tensor": "T",
    "number": "n",
    "int": "i",
    "float": "f",
    "bool": "b",
    "str": "s",
    "ScalarType": "d",
    **dict.fromkeys(("Layout", "Device", "MemoryFormat"), "x"),
}
_HEAD = f"""/**
 * The op sets, as the Python package has them: made by `python -m tests.browser.operations --write`.
 *
 * A line: op set, name, number of results, parameters. A parameter: name, ":", kind, and "=" with its default as
 * JSON where it has one; "*" comes before those that are given by name only. Kinds: Tensor, number, int, float,
 * bool, string (with its words), dtype, x (nobody may give it); "[]" a list of these, "?" or none.
 */
export const OPSET = {OPSET};
export const TABLE = `\\
"""


def source() -> str:
    """The whole file."""
    return _HEAD + "".join(f"{_line(name)}\n" for name in ALLOWED) + "`;\n"


def _line(name: str) -> str:
    parts = [str(opset_of([name])), name.removeprefix("aten."), str(result_count(name))]
    by_name = False
    for parameter in ALLOWED[name]._schema.arguments:
        if parameter.kwarg_only and not by_name:
            parts.append("*")
            by_name = True
        default = f"={_json(parameter.default_value)}" if parameter.has_default_value() else ""
        kind = _kind(str(parameter.real_type), STRINGS.get((name, parameter.name), frozenset()))
        parts.append(f"{parameter.name}:{kind}{default}")
    return " ".join(parts)


def _kind(real_type: str, words: frozenset[str]) -> str:
    if real_type.startswith("Optional["):
        return _kind(real_type[len("Optional[") : -1], words) + "?"
    if real_type.startswith("List["):
        return _kind(real_type[len("List[") : -1], words) + "[]"
    return _LETTERS[real_type] + (f"({'|'.join(sorted(words))})" if real_type == "str" else "")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> int:
    parser = argparse.ArgumentParser(description="The browser's table of operations.")
    parser.add_argument("--write", action="store_true", help="write the file; else say whether it is in step")
    if parser.parse_args().write:
        FILE.write_text(source())
        return 0
    return 0 if FILE.read_text() == source() else 1


if __name__ == "__main__":
    sys.exit(main())
