"""The commands about associations: ask a Network; decide about Domains and Workers that ask."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import FAILED, ago, format_option, print_done, print_record, print_rows, say
from grid.kinds import NodeKind, title_of

__all__ = ["DOMAIN_COMMANDS", "NETWORK_COMMANDS", "hub_commands"]

_COLUMNS = ("id", "status", "name", "address", "online", "note")


@click.command(
    short_help="Ask a Network to associate with this Domain.",
    help="""Ask the Network at NETWORK_URL to associate with your Domain.

\b
Both nodes prove their keys to each other, and the Domain proves its address.
Then an admin of the Network accepts or denies.

\b
Examples:
  grid domain associate http://localhost:5000
  grid domain associate https://net.example.org --url https://hospital.example.org --wait 600
""",
)
@click.argument("network_url")
@url_option
@click.option("--key", default="", help="The Network's verify key, if you know it: nothing else is accepted.")
@click.option("--note", default="", help="What the Network's admin should know.")
@click.option(
    "--wait",
    type=float,
    default=0.0,
    help="Wait so many seconds for the decision; exit code 1 unless they accept.",
)
@format_option
def associate(network_url: str, url: str, key: str, note: str, wait: float, form: str) -> None:
    from syft_ext.messages.network import GetAssociation, RequestAssociation

    with open_client(url, "domain") as client:
        view = client.call(RequestAssociation(address=network_url, verify_key=key, note=note))
        deadline = time.monotonic() + wait
        while view.status == "pending" and time.monotonic() < deadline:
            time.sleep(min(1.0, wait))
            view = client.call(GetAssociation(association_id=view.association_id))
    print_record(_row(view), form)
    if form == "table":
        say(_next_step(view, network_url, url), lines=True, err=True)
    if view.status == "denied" or (wait and view.status != "accepted"):
        raise click.exceptions.Exit(FAILED)


def _next_step(view: Any, network_url: str, url: str) -> str:
    """What happens now, and whose turn it is."""
    if view.status == "pending":
        mine = f" --url {url}" if url else ""
        return (
            f"An admin of that Network decides: grid network accept {view.association_id} --url {network_url}\n"
            f"Until then nobody finds your Domain there. How it stands: grid domain associations{mine}"
        )
    if view.status == "accepted":
        return f"Your Domain is found there from now on: grid search WORD --url {network_url}"
    return "They denied it; ask their admin why, and ask again when that is mended."


@click.command(
    "domains",
    short_help="The Domains of a Network and how they are.",
    help="The Domains of a Network, whether they are online, and what they have.",
)
@url_option
@format_option
def network_domains(url: str, form: str) -> None:
    import msgspec

    from syft_ext.nodes.network import NetworkClient

    with open_client(url, "network") as client:
        assert isinstance(client, NetworkClient)
        domains = client.domains.all()
        rows = [
            msgspec.to_builtins(each) | {"seen": ago(each.last_seen), "address": client.address_of(each)}
            for each in domains
        ]
    columns = ("name", "status", "address", "counts", "seen", "domain_id")
    print_rows(rows, columns, form, empty="No Domain is associated with this Network.")


NETWORK_COMMANDS = (network_domains,)
DOMAIN_COMMANDS = (associate,)


def hub_commands(hub: NodeKind) -> list[click.Command]:
    """``requests``, ``associations``, ``accept``, ``deny``, ``remove``: for the admin of a node that is asked."""
    kind, peers = hub.name, " or ".join(map(title_of, hub.accepts))

    @click.command("requests", help=f"The {peers}s that wait for your decision.")
    @url_option
    @format_option
    def requests(url: str, form: str) -> None:
        _list(kind, url, form, "pending")

    @click.command("associations", help=f"All associations of this {kind}, whatever their state.")
    @url_option
    @format_option
    def associations(url: str, form: str) -> None:
        _list(kind, url, form, None)

    @click.command(
        help=f"Accept each {peers} that asked and is named: WHICH is its id, its association's id, or its name."
    )
    @click.argument("which", nargs=-1, required=True)
    @url_option
    @format_option
    def accept(which: tuple[str, ...], url: str, form: str) -> None:
        with open_client(url, kind) as client:
            views = [client.associations.accept(each) for each in which]
        if len(views) == 1:
            print_record(_row(views[0]), form)
        else:
            print_rows(_rows(views, form), _COLUMNS, form, empty="")

    @click.command(help=f"Deny a {peers} that asked. WHICH is its id, its association's id, or its name.")
    @click.argument("which")
    @click.option("--reason", default="", help="What its admin is told.")
    @url_option
    @format_option
    def deny(which: str, reason: str, url: str, form: str) -> None:
        with open_client(url, kind) as client:
            view = client.associations.deny(which, reason)
        print_record(_row(view), form)

    @click.command(
        help="End an association, at once. WHICH is the peer's id or name, or the association's id."
    )
    @click.argument("which")
    @click.option("--reason", default="", help="What the peer is told.")
    @url_option
    @format_option
    def remove(which: str, reason: str, url: str, form: str) -> None:
        with open_client(url, kind) as client:
            client.associations.delete(which, reason)
        print_done("ended", form)

    return [requests, associations, accept, deny, remove]


def _list(kind: str, url: str, form: str, status: Any) -> None:
    from syft_ext.messages.network import ListAssociations

    with open_client(url, kind) as client:
        found = client.call(ListAssociations(status=status)).associations
    if status == "pending":
        found = [view for view in found if view.direction == "incoming"]
    columns = _COLUMNS if status else ("id", "direction", "kind", *_COLUMNS[1:])
    print_rows(
        _rows(found, form),
        columns,
        form,
        empty="Nobody is waiting." if status else "There are no associations.",
    )


def _rows(views: Iterable[Any], form: str) -> list[dict[str, Any]]:
    """For people the association's id is the id; programs get the fields as messages name them."""
    return [_row(view) | ({"id": view.association_id} if form == "table" else {}) for view in views]


def _row(view: Any) -> dict[str, Any]:
    import msgspec

    row: dict[str, Any] = msgspec.to_builtins(view)
    return row
