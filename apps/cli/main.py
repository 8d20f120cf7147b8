"""The command ``grid``. What a command needs is imported when it runs, so that ``grid --help`` is instant."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable
from typing import Any

import click

from apps.cli.discovery import command_names, find_command, help_line, node_commands

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
Tab completion: eval "$(grid completion bash)" (or zsh, fish).

\b
Exit codes:
  0 done   1 failed   2 wrong usage, or a name that several have   3 not logged in or not allowed
  4 not found   5 conflict   6 a node cannot be reached   7 `grid doctor` found something
"""


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return command_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line(name)) for name in command_names()])


@click.group(cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="grid-platform", prog_name="grid")
def cli() -> None:
    """Learn from data that never leaves its owner: Networks, Domains, Workers."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. Errors become one line on standard error and a stable exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(_run(_command, arguments))


def _command(arguments: list[str], **options: Any) -> Any:
    if arguments[1:2] == ["start"] and arguments[0] in node_commands():
        _prepare(arguments)
    return cli(arguments, **options)


def _prepare(arguments: list[str]) -> None:
    """A node runs on gevent, which has to come before anything that imports sockets; its help does not.

    Its garbage is not collected until it serves: a third of its start would go into that, for nothing.
    """
    if not {"-h", "--help"} & set(arguments):
        gc.disable()
        from grid.web.patching import patch

        patch()


def _show(error: click.ClickException) -> None:
    """As click does; its message may name what a node said of itself."""
    from apps.cli.output import say
    from syft_ext.readable import readable

    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the help, which is of lines
        error.show()
        return
    shown, message = io.StringIO(), error.format_message()
    error.show(file=shown)
    say(shown.getvalue().rstrip("\n").replace(message, readable(message)), lines=True, err=True)


def _run(command: Callable[..., Any], arguments: list[str]) -> int:
    try:
        answer = command(arguments, prog_name="grid", standalone_mode=False)
    except click.ClickException as error:
        _show(error)
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
