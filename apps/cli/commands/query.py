"""``grid query``: private queries of a column, from a terminal."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.names import tables_of
from apps.cli.output import format_option, say, say_json

__all__ = ["COMMANDS", "query"]

COMMANDS = {
    "query": "One number of a column: count, mean, median …, with noise that you choose.",
}
_NAMES = {
    "count": "Count",
    "sum": "BoundedSum",
    "mean": "BoundedMean",
    "variance": "BoundedVariance",
    "std": "BoundedStandardDeviation",
    "min": "Min",
    "max": "Max",
    "median": "Median",
    "percentile": "Percentile",
}


@click.command(
    help="""One number of COLUMN in all rows of TABLES, under noise of your choice.

\b
A table is DATASET, or DATASET/ASSET. At a Network, the datasets of that name
at all of its Domains are combined. The smaller epsilon, the more noise, and
the less it takes of the table's ledger. The same question again costs nothing.

\b
Examples:
  grid query mean patients --column age --epsilon 0.5
  grid query percentile patients --column age --percentile 0.9 --epsilon 1 --url http://localhost:5000
  grid query count patients --column age --epsilon 0.1 --dry
"""
)
@click.argument("kind", type=click.Choice(sorted(_NAMES)))
@click.argument("tables", nargs=-1, required=True)
@click.option("--column", required=True, help="Of which column.")
@click.option("--epsilon", type=float, required=True, help="How much the answer may tell of a person.")
@click.option("--lower", type=float, default=None, help="A narrower lower bound than the owner's.")
@click.option("--upper", type=float, default=None, help="A narrower upper bound than the owner's.")
@click.option("--percentile", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--engine", type=click.Choice(["grid", "python-dp", "opendp"]), default=None)
@click.option("--dry", is_flag=True, help="Only say what it would cost; nothing is asked or spent.")
@url_option
@format_option
def query(
    kind: str,
    tables: tuple[str, ...],
    column: str,
    epsilon: float,
    lower: float | None,
    upper: float | None,
    percentile: float,
    engine: str | None,
    dry: bool,
    url: str,
    form: str,
) -> None:
    from syft_ext.dp.queries import QUERIES

    options: dict[str, Any] = {"lower_bound": lower, "upper_bound": upper, "engine": engine or ""}
    if kind == "percentile":
        options["percentile"] = percentile
    asked = QUERIES[_NAMES[kind]](epsilon, **options)
    with open_client(url, "network", "domain") as client:
        found = [table for name in tables for table in tables_of(client, name)]
        if dry:
            shares = asked.price(found, column)
            if form == "json":
                say_json([{"table": name, "share": share} for name, share in shares.items()])
            else:
                for name, share in shares.items():
                    say(f"{name}: {share:.2%} of the ledger")
            return
        answer = asked.quick_result(found, column)
    if form == "json":
        say_json(
            {
                "value": float(answer),
                "low": answer.low,
                "high": answer.high,
                "confidence": answer.confidence,
                "epsilon": answer.epsilon,
                "tables": [
                    {"table": name, "share": each.share, "left": each.left, "engine": each.engine}
                    for name, each in answer.answers.items()
                ],
            }
        )
        return
    say(repr(answer))
    for name, each in answer.answers.items():
        say(f"{name}: took {each.share:.2%} of the ledger, {each.left:.2%} is left")
