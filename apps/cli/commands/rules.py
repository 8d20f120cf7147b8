"""``grid rules``: your word on requests that are yet to come."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.names import object_id_of
from apps.cli.output import format_option, print_done, print_record, print_rows
from syft_ext.messages.vocabulary import SCOPES

__all__ = ["COMMANDS", "rules"]

COMMANDS = {
    "rules": "Standing rules: your word on requests that are yet to come.",
}


@click.group(
    help="""Standing rules: answer requests of a sort at once, as if you did.

\b
Examples:
  grid rules add accept --scope statistics --tag public-health --uses 5 --times 20
  grid rules add deny --kind plan --user ann@lab.example --reason "ask the board first"
  grid rules list
"""
)
def rules() -> None:
    pass


@rules.command("list", help="Yours, oldest first; everybody's, if you may triage requests.")
@url_option
@format_option
def list_(url: str, form: str) -> None:
    domain = _domain(url)
    found = domain.requests.rules
    rules = found.all()
    names = _names(domain, rules) if form == "table" else {}
    rows = [dict(zip(found.headings, found.row(item, names), strict=True)) for item in rules]
    print_rows(rows, found.headings, form, empty="No rules.")


def _names(domain: Any, rules: Sequence[Any]) -> dict[str, str]:
    """Of the people, groups and datasets that rules name by their ids, as far as you may know them."""
    from syft_ext.errors import Forbidden, NotFound

    names = dict(domain.users.addresses()) if rules else {}
    for field, listing in (("group_id", domain.groups), ("dataset_id", domain.datasets)):
        for found in {getattr(each, field) for each in rules} - {""}:
            try:
                names[found] = listing.get(found).name
            except (Forbidden, NotFound):
                continue
    return names


@rules.command(help="Answer what matches all of the options; conditions are those of the approvals.")
@click.argument("action", type=click.Choice(["accept", "deny"]))
@url_option
@click.option("--kind", type=click.Choice(["permission", "plan", "budget", "training"]), default=None)
@click.option("--scope", type=click.Choice(SCOPES), default=None)
@click.option("--object", "object_id", help="What is asked for: DATASET, DATASET/ASSET or an id.")
@click.option("--dataset", "dataset_id", help="An asset of this dataset: its name or id.")
@click.option("--tag", "tags", multiple=True, help="A tag of the object or of its dataset.")
@click.option("--user", "user_id", help="Who asks: e-mail or id.")
@click.option("--group", "group_id", help="A group that they are in: name or id.")
@click.option("--plan", "plan_id", help="The digest of the plan.")
@click.option("--lifetime", type=float, help="Seconds after which the rule is over.")
@click.option("--times", type=int, help="How many requests it answers.")
@click.option("--elements", type=int, help="How many elements it gives away in all.")
@click.option("--expires-in", type=float, help="Seconds that an approval lasts.")
@click.option("--uses", type=int, help="Downloads, analyses, or runs of a plan.")
@click.option("--max-output-bytes", type=int, help="Of one download or run.")
@click.option("--epsilon", type=float, help="Most budget that is given.")
@click.option("--reason", default=None, help="What who asks is told.")
@format_option
def add(action: Any, url: str, form: str, tags: tuple[str, ...], **fields: Any) -> None:
    given = {name: value for name, value in fields.items() if value is not None}
    if tags:
        given["tags"] = list(tags)
    domain = _domain(url)
    for field, id_of in (
        ("user_id", domain.users.id_of),
        ("group_id", domain.groups.id_of),
        ("dataset_id", domain.datasets.id_of),
        ("object_id", partial(object_id_of, domain)),
    ):
        if field in given:
            given[field] = id_of(given[field])
    rule = domain.requests.add_handler(action, **given)
    print_record({"id": rule.id, "action": rule.action, "state": rule.state}, form)


@rules.command(help="End a rule; what it approved stays.")
@click.argument("rule_id")
@url_option
@format_option
def remove(rule_id: str, url: str, form: str) -> None:
    _domain(url).requests.remove_handler(rule_id)
    print_done("ended", form)


@rules.command(help="End all of your rules.")
@url_option
@format_option
def clear(url: str, form: str) -> None:
    _domain(url).requests.clear_handlers()
    print_done("ended", form)


def _domain(url: str) -> Any:
    return open_client(url, "domain")
