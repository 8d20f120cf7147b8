"""The commands about associations: ask a Network; decide about Domains and Workers that ask."""

from __future__ import annotations

import time
from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import ago, format_option, print_record, print_rows
from grid.kinds import NodeKind, title_of

__all__ = ["DOMAIN_COMMANDS", "NETWORK_COMMANDS", "hub_commands"]

_COLUMNS = ("association_id", "status", "name", "address", "online", "note")


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
@click.option("--wait", type=float, default=0.0, help="Wait so many seconds for the decision.")
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


@click.command(
    "domains",
    short_help="The Domains of a Network and how they are.",
    help="The Domains of a Network, whether they are online, and what they have.",
)
@url_option
@format_option
def network_domains(url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.network import ListDomains

    with open_client(url, "network") as client:
        domains = client.call(ListDomains()).domains
    rows = [msgspec.to_builtins(each) | {"seen": ago(each.last_seen)} for each in domains]
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

    @click.command(help=f"Accept a {peers} that asked. WHICH is its id, its association's id, or its name.")
    @click.argument("which")
    @url_option
    @format_option
    def accept(which: str, url: str, form: str) -> None:
        from syft_ext.messages.network import AcceptAssociation

        with open_client(url, kind) as client:
            view = client.call(AcceptAssociation(association_id=_find(client, which)))
        print_record(_row(view), form)

    @click.command(help=f"Deny a {peers} that asked. WHICH is its id, its association's id, or its name.")
    @click.argument("which")
    @click.option("--reason", default="", help="What its admin is told.")
    @url_option
    @format_option
    def deny(which: str, reason: str, url: str, form: str) -> None:
        from syft_ext.messages.network import DenyAssociation

        with open_client(url, kind) as client:
            view = client.call(DenyAssociation(association_id=_find(client, which), reason=reason))
        print_record(_row(view), form)

    @click.command(
        help="End an association, at once. WHICH is the peer's id or name, or the association's id."
    )
    @click.argument("which")
    @click.option("--reason", default="", help="What the peer is told.")
    @url_option
    def remove(which: str, reason: str, url: str) -> None:
        from syft_ext.messages.network import DeleteAssociation

        with open_client(url, kind) as client:
            client.call(DeleteAssociation(association_id=_find(client, which), reason=reason))
        click.echo("ended")

    return [requests, associations, accept, deny, remove]


def _list(kind: str, url: str, form: str, status: Any) -> None:
    from syft_ext.messages.network import ListAssociations

    with open_client(url, kind) as client:
        found = client.call(ListAssociations(status=status)).associations
    if status == "pending":
        found = [view for view in found if view.direction == "incoming"]
    columns = _COLUMNS if status else ("association_id", "direction", "kind", *_COLUMNS[1:])
    print_rows(
        [_row(view) for view in found], columns, form, empty="Nobody is waiting." if status else "None."
    )


def _find(client: Any, which: str) -> str:
    """The id of the one association that ``which`` names."""
    from syft_ext.errors import NotFound
    from syft_ext.messages.network import ListAssociations

    views = client.call(ListAssociations()).associations
    matches = [view for view in views if which in (view.association_id, view.node_id, view.name)]
    if not matches:
        raise NotFound(f"nobody called {which!r} asked this node")
    if len(matches) > 1:
        listed = ", ".join(view.association_id for view in matches)
        raise click.UsageError(f"{which!r} names more than one ({listed}): give the association's id")
    return str(matches[0].association_id)


def _row(view: Any) -> dict[str, Any]:
    import msgspec

    row: dict[str, Any] = msgspec.to_builtins(view)
    return row
