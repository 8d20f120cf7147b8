"""A confidential round: sealed reports through a Domain, three key hosts and a worker, beside the plain round.

    python benchmarks/confidential.py [--quick] [--json]

100 participants report 5.6 MB each over loopback, one after the other, to one Domain: once as a plain difference,
once sealed. What is timed begins with the first report (a sealed one is sealed, declared and sent) and ends when
the next checkpoint is there. Key hosts have databases of their own and the worker is a process; evidence is
simulated. A sealed round takes at most two and a half times the plain one.

Then the worker alone, with key hosts in memory: its peak memory with few and with many uploads (at most a tenth
more). What exact clipping adds to an update is measured by itself; a sealed round takes at most 1.3 times what it
would without, which is the round less that time for each upload. Noise for 1.4 million numbers takes at most a
second, and one piece of evidence 10 ms (recorded pieces, where they lie beside the checkout).

``--quick``: 3 participants and 0.4 MB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _harness import Report, parse
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from syft_ext.attestation.appraise import verify
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.confidential.canonical import key_of
from syft_ext.confidential.frames import operator_pipe
from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.kernel.noise import add_noise
from syft_ext.confidential.policy import Cohort
from syft_ext.confinement.child import CHILD_SOCKET, ChildProcess
from syft_ext.messages.federated import HostTraining, UploadModel
from syft_ext.tensors import encode_tensors
from tests.confidential.worker.site import Site, SiteOperator, update_of
from tests.confidential_training.consortium import Consortium, Participant

ROUND_TARGET, CLIP_TARGET, MEMORY_TARGET = 2.5, 1.3, 1.1
"""Times the plain round; times the sealed one without clipping; times the worker's peak with few uploads."""
NOISE_TARGET = 1000.0
"""Milliseconds for 1.4 million numbers."""
EVIDENCE_TARGET = 10.0
"""Milliseconds for one piece."""
NOISE_NUMBERS = 1_400_000
_SHARED = Path(os.environ.get("GRID_SHARED") or Path(__file__).resolve().parent.parent.parent / "shared")
_EVIDENCE = _SHARED / "confidential" / "evidence"
_MILAN = ("ms-milan-vcek.pem", "amd-milan-ask.der", "amd-milan-ark.der")
_PIECES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("sev-snp", "snp/ms-milan-report.bin", "2026-02-06", _MILAN),
    ("nitro", "nitro/evervault-beta-valid-attestation-doc.cose", "2022-10-13T09:00", ()),
    ("confidential-space-pki", "confidential-space/flare-debug-pki-token.jwt", "2024-11-04", ()),
)


