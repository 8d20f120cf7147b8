"""``grid training``: the trainings of a Domain."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import FAILED, draw, format_option, print_done, print_record, print_rows, say

if TYPE_CHECKING:
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "training"]

COMMANDS = {
    "training": "List, review, watch, share, invite to, pause, cancel and discard trainings.",
}


@click.group(help=COMMANDS["training"])
def training() -> None:
    pass


@training.command("list", help="The trainings of a Domain, newest first.")
@url_option
@format_option
def training_list(url: str, form: str) -> None:
    import msgspec

    from syft_ext.client.trainings import described_review
    from syft_ext.messages.federated import ListProcesses

    with open_client(url, "domain") as client:
        found = client.call(ListProcesses()).processes
        known = client.users.addresses() if found else {}
    rows = [
        msgspec.to_builtins(each)
        | {
            "host": known.get(each.owner, each.owner),
            "cycles": f"{each.cycles_completed}/{each.num_cycles or '∞'}",
            "word": described_review(each.review),
        }
        for each in found
    ]
    if form == "table":
        for row in rows:
            row |= {
                "training": f"{row['name']}/{row['version']}",  # as other commands take it
                "reports": f"{row['reported']}/{row['admitted']}",
                "id": row["process_id"],
            }
    columns = ("training", "status", "word", "cycles", "reports", "host", "id")
    print_rows(rows, columns, form, empty="No trainings.")


@training.command(
    "watch",
    help="""Follow a training until it ends: cycles, participants, loss; exit code 1 unless it completes.

\b
WHICH is NAME, NAME/VERSION, or the training's id, or how that begins.
""",
)
@click.argument("which")
@click.option("--timeout", type=float, default=None, help="Stop watching after so many seconds.")
@url_option
@format_option
def training_watch(which: str, timeout: float | None, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = _find(client, which)
        metrics = found.watch(timeout=timeout, say=partial(say, err=form == "json"))
        view = found.view
    rows = [msgspec.to_builtins(cycle) for cycle in metrics]
    columns = ("cycle", "status", "admitted", "reported", "samples", "loss", "accuracy")
    print_rows(rows, columns, form, empty=f"The training is {view.status}.")
    if view.status in ("failed", "cancelled"):
        say(f"the training is {view.status}: {view.reason or 'no reason was given'}", err=True)
    if view.status != "completed":
        raise click.exceptions.Exit(FAILED)


@training.command(
    "show",
    help="""What a training is, whose word it runs on, and who may take part. WHICH as in `watch`.""",
)
@click.argument("which")
@url_option
@format_option
def training_show(which: str, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = _find(client, which)
        if form == "json":
            print_record(msgspec.to_builtins(found.view), form)
        else:
            say(repr(found.table()), lines=True)


@training.command(
    "review",
    help="""What a reviewer reads of a training: plans, cost, what leaves, who may take part.

\b
WHICH is NAME, NAME/VERSION, or the training's id. Decide with
  grid training approve NAME/VERSION
  grid training deny NAME/VERSION --reason "it returns the rows"
""",
)
@click.argument("which")
@url_option
@format_option
def training_review(which: str, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        page = _find(client, which).review()
    if form == "json":
        print_record(msgspec.to_builtins(page), form)
        return
    say("\n".join(_lines(page)), lines=True)


_DECIDED = "WHICH is NAME/VERSION or the training's id: what was hosted so never changes."


@training.command("approve", help=f"Let a training run that waits for reviewers. {_DECIDED}")
@click.argument("which")
@click.option("--reason", default="", help="What its host is told.")
@url_option
@format_option
def training_approve(which: str, reason: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _said(_find_exactly(client, which).approve(reason), form)


@training.command("deny", help=f"Deny a training that waits for reviewers. {_DECIDED}")
@click.argument("which")
@click.option("--reason", default="", help="What its host is told.")
@url_option
@format_option
def training_deny(which: str, reason: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _said(_find_exactly(client, which).deny(reason), form)


@training.command("revoke", help=f"Take an approval back: the training ends at once. {_DECIDED}")
@click.argument("which")
@url_option
@format_option
def training_revoke(which: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _said(_find_exactly(client, which).revoke(), form)


def _said(found: Any, form: str) -> None:
    from syft_ext.client.trainings import described_review

    view = found.view
    said = f"{view.status}: {described_review(view.review)}, definition {view.review.digest}"
    print_done(said, form, status=view.status, definition=view.review.digest)


@training.command(
    "share",
    help="""Let USER read a training of yours: state, history, metrics and models. WHICH as in `watch`.

