"""``grid completion``: what makes a shell complete this command."""

from __future__ import annotations

import click

from apps.cli.output import say

__all__ = ["COMMANDS", "completion"]

COMMANDS = {
    "completion": "Let your shell complete commands and options.",
}


@click.command(
    help="""Print what makes SHELL complete commands and options of `grid`.

\b
Examples:
  eval "$(grid completion bash)"                      in ~/.bashrc
  eval "$(grid completion zsh)"                       in ~/.zshrc
  grid completion fish > ~/.config/fish/completions/grid.fish
"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash")
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    source = kind(root, {}, "grid", "_GRID_COMPLETE")
    say(source.source_template % source.source_vars(), lines=True)
