"""``grid policy``: what a Domain demands of all that leaves it; and the terms of confidential trainings."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import msgspec

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record, say, say_json

if TYPE_CHECKING:
    from syft_ext.messages.confidential import ConfidentialPolicyView
    from syft_ext.messages.policy import PolicyView, SitePolicy
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "policy"]

COMMANDS = {
    "policy": "What a Domain demands of all that leaves it; terms of confidential trainings.",
}


@click.group(
    help="""What a Domain's owner demands of everything that leaves it (show, set); and confidential policies: the
terms of trainings of which not even a Domain sees an update (publish, show WHICH, diff).

\b
Examples:
  grid policy show
  grid policy set policy.toml
  grid policy publish consortium.toml --key consortium.key
  grid policy show 5f0e…c1
  grid policy diff 5f0e…c1 consortium.toml

\b
policy.toml (what is not in it stays; with --replace it has its default):
  min_rows = 10
  statistics_epsilon = 0.1
  trainings = "reviewed"       # or "trusted-users", "open"
  participation = "accepted"   # or "open"
"""
)
def policy() -> None:
    pass


@policy.command(
    help="""The Domain's policy, when it was set and by whom; or a confidential one.

WHICH is the digest of a confidential policy that was published here, or a file with one (TOML, or signed). With a
digest, its key hosts are asked what they say of it.
"""
)
@click.argument("which", required=False)
@url_option
@format_option
def show(which: str | None, url: str, form: str) -> None:
    if which is not None:
        _show_confidential(which, url, form)
        return
    with open_client(url, "domain") as client:
        _print(cast("DomainClient", client), cast("DomainClient", client).policy.get(), form)


@policy.command(
    "set",
    help="""Set what FILE says, as TOML or JSON; what it does not say stays. Only the Owner may.

What changes is shown, and asked about; a script says --yes.
""",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--replace", is_flag=True, help="What FILE does not say goes back to its default.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@format_option
def change(file: Path, replace: bool, yes: bool, url: str, form: str) -> None:
    values = _read(file)
    with open_client(url, "domain") as client:
        found = cast("DomainClient", client).policy
        before = found.get()
        after = found.planned(values, replace=replace)
        changes = _changes(before.policy, after)
        if not changes:
            say("nothing changes", err=True)
            _print(cast("DomainClient", client), before, form)
            return
        for line in changes:
            say(line, err=True)
        _agree(yes)
        after_all = found.replace(msgspec.structs.asdict(after))
        _print(cast("DomainClient", client), after_all, form)


@policy.command(
    help="""Sign the confidential policy in FILE as its scope's owner; keep it at the Domain, hand it to its hosts.

Each host's own people decide on it then: tell them its digest by another way. With --out, the signed policy is
written to a file too, for `host_federated_training(confidential=…)`.
"""
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The owner's key (`grid authority create`).",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it, signed.")
@click.option(
    "--succession",
    "successions",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="How a host of it follows another that was given up (`grid key-host take-over`).",
)
@url_option
@format_option
def publish(
    file: Path, key: Path, out: Path | None, successions: tuple[Path, ...], url: str, form: str
) -> None:
    from apps.cli.confidential import read_document, read_key, warnings_of
    from syft_ext.confidential.canonical import Signed, key_of
    from syft_ext.confidential.documents import policy_from_document

    owner = read_key(key)
    found = policy_from_document(read_document(file), key_of(owner))
    signed = Signed.make(found, owner)
    for line in warnings_of(found):
        say(line, err=True)
    with open_client(url, "domain") as client:
        view = cast("DomainClient", client).confidential.publish(
            signed, [each.read_bytes() for each in successions]
        )
    if out is not None:
        out.write_bytes(signed.encode())
    _print_standing(view, form)


@policy.command(help="What is different in two confidential policies; each a digest, or a file.")
@click.argument("before")
@click.argument("after")
@url_option
@format_option
def diff(before: str, after: str, url: str, form: str) -> None:
    from apps.cli.confidential import differences, document_of, policy_at

    lines = list(differences(document_of(policy_at(before, url)[1]), document_of(policy_at(after, url)[1])))
    if form == "json":
        say_json(lines)
        return
    for line in lines or ["nothing: they are the same"]:
        say(line)


def _show_confidential(which: str, url: str, form: str) -> None:
    from apps.cli.confidential import document_of, policy_at, warnings_of

    signed, found = policy_at(which, url)
    for line in warnings_of(found):
        say(line, err=True)
    shown = document_of(found) | {"signed": signed is not None}
    if not Path(which).is_file():
        with open_client(url, "domain") as client:
            view = cast("DomainClient", client).confidential.policy(which, ask=True)
        shown["standing"] = {host.host: host.state for host in view.hosts}
    print_record(shown, form)


def _print_standing(view: ConfidentialPolicyView, form: str) -> None:
    hosts = {host.host: " ".join(filter(None, (host.state, host.detail))) for host in view.hosts}
    print_record({"digest": view.digest, **hosts}, form)


def _changes(before: SitePolicy, after: SitePolicy) -> list[str]:
    """A line for each field that becomes another one."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    return [f"{name}: {old[name]!r} → {new[name]!r}" for name in new if old[name] != new[name]]


def _agree(yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("nothing was changed: say --yes, or run this in a terminal to be asked")
    if not click.confirm("Set the policy so?", err=True):
        raise click.Abort


def _read(file: Path) -> dict[str, Any]:
    """The document in ``file``: JSON if it is called so, else TOML. What `show` prints will do."""
    try:
        text = file.read_text("utf-8")
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from error
    if not isinstance(values, dict):
        raise click.ClickException(f"{file}: a policy is a table of fields")
    return {name: value for name, value in values.items() if name not in ("changed_at", "changed_by")}


def _print(client: DomainClient, view: PolicyView, form: str) -> None:
    fields = msgspec.to_builtins(view)
    if form == "table" and view.changed_by:
        fields["changed_by"] = client.users.addresses().get(view.changed_by, view.changed_by)
    print_record({**fields.pop("policy"), **fields}, form)
