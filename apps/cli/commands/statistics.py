"""``grid analyze``: statistics of tables that stay where they are, from a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.names import tables_of
from apps.cli.output import format_option, say, say_json

if TYPE_CHECKING:
    from syft_ext.statistics.result import Analysis

__all__ = ["COMMANDS", "analyze"]

COMMANDS = {
    "analyze": "Statistics of tables that stay where they are, at one Domain or many.",
}


@click.command(
    help="""Statistics of all rows of TABLES together. The rows stay where they are.

\b
A table is DATASET, or DATASET/ASSET. At a Network, the datasets of that name
at all of its Domains are combined; log in to each of them before. Statistics:
count, missing, sum, mean, variance, std, min, max, quantile, histogram,
covariance, correlation, linear_regression, logistic_regression.
A number with a star lacks a site's part; the line below says whose, and why.

\b
Examples:
  grid analyze diabetes --stat count --stat mean --column age --by sex
  grid analyze diabetes/patients --stat quantile -q 0.5 -q 0.9 --url http://localhost:5000
  grid analyze diabetes --stat linear_regression --column age --target bmi --format json
"""
)
@click.argument("tables", nargs=-1, required=True)
@click.option("--stat", "statistics", multiple=True, required=True, help="A statistic. Can be repeated.")
@click.option("--column", "columns", multiple=True, help="Only this column. Can be repeated. [default: all]")
@click.option("--by", multiple=True, help="Group by this column. Can be repeated.")
@click.option("-q", "--quantile", "q", type=float, multiple=True, help="[default: 0.25, 0.5, 0.75]")
@click.option("--bins", type=click.IntRange(1, 10_000), default=10, show_default=True)
@click.option("--range", "limits", type=float, nargs=2, default=None, help="Least and largest value of bins.")
@click.option("--target", default="", help="The column that a regression explains.")
@click.option(
    "--precision",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="At guarded tables, pay so many times the units, for noise of so much less variance.",
)
@click.option("--dry", is_flag=True, help="Only say what it would cost; nothing is asked or spent.")
@click.option("--skip-missing", is_flag=True, help="Leave out Domains that do not answer or refuse.")
@click.option("--strict", is_flag=True, help="Refuse where a number would lack a site's part.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds for everything.")
@url_option
@format_option
def analyze(
    tables: tuple[str, ...],
    statistics: tuple[str, ...],
    columns: tuple[str, ...],
    by: tuple[str, ...],
    q: tuple[float, ...],
    bins: int,
    limits: tuple[float, float] | None,
    target: str,
    precision: int,
    dry: bool,
    skip_missing: bool,
    strict: bool,
    timeout: float,
    url: str,
    form: str,
) -> None:
    import dataclasses

    from syft_ext.statistics.analyze import analyze as run
    from syft_ext.statistics.price import price

    with open_client(url, "network", "domain") as client:
        found = [table for name in tables for table in tables_of(client, name)]
        options: dict[str, Any] = {
            "columns": columns or None,
            "by": by or None,
            "bins": bins,
            "range": limits,
            "target": target,
            "precision": precision,
            "missing": "skip" if skip_missing else "error",
            "timeout": timeout,
        }
        if dry:
            prices = price(found, statistics, **options)
            rows = [dataclasses.asdict(each) for each in prices]
            if form == "json":
                say_json(rows)
            else:
                say(repr(prices), lines=True)
            return
        result = run(found, statistics, q=q or (0.25, 0.5, 0.75), strict=strict, **options)
    if form == "json":
        say_json(_document(result))
    else:
        say(repr(result), lines=True)


def _document(result: Analysis) -> dict[str, Any]:
    """The result as JSON: what is kept back is null, and so is what there is none of. What lacks a part is no
    number, but an object that has one."""
    from syft_ext.statistics.partial import Partial
    from syft_ext.statistics.regression import Regression
    from syft_ext.statistics.result import Histogram, WordCounts

    def plain(value: Any) -> Any:
        if isinstance(value, Partial):
            return {
                "value": plain(value.value),
                "partial": True,
                "without": [str(each) for each in value.lacks],
            }
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, dict):
            return {str(key): plain(each) for key, each in value.items()}
        if isinstance(value, Histogram):
            return {"edges": value.edges, "counts": value.counts, "below": value.below, "above": value.above}
        if isinstance(value, WordCounts):
            return {"words": value.words, "counts": value.counts, "other": value.other}
        if isinstance(value, Regression):
            return {
                "target": value.target,
                "coefficients": plain(value.coefficients),
                "standard_errors": plain(value.standard_errors),
                "rows": value.rows,
                "r2": plain(value.r2),
                "note": value.note,
            }
        if hasattr(value, "tolist"):
            value = value.tolist()
        return [plain(each) for each in value] if isinstance(value, list) else value

    groups = []
    for index, key in enumerate(result.groups):
        found: dict[str, Any] = {}
        for (statistic, column), values in result.values.items():
            found.setdefault(column, {})[statistic] = plain(values[index])
        errors: dict[str, Any] = {}
        for (statistic, column), values in result.errors.items():
            errors.setdefault(column, {})[statistic] = plain(values[index])
        group = dict(zip(result.by, key, strict=True))
        groups.append({"group": group, "columns": found, "errors": errors})
    return {
        "tables": [{"domain": domain, "table": table} for domain, table in result.tables],
        "results": groups,
        **{name: plain(found) for name, found in result.whole.items()},
        "partial": result.partial,
        "without": [str(each) for each in result.lacks],
        "missing": result.missing,
        "notes": result.notes,
        "epsilon": result.epsilon,
        "units": result.units,
    }
