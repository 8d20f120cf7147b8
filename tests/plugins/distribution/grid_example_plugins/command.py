"""A command: ``grid example-ping URL`` says who answers there."""

from __future__ import annotations

import click

__all__ = ["ping"]


@click.command(short_help="Say who answers at an address.")
@click.argument("url")
def ping(url: str) -> None:
    """Print name and kind of the node at URL."""
    from syft_ext.transport import Connection, open_transport

    metadata = Connection(open_transport(url)).metadata()
    click.echo(f"{metadata.name}: {metadata.kind}")
