"""A slice of the fuzzer's run over all operations, and that it finds what the preconditions hold back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from syft_ext.plans.graph.ops import ALLOWED

from .fuzz import NoGuard, build_guard, run_cases

SEED = 20_000


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_guard(tmp_path_factory.mktemp("guard"))
    except NoGuard as error:
        pytest.skip(str(error))


def test_no_operation_touches_memory_that_is_not_its_own(guard: Path) -> None:
    found, ran = [], Counter[str]()
    for said in run_cases(guard, list(ALLOWED), seed=SEED, cases=10, seconds=120):
        if "kind" in said:
            found.append(f"{said['kind']}: {said['words']}\n{said['case']}")
        else:
            ran[said["op"]] = said["ran"]
    assert not found, "\n".join(found)
    assert set(ran) == set(ALLOWED)
    # A fuzzer whose cases are all refused shows nothing.
    assert sum(ran.values()) > 4 * len(ALLOWED) and sum(count == 0 for count in ran.values()) <= 8


WEAK = {
    "aten.native_group_norm.default": "CRASH-SIGSEGV",
    "aten._native_batch_norm_legit.no_stats": "CRASH-SIGSEGV",
    "aten.native_batch_norm_backward.default": "CRASH-SIGSEGV",
    "aten.nll_loss_backward.default": "CRASH-SIGSEGV",
    "aten.div.Tensor_mode": "CRASH-SIGFPE",
    "aten.avg_pool2d.default": "CRASH-SIGFPE",
    "aten._log_softmax_backward_data.default": "CRASH-SIGFPE",
    "aten.index.Tensor": "NOT-AS-ANNOUNCED",
}


def test_without_preconditions_it_finds_how_the_kernels_fail(guard: Path) -> None:
    ran = run_cases(guard, list(WEAK), seed=0, cases=800, seconds=120, declared=False, until=WEAK)
    kinds = {said["op"]: said["kinds"] for said in ran if "kinds" in said}
    assert {op for op, kind in WEAK.items() if kind not in kinds[op]} == set()
