"""``grid requests``: who asks for what, and what is decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from apps.cli.client import open_client, url_option
from apps.cli.names import object_id_of
from apps.cli.options import options_of
from apps.cli.output import format_option, print_done, print_record, print_rows, say
from syft_ext.messages.vocabulary import SCOPES, RequestOptions

__all__ = ["COMMANDS", "requests"]

COMMANDS = {
    "requests": "Requests for data: yours, and those to decide on.",
}

_reason = click.option("--reason", default="", help="What its author is told.")


@click.group(
    help="""Requests for data, plans, trainings and budget: yours, and those that you may decide on.

\b
Examples:
  grid requests create patients --scope statistics --reason "survival by age group"
  grid requests plan mean.plan --input xs=patients:age --reason "a study"
  grid requests show REQUEST_ID
  grid requests approve REQUEST_ID --uses 3 --expires-in 86400
  grid requests run REQUEST_ID --output results.safetensors
"""
)
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


@requests.command(
    help="""One request, with what the reviewers said; a plan's text, cost, how it differs from an earlier one, and
    (for who decides on it) what its results answer when single mock rows change."""
)
@click.argument("request_id")
@url_option
@format_option
def show(request_id: str, url: str, form: str) -> None:
    item = _domain(url).requests.get(request_id)
    said = [
        f"{'approved' if d.approved else 'denied'} by {d.name or d.reviewer} {d.reason}".rstrip()
        for d in item.view.decisions
    ]
    record = {**_record(item), "decisions": said}
    if item.view.training is not None:
        asked = item.view.training
        named = {
            "training": f"{asked.name}/{asked.version}",
            "definition": asked.digest,
            "content": asked.content,
        }
        print_record({**record, **named}, form)
        if form != "json":
            say(f"Read it with: grid training review {asked.process_id}")
        return
    if item.view.plan is None:
        steps = item.view.computed.splitlines()
        print_record({**record, **({"computed": steps} if form == "json" else {})}, form)
        if form != "json" and steps:
            say("\n".join(["computed as", *steps]), lines=True)
        return
    plan = item.plan
    tried = _tried(plan)
    if form == "json":
        facts = {"text": plan.text(), "earlier": plan.review.earlier, "diff": plan.diff()}
        facts["trials"] = [] if tried is None else msgspec.to_builtins(tried.trials)
        print_record({**record, "plan": plan.id, "cost": str(plan.cost or ""), **facts}, form)
        return
    print_record(record, form)
    say(repr(plan), lines=True)
    if tried is not None:
        say(str(tried), lines=True)


@requests.command(
    help="""Ask for data: WHAT is DATASET, DATASET/ASSET, or an object's id.

    \b
    Examples:
      grid requests create patients --scope statistics --reason "survival by age group"
    """
)
@click.argument("what")
@url_option
@options_of(RequestOptions, skip=("scope",))
@click.option(
    "--scope",
    type=click.Choice(SCOPES),
    required=True,
    help="To read the rows, to compute where they are, or to have statistics of them.",
)
@format_option
def create(what: str, url: str, reason: str, scope: Any, form: str) -> None:
    domain = _domain(url)
    print_record(_record(domain.requests.create(object_id_of(domain, what), reason, scope)), form)


@requests.command(help="Ask to run the plan in FILE on data.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@url_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    help="ARGUMENT=DATASET, =DATASET/ASSET or =ID, each with :COLUMN if one of several tensors is meant.",
)
@click.option("--value", "values", multiple=True, help="ARGUMENT=NUMBER, as JSON.")
@click.option("--reason", default="", help="What the reviewers read.")
@format_option
def plan(
    file: Path, url: str, inputs: tuple[str, ...], values: tuple[str, ...], reason: str, form: str
) -> None:
    domain = _domain(url)
    given = {name: _object(domain, what) for name, _, what in (text.partition("=") for text in inputs)}
    sent = {name: _number(what) for name, _, what in (text.partition("=") for text in values)}
    item = domain.requests.create_plan(file.read_bytes(), given, reason, values=sent)
    print_record(_record(item), form)


@requests.command(help="Run an approved plan of yours, and keep what it returns in a tensor file.")
@click.argument("request_id")
@url_option
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write."
)
@click.option("--keep", is_flag=True, help="Also keep the results at the Domain, as an object.")
@format_option
def run(request_id: str, url: str, output: Path, keep: bool, form: str) -> None:
    from syft_ext.client.transfer import download
    from syft_ext.messages.plan_requests import RunPlanRequest

    view, content = download(_domain(url), RunPlanRequest(request_id=request_id, keep=keep), "results")
    output.write_bytes(content)
    results = [f"{each.name}: {each.dtype}{each.shape}" for each in view.outputs]
    left = "unlimited" if view.uses_left is None else view.uses_left
    print_record({"results": results, "uses left": left, "object": view.object_id}, form)


@requests.command("budget", help="Ask for EPSILON more of privacy budget.")
@click.argument("epsilon", type=click.FloatRange(min=0, min_open=True))
@url_option
@click.option("--reason", default="", help="What the reviewers read.")
@format_option
def ask_budget(epsilon: float, url: str, reason: str, form: str) -> None:
    print_record(_record(_domain(url).requests.create_budget(epsilon, reason)), form)


@requests.command(help="Approve a request, under conditions.")
@click.argument("request_id")
@url_option
@_reason
@click.option("--expires-in", type=float, help="Seconds.")
@click.option("--uses", type=int, help="Downloads, analyses, or runs of a plan.")
@click.option("--max-output-bytes", type=int, help="Of one download or run.")
@click.option("--epsilon", type=float, help="Of a request for budget: less than was asked for.")
@format_option
def approve(
    request_id: str,
    url: str,
    reason: str,
    expires_in: float | None,
    uses: int | None,
    max_output_bytes: int | None,
    epsilon: float | None,
    form: str,
) -> None:
    item = _domain(url).requests.get(request_id)
    item.approve(reason, expires_in=expires_in, uses=uses, max_output_bytes=max_output_bytes, epsilon=epsilon)
    print_done(item.state, form)


@requests.command(help="Deny a request.")
@click.argument("request_id")
@url_option
@_reason
@format_option
def deny(request_id: str, url: str, reason: str, form: str) -> None:
    print_done(_domain(url).requests.get(request_id).deny(reason).state, form)


@requests.command(help="Take an approval back; it acts at once.")
@click.argument("request_id")
@url_option
@format_option
def revoke(request_id: str, url: str, form: str) -> None:
    print_done(_domain(url).requests.get(request_id).revoke().state, form)


def _domain(url: str) -> Any:
    return open_client(url, "domain")


def _tried(plan: Any) -> Any:
    """The plan, tried on mock rows, for those who may decide on it."""
    from syft_ext.errors import Forbidden

    try:
        return plan.influence()
    except Forbidden:
        return None


def _object(domain: Any, text: str) -> Any:
    what, _, tensor = text.partition(":")
    object_id = object_id_of(domain, what)
    return (object_id, tensor) if tensor else object_id


def _number(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--value: {text!r} is no number") from error


def _record(item: Any) -> dict[str, Any]:
    view = item.view
    return {
        "id": view.id,
        "from": view.user,
        "scope": view.scope,
        "object": view.object or view.object_id or f"epsilon {view.epsilon:g}",
        "reason": view.reason,
        "state": view.state,
    }
