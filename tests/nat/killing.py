"""A Domain behind a NAT trains with participants behind another, over WebRTC; nodes are killed meanwhile.

python -m tests.nat.killing [--mb 100] [--cycles 4] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

import syft_ext as sy
from syft_ext.federated import RunSummary
from tests.nat.bed import Bed, why_not
from tests.nat.sessions import standing_in
from tests.nat.site import STUN, Site, coturn_in
from tests.processes import descendants
from tests.sdk.live import EMAIL, PASSWORD
from tests.user_folder import fresh_user

__all__ = ["Outcome", "train"]

VICTIMS = ("gateway", "network", "domain")


@dataclass(slots=True)
class Outcome:
    """What came of a training.

    Attributes:
        cycles: status and number of reports of each.
        numbers: the different values in the model: each cycle adds exactly 1 to all, if each report counts once.
        sent: for each kill, bytes that had left the participants' network since the reports began.
    """

    reasons: list[str] = field(default_factory=list)
    cycles: list[tuple[str, int]] = field(default_factory=list)
    numbers: set[float] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def train(site: Site, megabytes: float, cycles: int, workers: int, *, timeout: float) -> Outcome:
    """So many participants report so many MB in each cycle; in the first ones, a victim is killed meanwhile."""
    outcome, size, begun = Outcome(), int(megabytes * 1e6 / 4), time.monotonic()
    with standing_in(site.bed, "la"):
        sy.login(site.webrtc, EMAIL, PASSWORD, save=True)

        @sy.make_plan
        def training_plan(  # type: ignore[no-untyped-def]
            xs: torch.Tensor = torch.zeros(2, 1),
            lr: torch.Tensor = torch.tensor(0.1),
            params=sy.List([torch.zeros(size)]),
        ):
            loss = (xs.sum() - params[0].sum()) ** 2
            return (loss, *[p - lr * p for p in params])

        training = sy.ModelCentricFLClient(site.webrtc).host_federated_training(
            model=[torch.zeros(size)],
            client_plans={"training_plan": training_plan},
            client_config={"name": "far", "version": "1.0"},
            server_config={
                "num_cycles": cycles,
                "max_diffs": workers,
                "min_workers": workers,
                "max_workers": workers,
                "cycle_length": 36_000,
            },
        )
        reporting, summaries = threading.Semaphore(0), list[RunSummary]()

        def work() -> None:
            def step(job: sy.FLJob) -> list[torch.Tensor]:
                reporting.release()
                return [parameter + 1 for parameter in job.model]

            summaries.append(sy.FLClient(site.webrtc).new_job("far", "1.0").run(step))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for victim in VICTIMS:
            for _ in range(workers):
                assert reporting.acquire(timeout=timeout), f"nobody trains\n{site.log()}"
            outcome.sent[victim] = _wait_for_bytes(site.bed, int(0.3 * workers * megabytes * 1e6), timeout)
            kill(site, victim)
        metrics = training.watch(timeout=timeout)
        for thread in threads:
            thread.join(timeout)
        outcome.reasons = [summary.reason for summary in summaries]
        outcome.cycles = [(cycle.status, cycle.reported) for cycle in metrics]
        (numbers,) = training.model()
        outcome.numbers = set(numbers.unique().tolist())
    outcome.seconds = time.monotonic() - begun
    return outcome


def kill(site: Site, victim: str) -> None:
    """SIGKILL; a node comes back at once, its gateway when the node makes another."""
    if victim == "gateway":
        gateways = [
            child
            for child in descendants(site.nodes["domain"].process.pid)
            if "grid.peers.gateway" in child.cmdline()
        ]
        assert gateways, "the Domain has no gateway"
        for gateway in gateways:
            gateway.kill()
        return
    site.nodes[victim].kill()
    site.start(victim)


def _wait_for_bytes(bed: Bed, count: int, timeout: float) -> int:
    """Until so many bytes more have left ``la``; how many they were."""
    first, deadline = _left(bed), time.monotonic() + timeout
    while (sent := _left(bed) - first) < count:
        assert time.monotonic() < deadline, f"{sent} bytes of {count} were sent"
        time.sleep(0.02)
    return sent


def _left(bed: Bed) -> int:
    said = bed.run("ra", "ip", "-s", "link", "show", "lan")
    found = re.search(r"RX:.*\n\s*(\d+)", said)
    assert found, said
    return int(found[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=float, default=100.0, help="size of a report")
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 2
    bed = Bed()
    try:
        with tempfile.TemporaryDirectory() as folder, fresh_user(Path(folder) / "user"):
            root = Path(folder)
            with coturn_in(bed, root / "coturn"):
                bed.translate("cone", "cone")
                site = Site(bed, root / "site", STUN)
                try:
                    outcome = train(site, asked.mb, asked.cycles, asked.workers, timeout=3600)
                finally:
                    site.close()
    finally:
        bed.close()
    cycles = [("completed", asked.workers)] * asked.cycles
    right = outcome.numbers == {float(asked.cycles)} and outcome.cycles == cycles
    print(json.dumps({"counted once": right, "reasons": outcome.reasons, "cycles": outcome.cycles,
                      "numbers": sorted(outcome.numbers), "bytes sent at the kill": outcome.sent,
                      "seconds": round(outcome.seconds, 1)}))  # fmt: skip
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