def best(measure: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of so many calls."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        measure()
        found.append(time.perf_counter() - start)
    return min(found)


# -- whole rounds


def rounds(path: Path, participants: int, numbers: int) -> tuple[float, float]:
    """Seconds of a plain and of a sealed round."""
    model = {"w": torch.zeros(numbers)}

    @sy.make_plan
    def nothing(params=sy.List([*model.values()])):  # type: ignore[no-untyped-def]  # nobody here runs it
        return [param - 1.0 for param in params]

    plans = {"training_plan": nothing.dumps()}
    with pytest.MonkeyPatch.context() as patch:
        home = Consortium(path, patch)
        try:
            config = dict.fromkeys(("min_diffs", "max_diffs", "max_workers"), participants) | {
                "num_cycles": 1
            }
            view = home.client.call(
                HostTraining(
                    name="plain", version="1", client_plans=plans, server_config={**config, "num_cycles": 1}
                )
            )
            home.client.call(UploadModel(process_id=view.process_id), [encode_tensors(model)])
            plain = timed(home, view.process_id, "plain", participants, numbers)
            cohort = Cohort(participants, participants, (key_of(home.authority),), 100, 1)
            noisy = home.noisy(1.0, 1, participants)
            signed = home.approve(home.policy(plans, **{**noisy, "cohort": cohort}))
            process_id = home.host(model, signed, plans, name="sealed", **config)
            return plain, timed(home, process_id, "sealed", participants, numbers)
        finally:
            home.close()


def timed(home: Consortium, process_id: str, name: str, participants: int, numbers: int) -> float:
    """From the first report to the next checkpoint."""
    crowd = [home.join(f"hospital {number}", name) for number in range(participants)]
    changes = [change(number, numbers) for number in range(participants)]
    offers = [each.offer() if name == "sealed" else None for each in crowd]
    start = time.perf_counter()
    for each, offer, numbered in zip(crowd, offers, changes, strict=True):
        report(each, offer, numbered)
    home.completed(process_id)
    return time.perf_counter() - start


def change(seed: int, numbers: int) -> dict[str, np.ndarray[Any, Any]]:
    return {"w": np.random.default_rng(seed).normal(0, 0.001, numbers).astype(np.float32)}


def report(participant: Participant, offer: Any, numbered: dict[str, np.ndarray[Any, Any]]) -> None:
    if offer is None:
        tensors = {name: torch.from_numpy(value) for name, value in numbered.items()}
        participant.send(encode_tensors(tensors), kind="diff", samples=1)
        return
    blob, declaration = participant.seal(numbered, offer)
    participant.declare(declaration)
    participant.send(blob)


# -- the worker


def site(participants: int, numbers: int) -> Site:
    """A round of updates of so many numbers."""

    class Sized(Site):
        size = numbers

    return Sized([update_of(number, numbers, 0.001) for number in range(participants)])


def peak(of: Site) -> int:
    """The worker's peak resident bytes."""
    process = ChildProcess("apps.confidential_worker.main", ["--fd", str(CHILD_SOCKET)])
    found = 0

    class Looking(SiteOperator):
        def read(self, question: Any) -> bytes | None:
            nonlocal found
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = int(status.split("VmHWM:")[1].split()[0]) * 1024
            return super().read(question)

    try:
        assert Looking(of).serve(operator_pipe(process.socket)).code is None
    finally:
        process.kill()
    return found


def clipping(numbers: int, times: int) -> float:
    """Seconds that exact clipping adds to an update that is put on the grid and added in any case."""
    clip, total = Clip(1 << 20, 20), np.zeros(numbers, np.int64)
    values = change(1, numbers)["w"]

    def without() -> None:
        clip.add(total, values, 0, 1.0)

    def with_() -> None:
        shift = clip.shift(clip.largest(values))
        clip.add(total, values, shift, clip.factor(clip.squares(values, shift)))

    return max(0.0, best(with_, times) - best(without, times))


# -- evidence


def evidence() -> dict[str, float]:
    """Milliseconds to verify recorded pieces, by kind; empty without them."""
    if not _EVIDENCE.exists():
        return {}
    found = {}
    for kind, name, at, beside in _PIECES:
        companions = [_companion(each) for each in beside]
        piece = Evidence(kind, (_EVIDENCE / name).read_bytes(), tuple(companions))
        when = datetime.fromisoformat(at).replace(tzinfo=UTC)
        found[kind] = best(lambda piece=piece, when=when: verify(piece, when), 10) * 1000  # type: ignore[misc]
    return found


def _companion(name: str) -> Companion:
    return Companion(name, (_EVIDENCE / "snp" / name).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--numbers", type=int, default=1_400_000, help="float32 numbers of a report")
    parser.add_argument("--many", type=int, default=25, help="uploads of the larger measurement of memory")
    arguments = parse(parser, participants=3, numbers=100_000, many=6)
    torch.set_num_threads(1)
    whole = not arguments.quick
    participants, numbers = arguments.participants, arguments.numbers
    console, found = Console(), Report()

    with tempfile.TemporaryDirectory(prefix="grid-bench-") as folder:
        plain, sealed = rounds(Path(folder), participants, numbers)
    what = f"{participants} × {4 * numbers / 1e6:.1f} MB"
    base = found.add(f"plain round, {what}", plain, "s")
    row = found.add(f"sealed round, {what}", sealed, "s", against=base)
    found.add_ratio(row, target=ROUND_TARGET if whole else None)
    added = clipping(numbers, 3 if whole else 1) * participants
    less = found.add(f"sealed round without clipping, {what}", sealed - added, "s")
    again = found.add(f"sealed round with clipping, {what}", sealed, "s", against=less)
    found.add_ratio(again, target=CLIP_TARGET)

    few = found.add("worker's peak memory, 2 uploads", peak(site(2, numbers)) / 1e6, "MB")
    many = found.add(
        f"worker's peak memory, {arguments.many} uploads",
        peak(site(arguments.many, numbers)) / 1e6,
        "MB",
        against=few,
    )
    found.add_ratio(many, target=MEMORY_TARGET)

    seed, sigma = bytes(32), Fraction(1 << 24)
    noise = best(lambda: add_noise(np.zeros(NOISE_NUMBERS, np.int64), seed, sigma), 3 if whole else 1)
    found.add("noise for 1.4 million numbers", noise * 1000, "ms", target=NOISE_TARGET)
    for kind, spent in evidence().items():
        found.add(f"evidence verified, {kind}", spent, "ms", target=EVIDENCE_TARGET)

    table = Table("what", "figure", "times", "at most")
    for each in found.rows.values():
        times = "" if each.ratio is None else f"{each.ratio:.2f}"
        table.add_row(each.name, f"{each.value:.2f} {each.unit}", times, f"{each.target or ''}")
    console.print(table)
    found.finish(arguments.json)


if __name__ == "__main__":
    main()