USER is their e-mail address where you may list users, else their id (`grid me show` tells them).
""",
)
@click.argument("which")
@click.argument("user")
@click.option("--end", is_flag=True, help="Take it back from them.")
@url_option
@format_option
def training_share(which: str, user: str, end: bool, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        found: Any = _find(client, which)
        user_id = cast("DomainClient", client).users.id_of(user)
        found = found.unshare(user_id) if end else found.share(user_id)
        print_done(f"read by {', '.join(found.view.readers) or 'nobody else'}", form)


@training.command(
    "invite",
    help="""Make a link by which people without an account take part in a training, in a browser.

WHICH as in `watch`. The link is told once, with its QR code: whoever has it can redeem it.
Who did is listed by `grid training guests`, and waits there until somebody accepts them.
""",
)
@click.argument("which")
@click.option("--label", default="", help="What it is for, as `guests` shows it.")
@click.option(
    "--uses", type=click.IntRange(1, 10_000), default=1, show_default=True, help="How many browsers."
)
@click.option("--days", type=float, default=14.0, show_default=True, help="Until it ends by itself.")
@click.option("--accepted", is_flag=True, help="They take part without anybody's looking at them.")
@click.option(
    "--address", default="", help="Where people reach the Domain's page, if not as it is known here."
)
@click.option("--svg", type=click.Path(dir_okay=False, writable=True), help="Write the QR code to this file.")
@url_option
@format_option
def training_invite(
    which: str,
    label: str,
    uses: int,
    days: float,
    accepted: bool,
    address: str,
    svg: str | None,
    url: str,
    form: str,
) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found: Any = _find(client, which)
        made = found.invite(label, uses=uses, days=days, accepted=accepted, address=address)
    if svg:
        Path(svg).write_text(made.svg(), encoding="utf-8")
    if form == "json":
        print_record(msgspec.to_builtins(made.view) | {"link": made.link, "problem": made.problem}, form)
        return
    say(repr(made), lines=True)
    if not svg and sys.stdout.isatty():
        draw(made.terminal())


@training.command("guests", help="Who came to a training by invitations. WHICH as in `watch`.")
@click.argument("which")
@url_option
@format_option
def training_guests(which: str, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found: Any = _find(client, which)
        guests = found.guests()
    if form == "json":
        print_record(
            {
                "guests": msgspec.to_builtins(guests.guests),
                "invitations": msgspec.to_builtins(guests.invitations),
            },
            form,
        )
        return
    say(repr(guests), lines=True)


@training.command(
    "admit", help="Accept a GUEST (its id, or how it begins) of a training. WHICH as in `watch`."
)
@click.argument("which")
@click.argument("guest")
@url_option
@format_option
def training_admit(which: str, guest: str, url: str, form: str) -> None:
    _decide_guest(which, guest, url, form, accept=True)


@training.command(
    "refuse", help="Refuse a GUEST (its id, or how it begins): they take no part. WHICH as in `watch`."
)
@click.argument("which")
@click.argument("guest")
@url_option
@format_option
def training_refuse(which: str, guest: str, url: str, form: str) -> None:
    _decide_guest(which, guest, url, form, accept=False)


def _decide_guest(which: str, guest: str, url: str, form: str, *, accept: bool) -> None:
    with open_client(url, "domain") as client:
        found: Any = _find(client, which)
        guests = found.guests()
        meant = [each.id for each in guests.guests if each.id.startswith(guest)]
        if len(meant) != 1:
            raise click.UsageError(f"{len(meant)} guests have an id that begins so")
        view = guests.accept(meant[0]) if accept else guests.refuse(meant[0])
    print_done(f"{view.status}: {view.name!r}, key {view.verify_key[:8]}", form, status=view.status)


@training.command(
    "uninvite",
    help="""End an INVITATION (its id, or how it begins). WHICH as in `watch`.""",
)
@click.argument("which")
@click.argument("invitation")
@click.option("--guests", is_flag=True, help="Who came by it takes no part any more either.")
@url_option
@format_option
def training_uninvite(which: str, invitation: str, guests: bool, url: str, form: str) -> None:
    from syft_ext.messages.invitations import RevokeInvitation

    with open_client(url, "domain") as client:
        found: Any = _find(client, which)
        meant = [each.id for each in found.guests().invitations if each.id.startswith(invitation)]
        if len(meant) != 1:
            raise click.UsageError(f"{len(meant)} invitations have an id that begins so")
        client.call(RevokeInvitation(invitation_id=meant[0], guests=guests))
    print_done("ended", form)


@training.command("pause", help="Hand out no assignments of a training. WHICH as in `watch`.")
@click.argument("which")
@url_option
@format_option
def training_pause(which: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        print_done(_find(client, which).pause().view.status, form)


@training.command(
    "resume", help="Go on with a paused training, or take up one that failed. WHICH as in `watch`."
)
@click.argument("which")
@url_option
@format_option
def training_resume(which: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        print_done(_find(client, which).resume().view.status, form)


@training.command("cancel", help="End a training for good; what its cycles made stays. WHICH as in `watch`.")
@click.argument("which")
@click.option("--reason", default="", help="What its history says.")
@url_option
@format_option
def training_cancel(which: str, reason: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _find(client, which).cancel(reason)
    print_done("cancelled", form)


@training.command(
    "discard", help="Remove plans and models of a training that has ended. WHICH as in `watch`."
)
@click.argument("which")
@url_option
@format_option
def training_discard(which: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _find(client, which).discard()
    print_done("discarded", form)


def _lines(page: Any) -> list[str]:
    """A review page as text."""
    from syft_ext.client.trainings import described_review
    from syft_ext.confidential.documents import with_readable_policy
    from syft_ext.messages.training_inputs import describe_inputs

    facts, policy = page.facts, page.policy
    demands = [f"{name} {getattr(policy, name)}" for name in policy.__struct_fields__]
    lines = [
        f"{facts.name} {facts.version}, hosted by {page.host}",
        f"definition    {page.digest}",
        f"word          {described_review(page.review)}",
        f"participants  {page.participants}",
        f"policy        {', '.join(demands)}",
        f"aggregator    {page.aggregator}; reports are {page.report_format}",
        f"a report has  {', '.join(f'{each.name} {each.dtype}{each.shape}' for each in page.report)}",
        "              and says samples, loss and accuracy" if not page.statement else "",
        *(f"who sees what {line}" for line in page.statement),
        *(f"takes         {line}" for line in describe_inputs(facts.inputs)),
        f"client config {json.dumps(facts.client_config, ensure_ascii=False)}",
        f"server config {json.dumps(with_readable_policy(facts.server_config), ensure_ascii=False)}",
    ]
    for plan in page.plans:
        sizes = ", ".join(f"{name}={value}" for name, value in plan.sizes.items())
        lines += ["", f"{plan.kind} {plan.name}  {plan.digest}  {plan.size:,} bytes"]
        lines += [f"cost of a call with {sizes or 'its sizes'}: {plan.cost}"] if plan.cost else []
        lines += [f"returns {each.role} {each.name} {each.dtype}{each.shape}" for each in plan.outputs]
        lines += [plan.text] if plan.text else []
        lines += [f"problem: {plan.problem}"] if plan.problem else []
        lines += [f"differs from version {page.earlier}:", plan.diff] if plan.diff else []
        lines += [] if plan.trial is None else str(plan.trial).splitlines()
    if page.config_diff:
        lines += ["", f"configurations differ from version {page.earlier}:", page.config_diff]
    return lines


def _find_exactly(client: Any, which: str) -> Any:
    """The training that NAME/VERSION or an id names: of a name alone, another version may just have come."""
    found = _find(client, which)
    if which == found.name:
        raise click.UsageError(f"name the version: {found.name}/{found.version}")
    return found


def _find(client: Any, which: str) -> Any:
    """The training that NAME, NAME/VERSION or an id (or how it begins) names."""
    return client.trainings[which]
