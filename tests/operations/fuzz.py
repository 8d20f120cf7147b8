"""Every operation of the op set, on calls that fit and nearly fit, between pages that must not be touched.

    python -m tests.operations.fuzz [--cases 200] [--seed 0] [--ops nll_loss index] [--seconds 60]
    [--undeclared]

``--cases`` are generated for each operation (184); most of them fit. What is found is printed with the number of
its case; ``--ops NAME --seed NUMBER --cases 1`` runs one again. Kinds: CRASH-… (with the nearest block),
WROTE-BESIDE, CHANGED-OPERAND, READ-OUTSIDE (the result depends on memory that is nobody's), OTHER-FAILURE,
NOT-AS-ANNOUNCED (refused after the kernel, but its memory was taken), NOT-BETWEEN (an index that was said to be in
range), PLAN-DIFFERS (from the pointer's call), MEMORY, SLOW, NO-MEMORY (of the allocator: nothing was shown). The
exit status is 1 then.

Needs a C compiler; the allocator is Linux and glibc.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class NoGuard(Exception):
    """There is no guarding allocator on this machine; says why."""


def build_guard(folder: Path) -> Path:
    """Compile ``guard.c`` into ``folder``. Raises :class:`NoGuard`."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise NoGuard("no C compiler (cc, gcc, clang): the guarding allocator cannot be built")
    if not sys.platform.startswith("linux") or not hasattr(os, "confstr") or "glibc" not in str(_libc()):
        raise NoGuard("the guarding allocator needs Linux and glibc")
    library = folder / "guard.so"
    source = Path(__file__).with_name("guard.c")
    made = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], capture_output=True, text=True
    )
    if made.returncode:
        raise NoGuard(f"the guarding allocator does not compile: {made.stderr[:300]}")
    return library


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except ValueError:
        return None


def run_cases(
    guard: Path,
    ops: Sequence[str],
    *,
    seed: int,
    cases: int,
    seconds: float,
    declared: bool = True,
    until: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """What a worker says: findings (``kind``, ``words``, ``case``) and a count for each operation.

    Without ``declared``, the operations run as if they had no preconditions. ``until``: operation → the kind of
    finding after which it is left for the next one.
    """
    order = json.dumps(
        {
            "ops": list(ops),
            "first": seed,
            "cases": cases,
            "seconds": seconds,
            "declared": declared,
            "until": dict(until or {}),
        }
    )
    environment = {
        **os.environ,
        "LD_PRELOAD": str(guard),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "packages"), str(ROOT)]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.operations.worker", order],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        try:
            for line in process.stdout:
                yield json.loads(line)
        finally:
            if process.poll() is None:
                process.terminate()
    if process.returncode:
        raise RuntimeError(f"the worker ended with {process.returncode}")


def main() -> int:
    from syft_ext.plans.graph.ops import ALLOWED

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200, help="for each operation")
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    parser.add_argument(
        "--ops", nargs="*", default=[], help="only operations with one of these in their names"
    )
    parser.add_argument("--seconds", type=float, default=600.0, help="at most, for each operation")
    parser.add_argument("--undeclared", action="store_true", help="as if there were no preconditions")
    options = parser.parse_args()
    ops = [op for op in ALLOWED if not options.ops or any(part in op for part in options.ops)]
    totals = {"generated": 0, "accepted": 0, "ran": 0}
    found = 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="grid-fuzz-") as folder:
        try:
            guard = build_guard(Path(folder))
        except NoGuard as error:
            print(error, file=sys.stderr)
            return 2
        for said in run_cases(
            guard,
            ops,
            seed=options.seed,
            cases=options.cases,
            seconds=options.seconds,
            declared=not options.undeclared,
        ):
            if "kind" in said:
                print(f"{said['kind']}: {said['words']}\n    {said['case']}", flush=True)
            else:
                for name in totals:
                    totals[name] += said[name]
                found += sum(said["kinds"].values())
                if said["kinds"]:
                    print(f"  {said['op']}: {said['kinds']}", flush=True)
    print(
        f"{len(ops)} operations: {totals['generated']} cases, {totals['accepted']} accepted and run three times, "
        f"{totals['ran']} gave a result; {found} findings; {time.monotonic() - start:.0f} s"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
