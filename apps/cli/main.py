"""The command ``grid``. What a command needs is imported when it runs, so that ``grid --help`` is instant."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable
from typing import Any

import click

__all__ = ["main"]

_EPILOG = """
\b
Examples:
  grid network start --port 5000
  grid domain start --port 5001 --name "St. Mary"
  grid domain associate http://localhost:5000 --url http://localhost:5001
  grid worker start --domain http://localhost:5001 --data records.csv --target diagnosis
  grid login http://localhost:5000
  grid search breast cancer
\b
Exit codes:
  0 done   1 failed   2 wrong usage   3 not logged in or not allowed
  4 not found   5 conflict   6 a node cannot be reached   7 `grid doctor` found something
"""

#: Name → module and object that define it, and the line that ``--help`` shows.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "network": ("apps.cli.commands.nodes", "network", "Run a Network; decide which Domains join it."),
    "domain": (
        "apps.cli.commands.nodes",
        "domain",
        "Run a Domain; join it to a Network; decide which Workers join it.",
    ),
    "worker": ("apps.cli.commands.nodes", "worker", "Run a Worker on your data; approve trainings."),
    "login": ("apps.cli.commands.people", "login", "Log in to a node and keep the session."),
    "logout": ("apps.cli.commands.people", "logout", "End a session."),
    "whoami": ("apps.cli.commands.people", "whoami", "The sessions that are kept, and who you are there."),
    "me": ("apps.cli.commands.me", "me", "Your own account: password, keys, sessions, one-time codes."),
    "users": ("apps.cli.commands.users", "users", "The people who have an account at a node."),
    "roles": ("apps.cli.commands.roles", "roles", "What people may do, by role."),
    "groups": ("apps.cli.commands.roles", "groups", "Groups of people, and what they may do."),
    "settings": ("apps.cli.commands.settings", "settings", "What a node's owner changes while it runs."),
    "audit": ("apps.cli.commands.audit", "audit", "Who did what to which object by which grant."),
    "dashboard": ("apps.cli.commands.settings", "dashboard", "How much a node has of what."),
    "search": ("apps.cli.commands.data", "search", "Search a Network (all its Domains) or one Domain."),
    "dataset": ("apps.cli.commands.datasets", "dataset", "Add, describe and list datasets of a Domain."),
    "analyze": (
        "apps.cli.commands.statistics",
        "analyze",
        "Statistics of tables that stay where they are, at one Domain or many.",
    ),
    "requests": (
        "apps.cli.commands.requests",
        "requests",
        "Requests for data: yours, and those to decide on.",
    ),
    "rules": (
        "apps.cli.commands.rules",
        "rules",
        "Standing rules: your word on requests that are yet to come.",
    ),
    "grants": ("apps.cli.commands.requests", "grants", "What was allowed to whom."),
    "policy": ("apps.cli.commands.policy", "policy", "What a Domain demands of all that leaves it."),
    "budget": ("apps.cli.commands.policy", "budget", "What noisy statistics may cost whom."),
    "environments": (
        "apps.cli.commands.environments",
        "environments",
        "Compute environments of a Domain: sandboxed processes for users.",
    ),
    "training": ("apps.cli.commands.data", "training", "List, watch and cancel trainings."),
    "config": ("apps.cli.commands.config", "config", "A node's settings, and where each comes from."),
    "doctor": ("apps.cli.commands.doctor", "doctor", "Check this machine, a node's home, and a node."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="grid-platform", prog_name="grid")
def cli() -> None:
    """Learn from data that never leaves its owner: Networks, Domains, Workers."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. Errors become one line on standard error and a stable exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) >= 2 and arguments[0] in ("network", "domain", "worker") and arguments[1] == "start":
        _prepare(arguments)
    sys.exit(_run(cli, arguments))


def _prepare(arguments: list[str]) -> None:
    """A node runs on gevent, which has to come before anything that imports sockets; its help does not.

    Its garbage is not collected until it serves: a third of its start would go into that, for nothing.
    """
    if not {"-h", "--help"} & set(arguments):
        gc.disable()
        from grid.web.patching import patch

        patch()


def _run(command: Callable[..., Any], arguments: list[str]) -> int:
    try:
        answer = command(arguments, prog_name="grid", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        return 141
    except Exception as error:
        from apps.cli.output import explain

        return explain(error)
    return answer if isinstance(answer, int) else 0  # click returns the code of its Exit


if __name__ == "__main__":
    main()
