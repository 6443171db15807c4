"""``pycarp completion``: the script that lets a shell complete pycarp's commands."""

import click

from pycarp.cli.options import exit_status
from pycarp.tab_completion.completion_scripts import SCRIPTS


@click.command(
    epilog="""\b
Examples:
  eval "$(pycarp completion bash)"                                  try it in this bash
  sudo sh -c 'pycarp completion bash > /etc/bash_completion.d/pycarp'
  pycarp completion zsh > "${fpath[1]}/_pycarp"                     then begin another zsh
  pycarp completion fish > ~/.config/fish/completions/pycarp.fish

\b
It knows commands, options and their values, files, the interfaces of this machine, and the
hosts of the daemons that run and may be asked."""
    + exit_status()
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(*, shell: str) -> None:
    """Print the script that lets SHELL complete pycarp's commands at the Tab key."""
    click.echo(SCRIPTS[shell], nl=False)
