"""``grid budget``: what noisy answers may cost each user, and what was told of tables and participants."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record, print_rows
from apps.cli.people import with_emails

if TYPE_CHECKING:
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "budget"]

COMMANDS = {
    "budget": "What noisy answers may cost whom, and what was told in all.",
}


@click.group(
    help="""How much epsilon noisy statistics may cost each user in all, and how much all
that was released has told: statistics, results of plans, trainings.

\b
Examples:
  grid budget show
  grid budget released
  grid budget grant ann@lab.example 1.5
"""
)
def budget() -> None:
    pass


@budget.command("show", help="Your own budget.")
@url_option
@format_option
def show_own(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        (own,) = with_emails(client, [msgspec.to_builtins(cast("DomainClient", client).budget.get())])
        print_record(own, form)


@budget.command("list", help="The budgets of all who were granted one.")
@url_option
@format_option
def list_budgets(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        rows = with_emails(client, msgspec.to_builtins(cast("DomainClient", client).budget.all(limit=1000)))
    print_rows(rows, ("user", "granted", "spent", "left"), form, empty="Nobody was granted a budget.")


@budget.command(help="Let USER (e-mail or id) spend EPSILON in all, with what they have spent already.")
@click.argument("user")
@click.argument("epsilon", type=click.FloatRange(min=0))
@url_option
@format_option
def grant(user: str, epsilon: float, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        view = cast("DomainClient", client).budget.grant(user, epsilon)
        (row,) = with_emails(client, [msgspec.to_builtins(view)])
    print_record(row, form)


@budget.command(
    help="What was told of each table of yours and, if you decide on requests, of those who take part in each "
    "training: by statistics, private queries, private tensors, results of plans and cycles of trainings "
    "together, in epsilon at delta 1e-6, and in shares of all that may be told. `grid ledger show TABLE` "
    "lists the charges of one."
)
@url_option
@format_option
def released(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        views = [each.view for each in cast("DomainClient", client).ledger.all()]
    if form == "json":
        print_rows(
            [msgspec.to_builtins(view) for view in views],
            (),
            form,
            empty="Nothing of a table of yours was released.",
        )
        return
    kinds = sorted({"statistics", "plan", "training"}.union(*(view.told for view in views)))
    rows = [
        {
            "of": f"training {view.training}" if view.training else view.table or view.object_id,
            "spent": f"{view.spent:.3g}",
            "of all": f"{view.total:.3g}" if view.limited else "no limit",
            **{
                kind: f"{view.told[kind]:.1%}" if kind in view.told and view.limited else "" for kind in kinds
            },
        }
        for view in views
    ]
    print_rows(
        rows,
        ("of", "spent", "of all", *kinds),
        form,
        empty="Nothing of a table of yours was released.",
    )
