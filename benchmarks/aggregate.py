"""Aggregation against numpy's in-place add over the same buffers, in the same run.

    python benchmarks/aggregate.py [--json] [--rounds 7]

The peer is the bare minimum that a sum costs: ``np.add(total, update, out=total)`` for each update, at
memory bandwidth. Ours reads mapped tensor files from disk blobs (in the page cache), weights each of them,
and divides at the end. Target: a ratio of at most 1.3.
"""

from __future__ import annotations

import argparse
import json
import mmap
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from grid.aggregation.base import Contribution
from grid.aggregation.mean import WeightedMean
from grid.aggregation.tensor_file import TensorFile
from syft_ext.tensors import encode_tensors

CASES = {"100 x 1.2 M": (100, 1_200_000), "10 x 25 M": (10, 25_000_000)}


def model(parameters: int, fill: float) -> dict[str, torch.Tensor]:
    """A model of ``parameters`` float32 values in eight tensors."""
    share = parameters // 8
    return {f"layer{i}.weight": torch.full((share // 1000, 1000), fill) for i in range(8)}


def map_file(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def ours(base: TensorFile, maps: list[memoryview]) -> float:
    started = time.perf_counter()
    mean = WeightedMean(base)
    for number, view in enumerate(maps):
        mean.accumulate(Contribution(TensorFile(view), 1.0 + number))
    mean.finish()
    return time.perf_counter() - started


def floor(maps: list[memoryview], offset: int) -> float:
    updates = [np.frombuffer(view[offset:], np.float32) for view in maps]
    started = time.perf_counter()
    total = updates[0].copy()
    for update in updates[1:]:
        np.add(total, update, out=total)
    return time.perf_counter() - started


def measure(count: int, parameters: int, rounds: int) -> tuple[float, float]:
    """Median seconds of ours and of the floor, interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        base = TensorFile(encode_tensors(model(parameters, 0.5)))
        paths = [Path(folder, f"{i}.bin") for i in range(count)]
        for i, path in enumerate(paths):
            path.write_bytes(encode_tensors(model(parameters, i / count)))
        samples: dict[Callable[..., float], list[float]] = {ours: [], floor: []}
        for _ in range(rounds + 1):
            # Fresh maps for each: both pay for the page faults of a first touch.
            samples[ours].append(ours(base, [map_file(path) for path in paths]))
            samples[floor].append(floor([map_file(path) for path in paths], base.layout.data_offset))
        return statistics.median(samples[ours][1:]), statistics.median(samples[floor][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rows = []
    for name, (count, parameters) in CASES.items():
        mine, bare = measure(count, parameters, options.rounds)
        traffic = 12 * count * parameters / 1e9  # read the sum, read the update, write the sum
        rows.append(
            {"case": name, "seconds": mine, "numpy": bare, "ratio": mine / bare, "GB/s": traffic / mine}
        )
    if options.json:
        print(json.dumps({"aggregate": rows}))
        return
    print(f"{'updates x parameters':<22}{'ours s':>10}{'np.add s':>10}{'ratio':>8}{'GB/s':>8}")
    for row in rows:
        print(
            f"{row['case']:<22}{row['seconds']:>10.4f}{row['numpy']:>10.4f}{row['ratio']:>8.2f}{row['GB/s']:>8.1f}"
        )


if __name__ == "__main__":
    main()
