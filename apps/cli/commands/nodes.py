"""``grid network``, ``grid domain``, ``grid worker``: run a node, set it up, manage its associations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from apps.cli.commands.adopt import adopt_command
from apps.cli.commands.associations import associate, hub_commands, network_domains
from apps.cli.commands.worker import worker_commands
from apps.cli.home import home_of, resolve_settings
from apps.cli.output import address_text, secret

__all__ = ["domain", "network", "worker"]

_START_HELP = """Run a {title} until SIGTERM or Ctrl-C.

\b
The home directory holds all of its state: starting again with the same home
continues. Every option can also stand in HOME/grid.toml or in a variable
GRID_<OPTION>; `grid config show {kind}` says which one counts. When the node
serves, it prints one line, `ready http://...`, on standard output.

\b
Examples:
{examples}
"""
_EXAMPLES = {
    "network": "  grid network start --port 5000 --home ./net",
    "domain": "  GRID_OWNER_EMAIL=me@example.org GRID_OWNER_PASSWORD_FILE=pw \\\n"
    "      grid domain start --port 5001 --home ./hospital --name Hospital",
    "worker": "  grid worker start --domain http://localhost:5001 --data records.csv \\\n"
    "      --target diagnosis --training 'breast-cancer/*'",
}


@click.group()
def network() -> None:
    """Run a Network; decide which Domains join it."""


@click.group()
def domain() -> None:
    """Run a Domain; join it to a Network; decide which Workers join it."""


@click.group()
def worker() -> None:
    """Run a Worker on your data; approve trainings."""


class _Start(click.Command):
    """``start``, with one option per setting: made when it is used, because the settings have types to read."""

    def __init__(self, kind: str) -> None:
        title = kind.capitalize()
        help_text = _START_HELP.format(title=title, kind=kind, examples=_EXAMPLES[kind])
        super().__init__("start", callback=self._run, help=help_text, short_help=f"Run a {title}.")
        self.kind = kind

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*_place_options(), *_setting_options(self.kind), *super().get_params(ctx)]

    def _run(self, home: Path | None, config: Path | None, **flags: Any) -> None:
        from apps.runner import run

        place = home_of(self.kind, home)
        run(resolve_settings(self.kind, place, config, given(flags)), place)


def _place_options() -> list[click.Option]:
    return [
        click.Option(
            ["--home"],
            type=click.Path(file_okay=False, path_type=Path),
            help="Directory of the node's state. [default: $GRID_HOME, or a folder among your own data]",
        ),
        click.Option(
            ["--config"],
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="GRID_CONFIG",
            help="TOML file with settings. [default: HOME/grid.toml if it exists]",
        ),
    ]


def _setting_options(kind: str) -> list[click.Option]:
    from grid.config import setting_fields

    options = []
    for field in setting_fields(kind).values():
        if field.secret:
            continue
        name = field.name.replace("_", "-")
        help_text = f"{field.description} [default: {_shown(field.default)}]"
        if field.type is bool:
            option = click.Option([f"--{name}/--no-{name}", field.name], default=None, help=help_text)
        elif field.is_list:
            names = [f"--{name.removesuffix('s').removesuffix('se')}", f"--{name}", field.name]
            option = click.Option(names, multiple=True, help=f"{help_text} Can be repeated.")
        elif field.choices:
            choice = click.Choice(field.choices)
            option = click.Option([f"--{name}", field.name], type=choice, default=None, help=help_text)
        else:
            option = click.Option([f"--{name}", field.name], type=field.type, default=None, help=help_text)
        options.append(option)
    return options


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default or "none")


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were on the command line."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in flags.items()
        if value is not None and value != ()
    }


def _setup(kind: str, port: int) -> click.Command:
    @click.command(
        "setup",
        short_help="Make the first owner of a fresh node.",
        help=f"""Make the first owner of a fresh {kind.capitalize()}. That is possible once.

\b
The password comes from GRID_OWNER_PASSWORD, GRID_OWNER_PASSWORD_FILE or
--password-file, or is asked for, unseen, when this runs in a terminal.

\b
Examples:
  grid {kind} setup --url http://localhost:{port} --email me@example.org
  grid {kind} setup --home ./{kind} --email me@example.org   (the node not running)
""",
    )
    @click.option("--url", default="", help=f"The running node. [default: http://127.0.0.1:{port}]")
    @click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The node's home instead.")
    @click.option("--email", default="", help="The owner's e-mail address. [default: $GRID_OWNER_EMAIL]")
    @click.option("--password-file", default=None, help="File that holds the password.")
    @click.option("--name", default="", help="How the node is called from now on.")
    @click.option("--allow-signup", is_flag=True, help="Let strangers make themselves an account.")
    def setup(
        url: str, home: Path | None, email: str, password_file: str | None, name: str, allow_signup: bool
    ) -> None:
        if url and home:
            raise click.UsageError("--url and --home exclude each other")
        email = address_text(email, "GRID_OWNER_EMAIL", "E-mail")
        password = secret("GRID_OWNER_PASSWORD", password_file, "Password", confirm=True)
        values = {"email": email, "password": password, "node_name": name, "allow_user_signup": allow_signup}
        if home is not None:
            _set_up_home(kind, home, values)
        else:
            _set_up_url(url or f"http://127.0.0.1:{port}", values)
        click.echo(f"{email} owns this {kind} now")

    return setup


def _set_up_url(url: str, values: dict[str, Any]) -> None:
    from syft_ext.messages.accounts import CreateOwner
    from syft_ext.nodes.login import connect

    with connect(url) as client:
        client.call(CreateOwner(**values))


def _set_up_home(kind: str, home: Path, values: dict[str, Any]) -> None:
    from apps.runner import build, lock_home
    from grid.accounts.bootstrap import bootstrap_owner
    from syft_ext.errors import Conflict

    home = home_of(kind, home)
    with lock_home(home):
        node = build(kind, home, resolve_settings(kind, home, None, {}))
        try:
            if not bootstrap_owner(node, values.pop("email"), values.pop("password"), **values):
                raise Conflict("this node has its owner already")
        finally:
            node.stop()


network.add_command(_Start("network"))
network.add_command(_setup("network", 5000))
network.add_command(network_domains)
domain.add_command(_Start("domain"))
domain.add_command(_setup("domain", 5001))
domain.add_command(associate)
worker.add_command(_Start("worker"))
for group, kind, peers in ((network, "network", "Domain"), (domain, "domain", "Worker")):
    for command in hub_commands(kind, peers):
        group.add_command(command)
for group, kind in ((network, "network"), (domain, "domain"), (worker, "worker")):
    group.add_command(adopt_command(kind))
for command in worker_commands:
    worker.add_command(command)
