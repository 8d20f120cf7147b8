"""The commands of a Worker's owner, on the machine that it runs on: signed with the Worker's own key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from apps.cli.client import open_own_node
from apps.cli.home import home_of
from apps.cli.nodes.several import start_each
from apps.cli.nodes.trust import trust
from apps.cli.output import ago, format_option, print_done, print_record, print_rows, say, say_json

__all__ = ["WORKER_COMMANDS"]

_COLUMNS = (
    *("training", "state", "reports", "last_cycle", "last_loss", "decision", "decided_by", "review", "seen"),
    *("definition", "last_error"),
)
_WAITING = ("training", "review", "seen", "definition")


def _home_option(command: Any) -> Any:
    return click.option(
        "--home", type=click.Path(file_okay=False, path_type=Path), help="The running Worker's home."
    )(command)


@click.command(
    help="The trainings that this Worker has seen at its Domain, what became of each, and what leaves at most."
)
@_home_option
@format_option
def trainings(home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.worker import ListSeenTrainings

    found = _call(home, ListSeenTrainings())
    rows = [msgspec.to_builtins(each) for each in found.trainings]
    if form == "table":
        rows = [_in_short(row) for row in rows]
    if found.apart:
        say(found.apart, err=True)
    if rows or form == "json" or not found.apart:
        print_rows(rows, _COLUMNS, form, empty="The Domain has offered no training yet.")
    if form == "table":
        _print_bounds(found.bounds)


def _in_short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "training": f"{row['name']}/{row['version']}",
        "definition": row["digest"][:12],
        "review": row["review"]["state"],
        "seen": ago(row["seen_at"]),
    }


def _print_bounds(bounds: Any) -> None:
    from syft_ext.messages.worker_bounds import describe_bounds

    say("")
    say("What leaves this Worker at most, whatever a training does:")
    for line in describe_bounds(bounds):
        say(f"  {line}")


@click.command(
    help="""Read a TRAINING (NAME/VERSION) before you decide: its plans, what a report contains, how it differs
from the version approved before, whose word it runs on, and what it does with made-up rows of the form of
your data. Then say yes or no. Without TRAINING: those that wait for your word.

\b
Examples:
  grid worker review --home ./worker
  grid worker review biopsies/1.0 --home ./worker
"""
)
@click.argument("training", required=False)
@click.option("--digest", default="", help="Which definition, where several of that name were seen.")
@click.option("--trial/--no-trial", default=True, help="Run it on made-up rows. [default: trial]")
@_home_option
@format_option
def review(training: str | None, digest: str, trial: bool, home: Path | None, form: str) -> None:
    import sys

    import msgspec

    from syft_ext.errors import Conflict
    from syft_ext.messages.worker import ListSeenTrainings, ReviewOffer

    if training is None:
        waiting = [each for each in _call(home, ListSeenTrainings()).trainings if each.decision == "waiting"]
        rows = [msgspec.to_builtins(each) for each in waiting]
        rows = rows if form == "json" else [_in_short(row) for row in rows]
        print_rows(rows, _WAITING, form, empty="No training waits for your word.")
        return
    name, version = _named(training)
    message = ReviewOffer(name=name, version=version, digest=digest, trial=trial)
    try:
        offer = _call(home, message, timeout=200.0)
    except Conflict as error:
        if not error.extra.get("shown"):
            raise
        _print_ended(error, form)
        return
    if form == "json":
        print_record(msgspec.to_builtins(offer), form)
        return
    _print_offer(offer)
    if offer.training.decision != "approved" and sys.stdin.isatty() and sys.stdout.isatty():
        _ask(offer, home)


def _print_ended(error: Any, form: str) -> None:
    """What was read of a training while it ran."""
    if form == "json":
        say_json({"ended": error.detail, "shown": error.extra["shown"]})
        return
    say(error.detail)
    for name, text in error.extra["shown"].items():
        say("")
        say(f"{name}, as it was read when it was agreed to:")
        say(text, lines=True)


def _ask(offer: Any, home: Path | None) -> None:
    """The owner's word, given for exactly what they have just read."""
    answer = click.prompt(
        "approve, deny, or decide later?", type=click.Choice(["approve", "deny", "later"]), default="later"
    )
    if answer != "later":
        seen, decision = offer.training, "approved" if answer == "approve" else "denied"
        _decide(f"{seen.name}/{seen.version}", decision, seen.digest, home, "table")


