"""``pycarp ucarp``: in the place of Debian's ucarp, with its options, scripts, signals and exit codes."""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import click

from pycarp.cli.refusals import refusal
from pycarp.config.ucarp_options import CANNOT_START, UcarpCommand, UcarpProblems, UcarpUsage, parse
from pycarp.daemon import ucarp_log
from pycarp.daemon.background import Background
from pycarp.daemon.log_output import LogFormat
from pycarp.daemon.ucarp_daemon import Ucarp, logger, restore_default_signals
from pycarp.errors import CarpError

NAME = "ucarp"
"""Under this name the program is ucarp: ``ln -s`` is all that it takes."""

_USAGE = """\
Usage: pycarp ucarp --srcip=IP --vhid=ID --pass=SECRET --addr=IP [OPTION]...

Share an address as Debian's ucarp does, with its options, scripts, signals and
exit codes. Called by the name ucarp, the program needs no sub-command:
ln -s $(command -v pycarp) /usr/local/sbin/ucarp

  -i, --interface=IF     network device (default: the one that has --srcip)
  -s, --srcip=IP         this machine's own, permanent address
      --mcastip=IP       multicast group (default 224.0.0.18)
  -v, --vhid=ID          virtual host id, 1-255, the same on every machine
  -p, --pass=SECRET      password, up to 19 octets; every user sees it in ps
  -o, --passfile=FILE    read the password from the first line of a file
  -a, --addr=IP          the shared address
  -b, --advbase=SECONDS  interval of advertisements, 1-255 (default 1)
  -k, --advskew=SKEW     in 1/256 s on top of it, 0-255 (default 0)
  -r, --deadratio=RATIO  intervals until a silent master is dead (default 3)
  -P, --preempt          take over from a slower master
  -u, --upscript=FILE    run FILE IF ADDR [XPARAM] to become master
  -d, --downscript=FILE  run FILE IF ADDR [XPARAM] to become backup
  -x, --xparam=VALUE     one more argument for the scripts
  -n, --neutral          do not run the down-script at start
  -z, --shutdown         run the down-script at exit, unless backup
  -B, --daemonize        go to the background once the start has succeeded
  -S, --ignoreifstate    take part even while the link is down
  -M, --nomcast          Ethernet broadcast instead of multicast
  -f, --facility=NAME    syslog facility (default daemon), or none
  -D, --debug            tell more
  -h, --help             this

Of pycarp alone:
      --dialect=NAME     whose habits to have where systems differ (default ucarp)
      --transport=NAME   how packets are sent and received (default auto)
      --script-timeout=SECONDS
                         a script that takes longer is killed (default 60)
      --control=PATH     socket for pycarp status and the other commands
                         (default /run/pycarp/ucarp-IF-ID.sock, which they find)
      --log-format=NAME  text, json or journald, to standard error, as with
                         pycarp run; without it lines like ucarp's

Signals: USR1 logs the state; USR2 makes a master step down for a while; INT,
QUIT, TERM and HUP end it, with the down-script only if --shutdown is given.
Exit status, ucarp's and not that of the other commands: 0 done, and for this
text even if an option is unknown; 1 wrong arguments; 2 cannot start.

Example:
  pycarp ucarp --interface=eth0 --srcip=10.1.1.1 --vhid=1 --passfile=/etc/carp.pass \\
      --addr=10.1.1.252 --upscript=/etc/vip-up.sh --downscript=/etc/vip-down.sh -z -B
"""


class _Verbatim(click.Command):
    """Hands all words through: which options there are and how they may be shortened is ucarp's business."""

    own_help = _USAGE
    """What --help prints, for the pages that are made of it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the words as they are."""
        ctx.params["words"] = tuple(args)
        return []


@click.command(cls=_Verbatim, name=NAME, short_help="In the place of Debian's ucarp, with its options and scripts.")
def ucarp(words: tuple[str, ...]) -> None:
    """Share an address as Debian's ucarp does."""
    try:
        command = parse(words)
    except UcarpUsage as exc:
        if exc.complaint:
            click.echo(f"ucarp: {exc.complaint}", err=True)
        click.echo(_USAGE, nl=False)
        return
    except UcarpProblems as exc:
        ucarp_log.set_up(is_verbose=False, facility=None)
        for problem in exc.problems:
            logger.error("%s", problem)
        sys.exit(exc.exit_status)
    _serve(command)


def _serve(command: UcarpCommand) -> NoReturn:
    restore_default_signals()
    ucarp_log.set_up(
        is_verbose=command.is_verbose,
        facility=command.facility,
        form=LogFormat(command.log_format) if command.log_format else None,
    )
    if command.facility is not None and command.facility not in ucarp_log.FACILITIES:
        logger.error("Unknown syslog facility: [%s]", command.facility)
    if not command.passfile:
        logger.warning("Warning: every user of this machine can read --pass=SECRET; use --passfile=FILE")
    command = replace(
        command,
        up_script=_absolute(command.up_script),
        down_script=_absolute(command.down_script),
        control=_absolute(command.control),
    )
    background = Background.enter(status_of_a_death=CANNOT_START) if command.daemonizes else None
    status = _run(command, background)
    if background is not None:
        background.fail(status)
    sys.exit(status)


def _absolute(path: str) -> str:
    """Return a path that means the same in the background, whose folder is another."""
    return os.path.abspath(path) if path else ""


def _run(command: UcarpCommand, background: Background | None) -> int:
    """Return the exit status, once it is over."""
    with ucarp_log.in_thread():
        try:
            asyncio.run(_take_part(command, on_ready=background.ready if background else lambda: None))
        except (CarpError, TimeoutError) as exc:
            logger.error("%s", exc)
            return CANNOT_START
        except OSError as exc:
            logger.error("%s", refusal(exc))
            return CANNOT_START
    return 0


async def _take_part(command: UcarpCommand, *, on_ready: Callable[[], None]) -> None:
    await Ucarp(command).run(on_ready=on_ready)
