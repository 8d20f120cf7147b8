"""``grid analyze``: statistics of tables that stay where they are, from a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option

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
@click.option("--skip-missing", is_flag=True, help="Leave out Domains that do not answer or refuse.")
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
    skip_missing: bool,
    timeout: float,
    url: str,
    form: str,
) -> None:
    import json

    from syft_ext.statistics.analyze import analyze as run

    with open_client(url, "network", "domain") as client:
        result = run(
            [table for name in tables for table in _tables(client, name)],
            statistics,
            columns=columns or None,
            by=by or None,
            q=q or (0.25, 0.5, 0.75),
            bins=bins,
            range=limits,
            target=target,
            missing="skip" if skip_missing else "error",
            timeout=timeout,
        )
    click.echo(json.dumps(_document(result), indent=2) if form == "json" else repr(result))


def _tables(client: Any, name: str) -> list[Any]:
    """The assets that DATASET or DATASET/ASSET names, at a Domain or at all Domains of a Network."""
    from syft_ext.errors import NotFound
    from syft_ext.nodes.domain import DomainClient

    dataset, _, asset = name.partition("/")
    if isinstance(client, DomainClient):
        found = client.datasets[dataset]
        return [found[asset]] if asset else [found]
    hits = client.search(name=dataset, kind="dataset")
    for note in hits.notes:
        click.echo(f"note: {note.domain}: {note.error}", err=True)
    assets = [each for each in hits.assets if not asset or each.item["name"] == asset]
    if not assets:
        raise NotFound(f"no Domain of this Network shows a table {name!r}")
    return assets


def _document(result: Analysis) -> dict[str, Any]:
    """The result as JSON: what is kept back is null, and so is what there is none of."""
    from syft_ext.statistics.regression import Regression
    from syft_ext.statistics.result import Histogram

    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, dict):
            return {str(key): plain(each) for key, each in value.items()}
        if isinstance(value, Histogram):
            return {"edges": value.edges, "counts": value.counts, "below": value.below, "above": value.above}
        if isinstance(value, Regression):
            return {
                "target": value.target,
                "coefficients": plain(value.coefficients),
                "standard_errors": plain(value.standard_errors),
                "rows": value.rows,
                "r2": plain(value.r2),
            }
        if hasattr(value, "tolist"):
            value = value.tolist()
        return [plain(each) for each in value] if isinstance(value, list) else value

    groups = []
    for index, key in enumerate(result.groups):
        found: dict[str, Any] = {}
        for (statistic, column), values in result.values.items():
            found.setdefault(column, {})[statistic] = plain(values[index])
        groups.append({"group": dict(zip(result.by, key, strict=True)), "columns": found})
    return {
        "tables": [{"domain": domain, "table": table} for domain, table in result.tables],
        "results": groups,
        **{name: plain(found) for name, found in result.whole.items()},
        "notes": result.notes,
        "epsilon": result.epsilon,
    }
