"""``grid requests`` and ``grid grants``: who asks for what, who may what."""

from __future__ import annotations

from typing import Any

import click

from apps.cli_client import open_client, url_option
from apps.cli_output import format_option, print_record, print_rows

__all__ = ["grants", "requests"]

_reason = click.option("--reason", default="", help="What its author is told.")


@click.group(help="Requests for data: yours, and those that you may decide on.")
def requests() -> None:
    pass


@requests.command("list", help="The newest first.")
@url_option
@click.option("--state", default="", help="pending, approved, denied, withdrawn or revoked.")
@format_option
def list_(url: str, state: Any, form: str) -> None:
    found = _domain(url).requests.in_state(state)
    columns = ("from", "scope", "object", "reason", "state", "id")
    print_rows([_record(item) for item in found], columns, form, empty="No requests.")


@requests.command(help="One request, with what the reviewers said.")
@click.argument("request_id")
@url_option
@format_option
def show(request_id: str, url: str, form: str) -> None:
    item = _domain(url).requests.get(request_id)
    said = [
        f"{'approved' if d.approved else 'denied'} by {d.reviewer} {d.reason}" for d in item.view.decisions
    ]
    print_record({**_record(item), "decisions": said}, form)


@requests.command(help="Approve a request, under conditions.")
@click.argument("request_id")
@url_option
@_reason
@click.option("--expires-in", type=float, help="Seconds.")
@click.option("--uses", type=int, help="Downloads, or analyses.")
@click.option("--max-output-bytes", type=int, help="Largest download.")
def approve(
    request_id: str,
    url: str,
    reason: str,
    expires_in: float | None,
    uses: int | None,
    max_output_bytes: int | None,
) -> None:
    item = _domain(url).requests.get(request_id)
    item.approve(reason, expires_in=expires_in, uses=uses, max_output_bytes=max_output_bytes)
    click.echo(item.state)


@requests.command(help="Deny a request.")
@click.argument("request_id")
@url_option
@_reason
def deny(request_id: str, url: str, reason: str) -> None:
    click.echo(_domain(url).requests.get(request_id).deny(reason).state)


@requests.command(help="Take an approval back; it acts at once.")
@click.argument("request_id")
@url_option
def revoke(request_id: str, url: str) -> None:
    click.echo(_domain(url).requests.get(request_id).revoke().state)


@click.group(help="What was allowed to whom.")
def grants() -> None:
    pass


@grants.command("list", help="The newest first.")
@url_option
@format_option
def list_grants(url: str, form: str) -> None:
    collection = _domain(url).grants
    rows = [dict(zip(collection.headings, collection.row(item), strict=True)) for item in collection.all()]
    print_rows(rows, collection.headings, form, empty="No grants.")


@grants.command("revoke", help="End a grant; it acts at once.")
@click.argument("grant_id")
@url_option
def revoke_grant(grant_id: str, url: str) -> None:
    click.echo(_domain(url).grants.revoke(grant_id).state)


def _domain(url: str) -> Any:
    return open_client(url, "domain")


def _record(item: Any) -> dict[str, Any]:
    view = item.view
    return {
        "id": view.id,
        "from": view.user,
        "scope": view.scope,
        "object": view.object or view.object_id,
        "reason": view.reason,
        "state": view.state,
    }
