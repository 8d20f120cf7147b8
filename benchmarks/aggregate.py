"""Aggregation against numpy's in-place add over the same buffers, in the same run.

    python benchmarks/aggregate.py [--rounds 7] [--quick] [--json]

The peer is the bare minimum that a sum costs: ``np.add(total, update, out=total)`` for each update, at
memory bandwidth. Ours reads mapped tensor files from disk blobs (in the page cache), weights each of them,
and divides at the end. Target: a ratio of at most 1.3, at the full sizes.

Then the mean that a site's policy demands, of the same updates: clipped, and clipped with exact noise, against the
weighted mean. It reads every update twice, and noise is drawn once, whatever their number.
"""

from __future__ import annotations

import argparse
import mmap
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _harness import Report, parse

from grid.aggregation.base import Aggregator, Contribution
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.mean import WeightedMean
from grid.aggregation.tensor_file import TensorFile
from grid.privacy.mechanisms.registry import vector_mechanism
from syft_ext.tensors import encode_tensors

CASES = {"100 x 1.2 M": (100, 1_200_000), "10 x 25 M": (10, 25_000_000)}
QUICK_CASES = {"10 x 1.2 M": (10, 1_200_000), "2 x 5 M": (2, 5_000_000)}
TARGET = 1.3


def model(parameters: int, fill: float) -> dict[str, torch.Tensor]:
    """A model of ``parameters`` float32 values in eight tensors."""
    share = parameters // 8
    return {f"layer{i}.weight": torch.full((share // 1000, 1000), fill) for i in range(8)}


def map_file(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def timed(mean: Aggregator, maps: list[memoryview]) -> float:
    started = time.perf_counter()
    for number, view in enumerate(maps):
        mean.accumulate(Contribution(TensorFile(view), 1.0 + number))
    mean.finish()
    return time.perf_counter() - started


def ours(base: TensorFile, maps: list[memoryview]) -> float:
    return timed(WeightedMean(base), maps)


def clipped(base: TensorFile, maps: list[memoryview]) -> float:
    return timed(ClippedMean(base, vector_mechanism(1.0, None)), maps)


def noisy(base: TensorFile, maps: list[memoryview]) -> float:
    return timed(ClippedMean(base, vector_mechanism(1.0, 1.0)), maps)


def floor(maps: list[memoryview], offset: int) -> float:
    updates = [np.frombuffer(view[offset:], np.float32) for view in maps]
    started = time.perf_counter()
    total = updates[0].copy()
    for update in updates[1:]:
        np.add(total, update, out=total)
    return time.perf_counter() - started


def measure(count: int, parameters: int, rounds: int) -> dict[Callable[..., float], float]:
    """Median seconds of ours, of the floor, and of the means under a policy, interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        base = TensorFile(encode_tensors(model(parameters, 0.5)))
        paths = [Path(folder, f"{i}.bin") for i in range(count)]
        for i, path in enumerate(paths):
            path.write_bytes(encode_tensors(model(parameters, i / count)))
        samples: dict[Callable[..., float], list[float]] = {ours: [], floor: [], clipped: [], noisy: []}
        for _ in range(rounds + 1):
            # Fresh maps for each: all pay for the page faults of a first touch.
            samples[floor].append(floor([map_file(path) for path in paths], base.layout.data_offset))
            for kind in (ours, clipped, noisy):
                samples[kind].append(kind(base, [map_file(path) for path in paths]))
        return {kind: statistics.median(values[1:]) for kind, values in samples.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parse(parser, rounds=2)
    report = Report()
    print(f"{'updates x parameters':<22}{'ours s':>10}{'np.add s':>10}{'ratio':>8}{'GB/s':>8}", end="")
    print(f"{'clipped s':>11}{'noisy s':>10}")
    for name, (count, parameters) in (QUICK_CASES if options.quick else CASES).items():
        seconds = measure(count, parameters, options.rounds)
        mine, bare = seconds[ours], seconds[floor]
        traffic = 12 * count * parameters / 1e9  # read the sum, read the update, write the sum
        peer = report.add(f"{name}, np.add", bare, "s")
        row = report.add(f"{name}, weighted mean", mine, "s", against=peer)
        report.add_ratio(row, target=None if options.quick else TARGET)
        report.add(f"{name}, clipped mean", seconds[clipped], "s", against=row)
        report.add(f"{name}, clipped mean with exact noise", seconds[noisy], "s", against=row)
        print(f"{name:<22}{mine:>10.4f}{bare:>10.4f}{row.ratio:>8.2f}{traffic / mine:>8.1f}", end="")
        print(f"{seconds[clipped]:>11.4f}{seconds[noisy]:>10.4f}")
    report.finish(options.json)


if __name__ == "__main__":
    main()