def _print_offer(offer: Any) -> None:
    from syft_ext.messages.review_text import describe_review
    from syft_ext.messages.training_inputs import describe_inputs

    seen = offer.training
    say(f"{seen.name} {seen.version}, definition {seen.digest}")
    say(f"at the Domain: {describe_review(seen.review)}")
    by = f", by {seen.decided_by}" if seen.decided_by else ""
    say(f"here: {seen.decision}{by}; {seen.reports} reports so far")
    for plan in offer.plans:
        say("")
        say(f"plan {plan.name}: {plan.cost} a run")
        say(plan.text, lines=True)
    if not offer.plans:
        say("")
        say("it hosts no plan: nothing runs but what you write yourself")
    say("")
    say("takes of your data:")
    for line in [*describe_inputs(offer.definition.inputs), *offer.data]:
        say(f"  {line}")
    say("")
    say("settings for participants:")
    for key, value in offer.definition.client_config.items():
        say(f"  {key} = {value!r}")
    say("")
    say("model, and so each report:")
    for tensor, dtype, shape in offer.definition.tensors:
        say(f"  {tensor}: {dtype} {list(shape)}")
    say("")
    say("leaves this Worker at most:")
    for line in offer.leaves:
        say(f"  {line}")
    if offer.difference:
        say("")
        say(f"what is other than in version {offer.earlier}, which was approved last:")
        say(offer.difference, lines=True)
    elif offer.earlier:
        say("")
        say(f"nothing in it is other than in version {offer.earlier}, which was approved last")
    else:
        say("")
        say("no version of it was approved before")
    if offer.trial is not None:
        _print_trial(offer.trial)


def _print_trial(trial: Any) -> None:
    if trial.problem:
        say("")
        say(f"trial on made-up rows: it does not run: {trial.problem}")
        return
    metrics = [
        f"{name} {value:.4g}" for name in ("loss", "accuracy") if (value := getattr(trial, name)) is not None
    ]
    say("")
    say(
        f"trial on {trial.rows} made-up rows: {trial.steps} steps in {trial.seconds:.2f} s; "
        f"{', '.join(metrics) or 'no metrics'}; norm of what it learned {trial.norm:.4g}, of what would leave "
        f"{trial.bounded:.4g}"
    )
    for name, influence in trial.influence.items():
        say(f"plan {name}, {influence}", lines=True)


@click.command(
    help="""Let this Worker take part in TRAINING (NAME/VERSION), as it is defined now; a changed one asks again.

\b
Example:
  grid worker approve breast-cancer/1.0 --home ./worker
"""
)
@click.argument("training")
@click.option("--digest", default="", help="Which definition (or how it begins): see `grid worker review`.")
@_home_option
@format_option
def approve(training: str, digest: str, home: Path | None, form: str) -> None:
    _decide(training, "approved", digest, home, form)


@click.command(help="Keep this Worker out of TRAINING (NAME/VERSION); it leaves if it takes part already.")
@click.argument("training")
@click.option("--digest", default="", help="Which definition (or how it begins): see `grid worker review`.")
@_home_option
@format_option
def deny(training: str, digest: str, home: Path | None, form: str) -> None:
    _decide(training, "denied", digest, home, form)


@click.command(help="How this Worker is: objects, sandbox, load, whether it trains.")
@_home_option
@format_option
def status(home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.worker import GetWorkerStatus

    print_record(msgspec.to_builtins(_call(home, GetWorkerStatus())), form)


@click.command(
    help="""Forget the Domain that this Worker joined, and the Domain's key.

The Worker asks again at its next start: do this when the Domain was installed anew.
"""
)
@_home_option
@format_option
def leave(home: Path | None, form: str) -> None:
    from syft_ext.messages.network import DeleteAssociation, ListAssociations

    for each in _call(home, ListAssociations()).associations:
        _call(home, DeleteAssociation(association_id=each.association_id))
    print_done("left", form)


def _named(training: str) -> tuple[str, str]:
    name, separator, version = training.rpartition("/")
    if not separator:
        raise click.UsageError("a training is NAME/VERSION: see `grid worker trainings`")
    return name, version


def _decide(training: str, decision: Any, digest: str, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.worker import DecideTraining

    name, version = _named(training)
    message = DecideTraining(name=name, version=version, decision=decision, digest=digest)
    print_record(msgspec.to_builtins(_call(home, message)), form)


def _call(home: Path | None, message: Any, timeout: float | None = None) -> Any:
    connection = open_own_node(home_of("worker", home))
    try:
        return connection.call(message, timeout=timeout)
    finally:
        connection.close()


WORKER_COMMANDS: tuple[click.Command, ...] = (
    *(start_each, trainings, review, approve, deny, trust, status, leave),
)
