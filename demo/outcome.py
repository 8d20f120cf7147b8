"""What one run of the demonstration found, as a table, as JSON and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["Outcome", "as_json", "plot", "show"]


@dataclass(frozen=True)
class Outcome:
    """Figures of one dataset. Accuracies are shares of the held-out set; ``curve`` has one per checkpoint."""

    dataset: str
    title: str
    split: str
    model: str
    domains: int
    workers: int
    rounds: int
    federated: float
    single_site: tuple[float, ...]
    central: float
    curve: tuple[float, ...]
    seconds: float
    bytes_moved: int

    @property
    def rounds_per_second(self) -> float:
        return self.rounds / self.seconds


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "runs": [
            {
                "dataset": o.dataset,
                "model": o.model,
                "domains": o.domains,
                "workers": o.workers,
                "rounds": o.rounds,
                "accuracy": {
                    "federated": round(o.federated, 4),
                    "single_site": [round(a, 4) for a in o.single_site],
                    "central": round(o.central, 4),
                },
                "rounds_per_second": round(o.rounds_per_second, 2),
                "bytes_moved": o.bytes_moved,
                "seconds": round(o.seconds, 3),
            }
            for o in outcomes
        ]
    }


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(
        title="Right on held-out data, after equally many passes over the data",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("data", no_wrap=True)
    for column in ("federated", "North\nalone", "South\nalone", "both\nas one"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("rounds", "per s", "MB"):
        table.add_column(column, justify="right", style="dim", no_wrap=True, min_width=4)
    for o in outcomes:
        table.add_row(
            f"{o.title}, {o.model}",
            f"[bold]{o.federated:.1%}[/bold]",
            *(f"{a:.1%}" for a in o.single_site),
            f"{o.central:.1%}",
            str(o.rounds),
            f"{o.rounds_per_second:.1f}",
            f"{o.bytes_moved / 1e6:.2f}",
        )
    console.print(table)
    for o in outcomes:
        console.print(f"[dim]{o.title} is split {o.split}.[/dim]")


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Learning curves: the federated model after every round, beside the two baselines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, axes = plt.subplots(
        1, len(outcomes), figsize=(5.6 * len(outcomes), 4.2), squeeze=False, layout="constrained"
    )
    for axis, o in zip(axes[0], outcomes, strict=True):
        axis.plot(range(len(o.curve)), o.curve, color="#1f5fbf", lw=2.2, label="federated, 4 Workers")
        axis.axhline(o.central, color="#333333", lw=1.2, ls="--", label="all data in one place")
        for accuracy, site, color in zip(
            o.single_site, ("North alone", "South alone"), ("#c4572b", "#d9a03f"), strict=True
        ):
            axis.axhline(accuracy, color=color, lw=1.2, ls=":", label=site)
        axis.set_title(f"{o.title} ({o.model})", fontsize=11)
        axis.set_xlabel("round")
        axis.set_ylim(min(0.5, *o.curve) - 0.02, 1.01)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(loc="lower right", frameon=False, fontsize=9)
    axes[0][0].set_ylabel("accuracy on held-out data")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
