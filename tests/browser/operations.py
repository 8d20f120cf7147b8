"""The table of operations as the interpreter in the browser has it, made of Python's.

    python -m tests.browser.operations --write

writes ``packages/grid_js/src/plan/operations.ts`` and, for what few plans have and every visit does without,
``other_operations.ts`` beside it; a test holds that the committed files are what this makes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from syft_ext.plans.graph.document import OPSET
from syft_ext.plans.graph.ops import ALLOWED, STRINGS, opset_of, result_count

__all__ = ["files"]

_FOLDER = Path(__file__).resolve().parents[2] / "packages" / "grid_js" / "src" / "plan"
#: Operations whose rules every visit loads (``COMMON`` in ``engine/table.ts``: a test in Node compares the two).
_EVERY_VISIT = """
    _log_softmax.default _log_softmax_backward_data.default _softmax.default _softmax_backward_data.default
    _to_copy.default abs.default add.Scalar add.Tensor addcdiv.default addcmul.default addmm.default
    amax.default amin.default arange.default arange.start_step argmax.default argmin.default
    bitwise_and.Scalar bitwise_and.Tensor bitwise_or.Scalar bitwise_or.Tensor
    bitwise_right_shift.Tensor_Scalar bitwise_xor.Scalar bitwise_xor.Tensor bmm.default cat.default
    ceil.default clamp.default clamp_min.default clone.default div.Scalar div.Tensor dot.default eq.Scalar
    eq.Tensor exp.default expand.default expm1.default floor.default full.default full_like.default
    ge.Scalar ge.Tensor gt.Scalar gt.Tensor le.Scalar le.Tensor lerp.Scalar log.default log1p.default
    logical_and.default logical_not.default logical_or.default logical_xor.default lt.Scalar lt.Tensor
    masked_fill.Scalar max.default max.dim maximum.default mean.default mean.dim min.default min.dim
    minimum.default mm.default mul.Scalar mul.Tensor mv.default ne.Scalar ne.Tensor neg.default
    nll_loss_backward.default nll_loss_forward.default ones.default ones_like.default permute.default
    pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor reciprocal.default relu.default reshape.default
    round.default rsqrt.default rsub.Scalar scalar_tensor.default select.int sigmoid.default
    sigmoid_backward.default sign.default slice.Tensor sqrt.default squeeze.dim squeeze.dims sub.Scalar
    sub.Tensor sum.default sum.dim_IntList t.default tanh.default tanh_backward.default
    threshold_backward.default transpose.int trunc.default unsqueeze.default where.self zeros.default
    zeros_like.default
"""
_COMMON = frozenset(_EVERY_VISIT.split())
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
 * A line: operations, ":", op set, number of results, parameters, which all of them share; a name without a dot is
 * that of the overload "default". A parameter: name, ":", kind, and "=" with its default as JSON where it has one;
 * "*" comes before those that are given by name only. Kinds: Tensor, number, int, float, bool, string (with its
 * words), dtype, x (nobody may give it); "[]" a list of these, "?" or none.
 */
export const OPSET = {OPSET};
export const TABLE = `\\
"""
_OTHERS = """/** The operations that few plans have, in the form of `operations.ts`, and made with it. */
export const OTHERS = `\\
"""


def files() -> dict[Path, str]:
    """Each file, and all that is in it."""
    common = [name for name in ALLOWED if name.removeprefix("aten.") in _COMMON]
    return {
        _FOLDER / "operations.ts": _HEAD + _table(common),
        _FOLDER / "other_operations.ts": _OTHERS + _table([name for name in ALLOWED if name not in common]),
    }


def _table(names: list[str]) -> str:
    lines: dict[str, list[str]] = {}
    for name in names:
        lines.setdefault(_signature(name), []).append(name.removeprefix("aten.").removesuffix(".default"))
    return "".join(f"{' '.join(alike)} : {signature}\n" for signature, alike in lines.items()) + "`;\n"


def _signature(name: str) -> str:
    parts = [str(opset_of([name])), str(result_count(name))]
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
    parser.add_argument(
        "--write", action="store_true", help="write the files; else say whether they are in step"
    )
    if parser.parse_args().write:
        for file, text in files().items():
            file.write_text(text)
        return 0
    return 0 if all(file.is_file() and file.read_text() == text for file, text in files().items()) else 1


if __name__ == "__main__":
    sys.exit(main())
